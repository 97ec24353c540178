"""Totals: what one exchange has used, over all its attempts that a provider may charge for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from ai_gateway_mw.providers import Model
from ai_gateway_mw.usage import Price

if TYPE_CHECKING:
    from ai_gateway_mw.upstream.candidate import Attempt

PriceOf = Callable[[Model], Price | None]


class Totals(NamedTuple):
    """Tokens and money (billionths of a dollar; None where nobody knows a price), and the last provider and model."""

    provider: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_nano: int | None = 0

    @classmethod
    def of(cls, attempts: Sequence[Attempt], price_of: PriceOf, reserved: tuple[int, int] = (0, 0)) -> Totals:
        """The totals of these attempts. What one of them does not tell, and nothing shows, is the input or output that
        was reserved: a budget had better end too early than too late."""
        if not attempts:
            return _NOTHING
        all_read = all_made = all_cached = 0
        cost: int | None = 0
        for attempt in attempts:
            if not attempt.outcome.may_be_billed:
                continue
            usage, model = attempt.counted_usage, attempt.candidate.model
            read, made, cached = (None, None, 0) if usage is None else usage[:3]
            read, made = reserved[0] if read is None else read, reserved[1] if made is None else made
            if read or made:
                price = price_of(model) if model is not None else None
                cost = None if price is None or cost is None else cost + price.cost(read, made, cached)
            all_read, all_made, all_cached = all_read + read, all_made + made, all_cached + cached
        last = attempts[-1].candidate
        model_id = last.model.id if last.model is not None else ""
        return cls(last.provider.id, model_id, all_read, all_made, all_cached, cost)


_NOTHING: Final = Totals()
