"""Who calls cannot be told, may not do this, or has to sign in."""

from __future__ import annotations

from ai_gateway_mw.errors.base import Denied, GatewayError, PermissionDenied


class Unauthenticated(GatewayError):
    status, code, kind, anthropic_kind = 401, "invalid_api_key", "authentication_error", "authentication_error"

    def __init__(self, message: str = "Invalid or missing API key.", *, reason: str = "") -> None:
        super().__init__(message, fields=[("www-authenticate", "Bearer")], reason=reason)


class WrongCredentials(GatewayError):
    """No name and password (RFC 7617), or the wrong ones; nothing tells which."""

    status, code, kind, anthropic_kind = 401, "invalid_credentials", "authentication_error", "authentication_error"

    def __init__(self, challenge: str) -> None:
        super().__init__("Invalid or missing credentials.", fields=[("www-authenticate", challenge)])


class LoginRequired(GatewayError):
    """Nobody has signed in, and this request is none that a browser could be sent away from."""

    status, code, kind, anthropic_kind = 401, "login_required", "authentication_error", "authentication_error"

    def __init__(self) -> None:
        super().__init__("Sign in first, with a browser.")


class LoginFailed(GatewayError):
    """A login came back that must not count; `reason` holds nothing that a browser sent."""

    status, code, kind, anthropic_kind = 403, "login_failed", "authentication_error", "authentication_error"

    def __init__(self, reason: str) -> None:
        super().__init__(f"The login failed: {reason}.")


class LoginUnavailable(GatewayError):
    """The identity provider cannot be asked now; the log says why."""

    status, code, anthropic_kind, retryable = 503, "login_unavailable", "overloaded_error", True

    def __init__(self) -> None:
        super().__init__("Nobody can sign in at the moment.", fields=[("retry-after", "5")])


class KeyRevoked(Unauthenticated):
    """The key was revoked while the answer was on its way."""

    def __init__(self) -> None:
        super().__init__("The API key was revoked.")


class TooManyFailures(GatewayError):
    """Too many wrong keys from one address; who has a right one is not affected."""

    status, code, kind, anthropic_kind = 429, "rate_limit_exceeded", "rate_limit_error", "rate_limit_error"
    retryable = True

    def __init__(self, seconds: int) -> None:
        super().__init__("Too many requests with an invalid API key.", fields=[("retry-after", str(seconds))])


class KeyStoreUnavailable(GatewayError):
    """Whether the key is valid cannot be told now; `reason` goes to the log and never into the answer."""

    status, code, anthropic_kind, retryable = 503, "key_store_unavailable", "overloaded_error", True

    def __init__(self, reason: str = "") -> None:
        super().__init__("API keys cannot be checked at the moment.", fields=[("retry-after", "1")])
        self.reason = reason


class ScopeDenied(PermissionDenied):
    code = "scope_not_allowed"

    def __init__(self, key_name: str, scope: str) -> None:
        super().__init__(f"The key '{key_name}' may not be used for this: it needs the scope {scope}.")


class WebhookNotVerified(PermissionDenied):
    """A webhook that its provider has not signed, or not just now."""

    code, ngrok_code = "webhook_not_verified", 3204

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(f"Webhook verification failed: {reason}.")
        self.status = status


class AddressDenied(PermissionDenied):
    code = "ip_not_allowed"

    def __init__(self, address: str, *, reason: str = "") -> None:
        super().__init__(f"Address {address} is not allowed.", reason=reason)


class LoginRedirect(Denied):
    """A browser is sent on: to the provider, or back to where it wanted to go."""

    code = "login_required"

    def __init__(self, location: str) -> None:
        super().__init__(302)
        self.fields = (("location", location), ("cache-control", "no-store"))
