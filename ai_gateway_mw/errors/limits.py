"""A limit of ours, or something without which nobody is let through."""

from __future__ import annotations

from collections.abc import Sequence

from ai_gateway_mw.errors.base import GatewayError, PermissionDenied


class AuditUnavailable(GatewayError):
    """The request must be written to the audit log before it goes on, and cannot be."""

    status, code, anthropic_kind, retryable = 503, "audit_unavailable", "overloaded_error", True

    def __init__(self) -> None:
        super().__init__("The request cannot be recorded at the moment.", fields=[("retry-after", "1")])


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
