"""What the client is told when every candidate has failed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ai_gateway_mw.errors import (
    GatewayError,
    ModelNotFound,
    Overloaded,
    UpstreamAuthFailed,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamsExhausted,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from ai_gateway_mw.upstream.candidate import Attempt

# What several attempts have in common only where it tells the client what to do.
_WORTH_NAMING = frozenset(
    [ModelNotFound, Overloaded, UpstreamAuthFailed, UpstreamQuotaExhausted, UpstreamRateLimited, UpstreamTimeout]
    + [UpstreamUnreachable]
)

_NOBODY_ASKED: dict[type[GatewayError], str] = {
    UpstreamRateLimited: "Every API key waits for its rate limit.",
    UpstreamsExhausted: "Every provider that could serve this is failing, and being tried by another request.",
}


def exhausted(attempts: Sequence[Attempt], cooling: Sequence[float] = ()) -> GatewayError:
    """The fault that all attempts have in common, or `UpstreamsExhausted`. `cooling` are the seconds for which keys
    that were not asked wait for their rate limit.

    Names providers, models and statuses, and nothing that an upstream said: its text may hold account names.
    """
    kind = UpstreamRateLimited if cooling and not attempts else _common_fault(attempts)
    fields = [("x-gateway-attempts", str(len(attempts)))]
    waits = [*cooling, *(attempt.retry_after for attempt in attempts if attempt.retry_after is not None)]
    if kind is UpstreamRateLimited and waits:
        # OpenAI's SDK reads the second one first; the first is for everybody else.
        fields.append(("retry-after", str(max(1, math.ceil(min(waits))))))
        fields.append(("retry-after-ms", str(max(1, math.ceil(min(waits) * 1000)))))
    if not attempts:
        return kind(_NOBODY_ASKED[kind], fields=fields)
    return kind(f"All providers failed: {trail(attempts)}", fields=fields)


def _common_fault(attempts: Sequence[Attempt]) -> type[GatewayError]:
    if len(attempts) == 1:
        error = attempts[0].error
        return type(error) if error is not None else attempts[0].outcome.last_resort
    kinds = {attempt.outcome.last_resort for attempt in attempts}
    return kinds.pop() if kinds and len(kinds) == 1 and kinds <= _WORTH_NAMING else UpstreamsExhausted


def trail(attempts: Sequence[Attempt]) -> str:
    """The attempts, one after the other, on one line."""
    return "; ".join(attempt.detail for attempt in attempts)
