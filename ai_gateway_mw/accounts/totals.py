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
    """Tokens and money (billionths of a dollar; None where nobody knows a price), and the last provider and model.

    `is_known` is false where a provider did not say what it had used, and nothing showed it either.
    """

    provider: str = ""
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_nano: int | None = 0
    is_known: bool = True

    @classmethod
    def of(cls, attempts: Sequence[Attempt], price_of: PriceOf) -> Totals:
        """The totals of these attempts."""
        if not attempts:
            return _NOTHING
        last = attempts[-1].candidate
        totals = cls(last.provider.id, last.model.id if last.model is not None else "")
        for attempt in attempts:
            if attempt.outcome.may_be_billed:
                totals = totals._with(attempt, price_of)
        return totals

    @property
    def settled(self) -> tuple[int | None, int | None, int | None]:
        """What a reservation is corrected to: what is not known stays as it was reserved."""
        if not self.is_known:
            return None, None, None
        return self.input_tokens, self.output_tokens, self.cost_nano

    def _with(self, attempt: Attempt, price_of: PriceOf) -> Totals:
        usage = attempt.counted_usage
        if usage is None:
            return self._replace(is_known=False)
        read, made, model = usage.input_tokens or 0, usage.output_tokens or 0, attempt.candidate.model
        cost = self.cost_nano
        if read or made:
            price = price_of(model) if model is not None else None
            cost = None if price is None or cost is None else cost + price.cost(read, made, usage.cached)
        return self._replace(
            input_tokens=self.input_tokens + read,
            output_tokens=self.output_tokens + made,
            cached_tokens=self.cached_tokens + usage.cached,
            cost_nano=cost,
        )


_NOTHING: Final = Totals()
