"""Every exception we raise, as one tree.

Load time: `PolicyError` carries every problem of a policy with its place. Run time: a `GatewayError` knows the HTTP
status and code that a caller sees; `replies.py` gives it the body of the caller's API format.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

# What looks like a key: by the prefix of a well-known provider, or long and of letters and digits.
_KEY_LIKE = re.compile(
    r"\b(?:sk[-_]|gsk_|xai-|hf_|r8_|pplx-|gw_sk_|AIza)[-_A-Za-z0-9]{6,}|\b(?=[-_A-Za-z]*[0-9])(?=[-_0-9]*[A-Za-z])[-_A-Za-z0-9]{32,}"
)


def without_keys(text: str) -> str:
    """The text with what looks like a key starred out, column for column: a key in a policy must not reach a log."""
    return _KEY_LIKE.sub(lambda found: "*" * len(found.group()), text)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; line and column count from 1, `text` is that whole line without keys."""

    file: str
    line: int
    column: int
    text: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", without_keys(self.text))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a policy; `hint` is a name that was probably meant, or empty."""

    message: str
    place: Place | None = None
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", without_keys(self.message))

    @property
    def headline(self) -> str:
        """The message on one line, without its place."""
        return f"{self.message}; did you mean `{self.hint}`?" if self.hint else self.message

    def as_json(self, file: str) -> dict[str, Any]:
        """As programs read it; without a place it is a problem of this file."""
        place = self.place or Place(file, 1, 1)
        return {
            "file": place.file,
            "line": place.line,
            "column": place.column,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
        }

    def __str__(self) -> str:
        if self.place is None:
            return self.headline
        lines = [f"{self.place}: {self.headline}"]
        if self.place.text.strip():
            lines += [f"  {self.place.text}", f"  {' ' * (self.place.column - 1)}^"]
        return "\n".join(lines)


class PolicyError(ValueError):
    """A policy that cannot be loaded; `problems` holds all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class SecretError(Exception):
    """A secret that cannot be had. The message names vault and name, and never holds bytes of a value."""


class SecretMissing(SecretError):
    """No source knows this secret."""


class SecretUnusable(SecretError):
    """A source has a value that cannot serve as a credential: empty, or with control characters."""


class DatabaseUnavailable(Exception):
    """The database cannot be reached or does not do what it is asked to; the message holds no values."""


class InstallationError(Exception):
    """What is kept in the database must not be used so: made by a newer version, or with another master key."""


class CountersUnusable(Exception):
    """The counters of limits cannot be had: their file cannot be made, opened or understood. The message names it."""


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that `name` was probably meant to be, or an empty string."""
    candidates = list(known)
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else ""


class GatewayError(Exception):
    """A refusal or failure that the caller may see: `str(error)` is safe to show.

    `kind` is the error type of the OpenAI format, `anthropic_kind` that of the Anthropic format, `ngrok_code` the
    number that ngrok gave to the same thing (its text starts the message, so that existing checks keep working).
    """

    status: int = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = "server_error"
    anthropic_kind: ClassVar[str] = "api_error"
    ngrok_code: ClassVar[int | None] = None
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, fields: Sequence[tuple[str, str]] = (), param: str | None = None) -> None:
        self.message = f"ERR_NGROK_{self.ngrok_code}: {message}" if self.ngrok_code else message
        self.fields = tuple(fields)
        self.param = param
        super().__init__(self.message)

    def without_trace(self) -> Self:
        """The same error, for whoever keeps it, without where it comes from: the frames of a traceback hold all that
        they worked on, the error itself among it, and then only the cycle collector would free any of that."""
        self.__traceback__ = self.__cause__ = self.__context__ = None
        return self


class InternalError(GatewayError):
    """Something of ours failed; the log has the traceback, the caller only this."""

    def __init__(self) -> None:
        super().__init__("The gateway failed to handle this request.")


# The request itself is at fault -----------------------------------------------------------------------------------


class BadRequest(GatewayError):
    status, code, kind, anthropic_kind = 400, "invalid_request", "invalid_request_error", "invalid_request_error"


class BadBody(BadRequest):
    ngrok_code = 3801


class AmbiguousPath(BadRequest):
    code = "ambiguous_path"


class AmbiguousCredentials(BadRequest):
    code = "ambiguous_credentials"


class Unauthenticated(GatewayError):
    status, code, kind, anthropic_kind = 401, "invalid_api_key", "authentication_error", "authentication_error"

    def __init__(self, message: str = "Invalid or missing API key.") -> None:
        super().__init__(message, fields=[("www-authenticate", "Bearer")])


class WrongCredentials(GatewayError):
    """No name and password (RFC 7617), or the wrong ones; nothing tells which."""

    status, code, kind, anthropic_kind = 401, "invalid_credentials", "authentication_error", "authentication_error"

    def __init__(self, challenge: str) -> None:
        super().__init__("Invalid or missing credentials.", fields=[("www-authenticate", challenge)])


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


class AuditUnavailable(GatewayError):
    """The request must be written to the audit log before it goes on, and cannot be."""

    status, code, anthropic_kind, retryable = 503, "audit_unavailable", "overloaded_error", True

    def __init__(self) -> None:
        super().__init__("The request cannot be recorded at the moment.", fields=[("retry-after", "1")])


class PermissionDenied(GatewayError):
    status, code, kind, anthropic_kind = 403, "policy_denied", "permission_error", "permission_error"


class PolicyDenied(PermissionDenied):
    """An expression failed at run time, or a rule refused; `reason` goes to the log and never into the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__("The request was refused by policy.")
        self.reason = reason


class ScopeDenied(PermissionDenied):
    code = "scope_not_allowed"

    def __init__(self, key_name: str, scope: str) -> None:
        super().__init__(f"The key '{key_name}' may not be used for this: it needs the scope {scope}.")


class TokenNotAllowed(PermissionDenied):
    """A genuine token that is not for this: of another issuer, for another audience, of another type."""

    code, ngrok_code = "token_not_allowed", 3403


class WebhookNotVerified(PermissionDenied):
    """A webhook that its provider has not signed, or not just now."""

    code, ngrok_code = "webhook_not_verified", 3204

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(f"Webhook verification failed: {reason}.")
        self.status = status


class AddressDenied(PermissionDenied):
    code = "ip_not_allowed"

    def __init__(self, address: str) -> None:
        super().__init__(f"Address {address} is not allowed.")


class Denied(GatewayError):
    """The `deny` action: a bare status without a body."""

    code = "denied"

    def __init__(self, status: int) -> None:
        super().__init__("The request was denied.")
        self.status = status


class ConnectionClosed(GatewayError):
    """The `close-connection` action: no answer at all where the server can do that, else a bare status."""

    code = "connection_closed"
    without_answer: ClassVar[int] = 444  # what the log says of those; nginx's number

    def __init__(self) -> None:
        super().__init__("The connection was closed.", fields=[("connection", "close")])
        self.status = 403


class LoginRedirect(Denied):
    """A browser is sent on: to the provider, or back to where it wanted to go."""

    code = "login_required"

    def __init__(self, location: str) -> None:
        super().__init__(302)
        self.fields = (("location", location), ("cache-control", "no-store"))


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


# A limit of ours ------------------------------------------------------------------------------------------------


class RateLimited(GatewayError):
    """A limit of the gateway itself; `limit` says which, as in `60 requests per minute`."""

    status, code, kind, anthropic_kind = 429, "rate_limit_exceeded", "rate_limit_error", "rate_limit_error"
    retryable = True

    def __init__(self, limit: str, retry_after: int, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(f"Rate limit reached: {limit}.", fields=[("retry-after", str(retry_after)), *fields])


class RequestOverLimit(GatewayError):
    """A request that asks for more than its limit ever allows: waiting does not help."""

    status, code, kind, anthropic_kind = 429, "rate_limit_exceeded", "rate_limit_error", "rate_limit_error"

    def __init__(self, limit: str, amount: int, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(f"Request too large: it needs {amount} of a limit of {limit}.", fields=fields)


class TooManyConcurrent(GatewayError):
    status, code, kind, anthropic_kind = 429, "rate_limit_exceeded", "rate_limit_error", "rate_limit_error"
    retryable = True

    def __init__(self, limit: int) -> None:
        super().__init__(f"Rate limit reached: {limit} concurrent requests.", fields=[("retry-after", "1")])


class BudgetExceeded(GatewayError):
    """A budget in money; it is not there again before its day or month is over."""

    status, code, kind, anthropic_kind = 402, "budget_exceeded", "insufficient_quota", "billing_error"

    def __init__(self, budget: str) -> None:
        super().__init__(f"Budget exceeded: {budget}.")


class UseUncounted(PermissionDenied):
    """What cannot be counted is not for a key with limits of tokens or money."""

    code = "use_uncounted"

    def __init__(self, what: str) -> None:
        super().__init__(f"What {what} costs is not known, and this API key has limits.")


class LimitsUnavailable(GatewayError):
    """What counts against limits cannot be reached, or has no room: nobody is let through uncounted."""

    status, code, anthropic_kind, retryable = 503, "limits_unavailable", "overloaded_error", True

    def __init__(self) -> None:
        super().__init__("The gateway cannot check its limits at the moment.", fields=[("retry-after", "1")])


# What the policy lets the caller choose ---------------------------------------------------------------------------


class ModelNotFound(GatewayError):
    status, code, kind, anthropic_kind = 404, "model_not_found", "invalid_request_error", "not_found_error"
    ngrok_code = 3804


class ModelNotAllowed(PermissionDenied):
    code, kind, ngrok_code = "model_not_allowed", "model_not_allowed", 3804


class ProviderNotAllowed(PermissionDenied):
    code, kind, ngrok_code = "provider_not_allowed", "provider_not_allowed", 3804


class SelectionFailed(GatewayError):
    """A model strategy failed, and none of the others selected anything."""

    status, code, kind, ngrok_code = 422, "model_selection_failed", "invalid_request_error", 3803
    anthropic_kind = "invalid_request_error"


class NothingSelected(SelectionFailed):
    code, ngrok_code = "no_model_selected", 3805


class SelectionOfWrongType(SelectionFailed):
    ngrok_code = 3806


class FormatNotServed(GatewayError):
    """No provider that may be used serves the API format of this path."""

    status, code, kind, ngrok_code = 422, "format_not_served", "invalid_request_error", 3813
    anthropic_kind = "invalid_request_error"


class NoProviderKey(GatewayError):
    """The provider needs a key; neither the policy nor the caller has one."""

    status, code, kind, anthropic_kind = 401, "no_provider_key", "authentication_error", "authentication_error"
    ngrok_code = 3802


class KeySelectionFailed(GatewayError):
    status, code, kind, ngrok_code = 503, "no_eligible_key", "upstream_error", 3808


class BodyNotEdited(GatewayError):
    """A rule had to change a body or a stream, and that could not be done; `reason` goes to the log. What it was to
    take out must not pass, so nothing does."""

    code, ngrok_code = "body_not_edited", 3904

    def __init__(self, reason: str) -> None:
        super().__init__("The policy could not edit this content.")
        self.reason = reason


class ReplacementFailed(BodyNotEdited):
    """The templates of a replacement failed."""

    ngrok_code = 3900


class ReplacementMalformed(BodyNotEdited):
    """What the templates of a replacement made is no regular expression."""

    ngrok_code = 3901


class BodyUnreadable(BodyNotEdited):
    """A body that cannot be held to be edited: it is encoded in a way that we do not read."""

    ngrok_code = 3902


class BodyNotHeld(BodyNotEdited):
    """A body that is too large to be held, or that did not come to its end."""

    status, ngrok_code = 502, 3903


# Upstream is at fault ---------------------------------------------------------------------------------------------


class UpstreamError(GatewayError):
    status, code, kind = 502, "upstream_error", "upstream_error"


class UpstreamUnreachable(UpstreamError):
    code, ngrok_code = "upstream_unreachable", 3800


class ConnectTimeout(UpstreamUnreachable):
    """No connection in time: nothing was sent, and this host's other keys would meet the same."""

    status, code, kind, anthropic_kind = 504, "upstream_timeout", "timeout_error", "timeout_error"


class UpstreamTLSFailed(UpstreamError):
    code = "upstream_tls_error"


class UpstreamInterrupted(UpstreamError):
    """The connection ended before the answer did."""

    code = "upstream_interrupted"


class StreamInterrupted(UpstreamInterrupted):
    """An event stream that ended before its end, when part of it had gone to the client."""

    code = "upstream_stream_interrupted"


class UpstreamAnswerInvalid(UpstreamError):
    """An answer that cannot be read where it has to be."""

    code = "upstream_invalid_response"


class UpstreamRedirected(UpstreamError):
    """A status that no answer to an API call has, most often a redirect, which is not followed."""

    code = "upstream_redirect"


class UpstreamTimeout(UpstreamError):
    status, code, kind, anthropic_kind = 504, "upstream_timeout", "timeout_error", "timeout_error"


class UpstreamAuthFailed(UpstreamError):
    code = "upstream_auth_failed"


class UpstreamQuotaExhausted(UpstreamError):
    status, code = 503, "upstream_quota"


class UpstreamRateLimited(UpstreamError):
    status, code, kind, anthropic_kind = 429, "rate_limit_exceeded", "rate_limit_error", "rate_limit_error"
    retryable = True


class UpstreamsExhausted(UpstreamError):
    """Every candidate failed, in different ways."""

    status, code, ngrok_code = 503, "all_providers_failed", 3807


class TotalTimeout(UpstreamTimeout):
    code, ngrok_code = "gateway_timeout", 3810


# What the policy asks others on the way ------------------------------------------------------------------------------


class CalloutError(GatewayError):
    """An `http-request` that failed: the one that is asked was not reached, or broke off."""

    status, code = 502, "callout_failed"


class CalloutTimeout(CalloutError):
    status, code, kind, anthropic_kind, ngrok_code = 504, "callout_timeout", "timeout_error", "timeout_error", 3602


class CalloutTooLarge(CalloutError):
    code, ngrok_code = "callout_too_large", 3601


class CalloutRedirected(CalloutError):
    code, ngrok_code = "callout_redirected", 3214


class CalloutLoop(CalloutError):
    status, code, ngrok_code = 508, "callout_loop", 3603


class ForwardError(UpstreamError):
    """A `forward-internal` that failed: what it leads to was not reached, or gave no answer."""

    code, ngrok_code = "forward_failed", 3210


class ForwardNotFound(ForwardError):
    """Nothing is known by that name."""

    code, ngrok_code = "forward_not_found", 3209


class ForwardTimeout(ForwardError):
    status, code, kind, anthropic_kind = 504, "forward_timeout", "timeout_error", "timeout_error"


class ForwardLoop(ForwardError):
    status, code, ngrok_code = 508, "forward_loop", 3501


class CircuitOpen(GatewayError):
    """The `circuit-breaker` action: too much has failed lately."""

    status, code, anthropic_kind, ngrok_code = 503, "circuit_open", "overloaded_error", 3202
    retryable = True

    def __init__(self, seconds: int) -> None:
        super().__init__("Too many requests have failed lately.", fields=[("retry-after", str(seconds))])


class Overloaded(GatewayError):
    status, code, anthropic_kind, retryable = 503, "overloaded", "overloaded_error", True
