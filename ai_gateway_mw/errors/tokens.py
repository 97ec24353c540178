"""Tokens (JWT) that are missing, cannot be read, or are refused."""

from __future__ import annotations

from ai_gateway_mw.errors.base import GatewayError, PermissionDenied
from ai_gateway_mw.errors.requests import BadRequest


class TokenRefused(GatewayError):
    """A token (JWT) that is not to be believed."""

    status, code, kind, anthropic_kind = 401, "invalid_token", "authentication_error", "authentication_error"
    ngrok_code = 3401

    def __init__(self, message: str) -> None:
        super().__init__(message, fields=[("www-authenticate", 'Bearer error="invalid_token"')])  # RFC 6750 3.1


class TokenMissing(TokenRefused):
    ngrok_code = 3406

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.fields = (("www-authenticate", "Bearer"),)


class TokenFieldMissing(TokenMissing):
    ngrok_code = 3408


class TokenPrefixMissing(TokenRefused):
    ngrok_code = 3413


class TokenMalformed(TokenRefused):
    ngrok_code = 3416


class TokenBodyUnreadable(BadRequest):
    """A token is expected in a body that cannot be read for one: its content type is another."""

    ngrok_code = 3414


class TokenJSONUnreadable(TokenBodyUnreadable):
    ngrok_code = 3411


class TokenFormUnreadable(TokenBodyUnreadable):
    ngrok_code = 3412


class TokenMethodUnfit(TokenBodyUnreadable):
    """A token is expected in the body of a method that has none."""

    ngrok_code = 3415


class TokenKeysUnavailable(GatewayError):
    """Whether the token is valid cannot be told now: the keys of its issuer cannot be had."""

    status, code, anthropic_kind, retryable = 503, "token_keys_unavailable", "overloaded_error", True
    ngrok_code = 3422

    def __init__(self) -> None:
        super().__init__("Tokens cannot be checked at the moment.", fields=[("retry-after", "5")])


class TokenNotAllowed(PermissionDenied):
    """A genuine token that is not for this: of another issuer, for another audience, of another type."""

    code, ngrok_code = "token_not_allowed", 3403
