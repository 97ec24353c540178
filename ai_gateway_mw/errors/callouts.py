"""What the policy asks others on the way: callouts, forwards, circuit breakers."""

from __future__ import annotations

from ai_gateway_mw.errors.base import GatewayError
from ai_gateway_mw.errors.upstream import UpstreamError


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
