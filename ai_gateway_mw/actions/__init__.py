"""The action types that a policy may use: one file each, one line each here."""

from __future__ import annotations

from collections.abc import Mapping

from ai_gateway_mw.actions.add_headers import AddHeaders
from ai_gateway_mw.actions.ai_gateway import AIGateway
from ai_gateway_mw.actions.basic_auth import BasicAuth
from ai_gateway_mw.actions.circuit_breaker import CircuitBreaker
from ai_gateway_mw.actions.close_connection import CloseConnection
from ai_gateway_mw.actions.compress_response import CompressResponse
from ai_gateway_mw.actions.custom_response import CustomResponse
from ai_gateway_mw.actions.deny import Deny
from ai_gateway_mw.actions.forward_internal import ForwardInternal
from ai_gateway_mw.actions.gateway_auth import GatewayAuth
from ai_gateway_mw.actions.http_request import HTTPRequest
from ai_gateway_mw.actions.jwt_validation import JWTValidation
from ai_gateway_mw.actions.log import Log
from ai_gateway_mw.actions.oauth import OAuth
from ai_gateway_mw.actions.openid_connect import OpenIDConnect
from ai_gateway_mw.actions.rate_limit import RateLimit
from ai_gateway_mw.actions.redact import Redact
from ai_gateway_mw.actions.redirect import Redirect
from ai_gateway_mw.actions.remove_headers import RemoveHeaders
from ai_gateway_mw.actions.request_body_find_replace import RequestBodyFindReplace
from ai_gateway_mw.actions.response_body_find_replace import ResponseBodyFindReplace
from ai_gateway_mw.actions.restrict_ips import RestrictIPs
from ai_gateway_mw.actions.set_vars import SetVars
from ai_gateway_mw.actions.sse_find_replace import SSEFindReplace
from ai_gateway_mw.actions.url_rewrite import URLRewrite
from ai_gateway_mw.actions.verify_webhook import VerifyWebhook
from ai_gateway_mw.context import Action

_KINDS: tuple[type[Action], ...] = (  # type: ignore[assignment]  # to mypy, a nested class is no class variable
    AddHeaders,
    AIGateway,
    BasicAuth,
    CircuitBreaker,
    CloseConnection,
    CompressResponse,
    CustomResponse,
    Deny,
    ForwardInternal,
    GatewayAuth,
    HTTPRequest,
    JWTValidation,
    Log,
    OAuth,
    OpenIDConnect,
    RateLimit,
    Redact,
    Redirect,
    RemoveHeaders,
    RequestBodyFindReplace,
    ResponseBodyFindReplace,
    RestrictIPs,
    SSEFindReplace,
    SetVars,
    URLRewrite,
    VerifyWebhook,
)
ACTIONS: Mapping[str, type[Action]] = {kind.name: kind for kind in _KINDS}

_WAF = "put a web application firewall with the OWASP Core Rule Set (Coraza, ModSecurity) in front of the app"
# Types that Traffic Policy has and we refuse by name: silently skipping one would drop a protection.
UNSUPPORTED: Mapping[str, str] = {
    "owasp-crs-request": f"{_WAF}; what a rule can say, `deny` with an expression does here",
    "owasp-crs-response": f"{_WAF}; what a rule can say, `custom-response` in on_http_response does here",
    "saml": "use `openid-connect`, which most identity providers offer beside SAML, or one that bridges the two",
    "terminate-tls": "give the server its certificate instead (uvicorn: --ssl-certfile), or a proxy in front of it",
}
