"""Totals: what one exchange has used, over all its attempts that a provider may charge for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from ai_gateway_mw.usage import Prices, UnknownPrice

if TYPE_CHECKING:
    from ai_gateway_mw.upstream.candidate import Attempt


class Totals(NamedTuple):
    """Tokens and money (billionths of a dollar; None where nobody knows a price), and the last provider and model."""

    provider: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_nano: int | None = 0

    @classmethod
    def of(
        cls, attempts: Sequence[Attempt], prices: Prices, unknown: UnknownPrice, reserved: tuple[int, int]
    ) -> Totals:
        """The totals of these attempts, at the prices that apply. What one of them does not tell, and nothing shows, is
        the input or output that was reserved: a budget had better end too early than too late."""
        if not attempts:
            return _NOTHING
        all_read = all_made = all_cached = 0
        cost: int | None = 0
        for attempt in attempts:
            candidate = attempt.candidate
            if not attempt.outcome.may_be_billed:
                continue
            read, made, cached, _, written = attempt.counted_usage or _UNTOLD
            if read is None:
                read = written = reserved[0]
            if made is None:
                made = reserved[1]
            if read or made:
                price = None if candidate.model is None else prices.applied(candidate.model, unknown)
                cost = None if price is None or cost is None else cost + price.cost(read, made, cached, written)
            all_read += read
            all_made += made
            all_cached += cached
        last = attempts[-1].candidate
        model_id = "" if last.model is None else last.model.id
        return cls(last.provider.id, model_id, all_read, all_made, all_cached, cost)


_NOTHING: Final = Totals()
_UNTOLD: Final = (None, None, 0, 0, 0)
