"""The action types that a policy may use: one file each, one line each here."""

from __future__ import annotations

from collections.abc import Mapping

from ai_gateway_mw.actions.add_headers import AddHeaders
from ai_gateway_mw.actions.ai_gateway import AIGateway
from ai_gateway_mw.actions.basic_auth import BasicAuth
from ai_gateway_mw.actions.custom_response import CustomResponse
from ai_gateway_mw.actions.deny import Deny
from ai_gateway_mw.actions.gateway_auth import GatewayAuth
from ai_gateway_mw.actions.jwt_validation import JWTValidation
from ai_gateway_mw.actions.log import Log
from ai_gateway_mw.actions.oauth import OAuth
from ai_gateway_mw.actions.openid_connect import OpenIDConnect
from ai_gateway_mw.actions.rate_limit import RateLimit
from ai_gateway_mw.actions.remove_headers import RemoveHeaders
from ai_gateway_mw.actions.restrict_ips import RestrictIPs
from ai_gateway_mw.actions.set_vars import SetVars
from ai_gateway_mw.actions.verify_webhook import VerifyWebhook
from ai_gateway_mw.context import Action

_KINDS: tuple[type[Action], ...] = (  # type: ignore[assignment]  # to mypy, a nested class is no class variable
    AddHeaders,
    AIGateway,
    BasicAuth,
    CustomResponse,
    Deny,
    GatewayAuth,
    JWTValidation,
    Log,
    OAuth,
    OpenIDConnect,
    RateLimit,
    RemoveHeaders,
    RestrictIPs,
    SetVars,
    VerifyWebhook,
)
ACTIONS: Mapping[str, type[Action]] = {kind.name: kind for kind in _KINDS}

_WAF = "put a web application firewall with the OWASP Core Rule Set (Coraza, ModSecurity) in front of the app"
_DONE = "do this in the app around the gateway, or in a proxy in front of it"
# Types that Traffic Policy has and we refuse by name: silently skipping one would drop a protection.
UNSUPPORTED: Mapping[str, str] = {
    "owasp-crs-request": f"{_WAF}; what a rule can say, `deny` with an expression does here",
    "owasp-crs-response": f"{_WAF}; what a rule can say, `custom-response` in on_http_response does here",
    "saml": "use `openid-connect`, which most identity providers offer beside SAML, or one that bridges the two",
    "terminate-tls": "give the server its certificate instead (uvicorn: --ssl-certfile), or a proxy in front of it",
    "circuit-breaker": "guard the path in the app around the gateway",
    **dict.fromkeys(
        ["close-connection", "compress-response", "forward-internal", "http-request", "redirect"]
        + ["request-body-find-replace", "response-body-find-replace", "sse-find-replace", "url-rewrite"],
        _DONE,
    ),
}
