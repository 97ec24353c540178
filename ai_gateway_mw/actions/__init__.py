"""The action types that a policy may use: one file each, one line each here."""

from __future__ import annotations

from collections.abc import Mapping

from ai_gateway_mw.actions.add_headers import AddHeaders
from ai_gateway_mw.actions.ai_gateway import AIGateway
from ai_gateway_mw.actions.custom_response import CustomResponse
from ai_gateway_mw.actions.deny import Deny
from ai_gateway_mw.actions.gateway_auth import GatewayAuth
from ai_gateway_mw.actions.log import Log
from ai_gateway_mw.actions.rate_limit import RateLimit
from ai_gateway_mw.actions.redact import Redact
from ai_gateway_mw.actions.remove_headers import RemoveHeaders
from ai_gateway_mw.actions.request_body_find_replace import RequestBodyFindReplace
from ai_gateway_mw.actions.response_body_find_replace import ResponseBodyFindReplace
from ai_gateway_mw.actions.restrict_ips import RestrictIPs
from ai_gateway_mw.actions.set_vars import SetVars
from ai_gateway_mw.actions.sse_find_replace import SSEFindReplace
from ai_gateway_mw.context import Action

_KINDS: tuple[type[Action], ...] = (  # type: ignore[assignment]  # to mypy, a nested class is no class variable
    AddHeaders,
    AIGateway,
    CustomResponse,
    Deny,
    GatewayAuth,
    Log,
    RateLimit,
    Redact,
    RemoveHeaders,
    RequestBodyFindReplace,
    ResponseBodyFindReplace,
    RestrictIPs,
    SSEFindReplace,
    SetVars,
)
ACTIONS: Mapping[str, type[Action]] = {kind.name: kind for kind in _KINDS}

_GUARDED = "guard the path in the app around the gateway"
_DONE = "do this in the app around the gateway, or in a proxy in front of it"
# Types that Traffic Policy has and we refuse by name: silently skipping one would drop a protection.
UNSUPPORTED: Mapping[str, str] = {
    "owasp-crs-request": "put a web application firewall in front of the app",
    "owasp-crs-response": "put a web application firewall in front of the app",
    "saml": "authenticate people in the app around the gateway",
    "terminate-tls": "give the server its certificate instead (uvicorn: --ssl-certfile)",
    **dict.fromkeys(
        ["basic-auth", "circuit-breaker", "jwt-validation", "oauth", "openid-connect", "verify-webhook"],
        _GUARDED,
    ),
    **dict.fromkeys(
        ["close-connection", "compress-response", "forward-internal", "http-request", "redirect"] + ["url-rewrite"],
        _DONE,
    ),
}
