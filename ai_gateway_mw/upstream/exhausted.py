"""What the client is told when every candidate has failed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ai_gateway_mw.errors import (
    GatewayError,
    ModelNotFound,
    Overloaded,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamsExhausted,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from ai_gateway_mw.upstream.candidate import Attempt
from ai_gateway_mw.upstream.outcome import Outcome

_ALIKE: dict[Outcome, type[GatewayError]] = {
    Outcome.RATE_LIMITED: UpstreamRateLimited,
    Outcome.QUOTA_EXHAUSTED: UpstreamQuotaExhausted,
    Outcome.KEY_REJECTED: UpstreamAuthFailed,
    Outcome.MODEL_UNAVAILABLE: ModelNotFound,
    Outcome.TIMED_OUT: UpstreamTimeout,
    Outcome.UNREACHABLE: UpstreamUnreachable,
    Outcome.OVERLOADED: Overloaded,
}
_BROKEN = frozenset({Outcome.ERRED, Outcome.FAILED, Outcome.INTERRUPTED, Outcome.REGION_REFUSED})
_UNAVAILABLE = frozenset({503, 529})  # the provider says so itself; 529 is Anthropic's


def exhausted(attempts: Sequence[Attempt]) -> GatewayError:
    """The fault that all attempts have in common, or `UpstreamsExhausted`.

    Names providers, models and statuses, and nothing that an upstream said: its text may hold account names.
    """
    kind = _common_fault(attempts)
    fields = [("x-gateway-attempts", str(len(attempts)))]
    waits = [attempt.retry_after for attempt in attempts if attempt.retry_after is not None]
    if kind is UpstreamRateLimited and waits:
        fields.append(("retry-after", str(max(1, math.ceil(min(waits))))))
    return kind(f"All providers failed: {trail(attempts)}", fields=fields)


def _common_fault(attempts: Sequence[Attempt]) -> type[GatewayError]:
    outcomes = {attempt.outcome for attempt in attempts}
    if len(attempts) == 1 and attempts[0].error is not None:
        return type(attempts[0].error)
    if len(outcomes) == 1 and (alike := _ALIKE.get(attempts[0].outcome)):
        return alike
    broken = len(attempts) == 1 and attempts[0].outcome in _BROKEN and attempts[0].status not in _UNAVAILABLE
    return UpstreamError if broken else UpstreamsExhausted


def trail(attempts: Sequence[Attempt]) -> str:
    """The attempts, one after the other, on one line."""
    return "; ".join(attempt.detail for attempt in attempts) or "no attempt was finished"
