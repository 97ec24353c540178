"""The request itself is at fault."""

from __future__ import annotations

from ai_gateway_mw.errors.base import GatewayError


class BadRequest(GatewayError):
    status, code, kind, anthropic_kind = 400, "invalid_request", "invalid_request_error", "invalid_request_error"


class BadBody(BadRequest):
    ngrok_code = 3801


class AmbiguousPath(BadRequest):
    code = "ambiguous_path"


class AmbiguousCredentials(BadRequest):
    code = "ambiguous_credentials"


class RouteNotFound(GatewayError):
    status, code, kind, anthropic_kind = 404, "not_found", "invalid_request_error", "not_found_error"


class MethodNotAllowed(GatewayError):
    status, code, kind, anthropic_kind = 405, "method_not_allowed", "invalid_request_error", "invalid_request_error"


class BodyTooLarge(GatewayError):
    status, code, kind, anthropic_kind = 413, "request_too_large", "invalid_request_error", "request_too_large"


class HeadTooLarge(BodyTooLarge):
    """Too many fields, or too long ones."""

    status = 431


class TargetTooLong(BodyTooLarge):
    status = 414


class RequestTimeout(GatewayError):
    """The client took too long to send its request."""

    status, code, kind, anthropic_kind = 408, "request_timeout", "invalid_request_error", "invalid_request_error"


class InputTooLarge(BodyTooLarge):
    ngrok_code = 3811


class UnsupportedEncoding(GatewayError):
    status, code, kind, anthropic_kind = 415, "unsupported_media", "invalid_request_error", "invalid_request_error"


class ClientGone(GatewayError):
    """The client left; nobody reads the answer, and the log says 499."""

    status, code = 499, "client_gone"
