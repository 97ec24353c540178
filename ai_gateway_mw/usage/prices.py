"""Prices: what a model's tokens cost, by the policy, the catalogue or the lists of genai-prices; never by the network.

Money is counted in billionths of a US dollar, in whole numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final, Literal

from ai_gateway_mw.providers import Model, Provider
from ai_gateway_mw.usage.lists import ListPrice, PriceList, bundled_list

UnknownPrice = Literal["deny", "estimate", "zero"]
"""What becomes of a model whose price nobody knows: refused, priced dearly, or free."""

_MILLION: Final = 1_000_000
_NANO: Final = 1_000_000_000
_MAX_CACHED: Final = 10_000  # clients name models at will
_WITHOUT_OUTPUT: Final = ("embedding", "moderation", "rerank")


@dataclass(frozen=True, slots=True)
class Price:
    """Billionths of a US dollar for a million tokens: of the prompt, of the output, of the prompt out of a cache, and
    what those of the prompt cost more that go into a cache."""

    input: int
    output: int
    cached: int
    surcharge: int = 0

    @classmethod
    def of_dollars(cls, price: ListPrice) -> Price:
        """The price that a list has; without one of its own, a token out of a cache or into it costs like another, and
        one into it never less, whatever the list has: any of the prompt may go there, and is reserved at that price."""
        read = _nano(price.input)
        cached = read if price.cached is None else _nano(price.cached)
        surcharge = 0 if price.written is None else max(0, _nano(price.written) - read)
        return cls(read, _nano(price.output), cached, surcharge)

    def cost(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0, written_tokens: int = 0) -> int:
        """Billionths of a dollar, rounded up; `cached_tokens` are the part of the input that came from a cache, and
        `written_tokens` the part of the rest that went into one."""
        cached = min(cached_tokens, input_tokens)
        total = (input_tokens - cached) * self.input + cached * self.cached + output_tokens * self.output
        if self.surcharge and written_tokens:
            total += min(written_tokens, input_tokens - cached) * self.surcharge
        return -(-total // _MILLION)


FREE: Final = Price(0, 0, 0)
_NEVER_SEEN: Final = (None, None)
# For a provider none of whose prices is known: what the dearest general models cost.
DEAR: Final = Price(input=30 * _NANO, output=150 * _NANO, cached=30 * _NANO)


class Prices:
    """The prices of models, looked up once each; those of the policy and the catalogue come first.

    A price list is read at a model's first use, so a price that changes meanwhile counts from the next start on.
    """

    def __init__(self, price_list: Callable[[], PriceList] = bundled_list) -> None:
        self._make_list = price_list
        self._list: PriceList | None = None
        self._known: dict[tuple[str, str], tuple[Mapping[str, Any], Price | None]] = {}

    def prepare(self) -> None:
        """Read the price list now, which takes a third of a second that no request should wait for."""
        if self._list is None:
            self._list = self._make_list()

    def of(self, model: Model) -> Price | None:
        """What this model's tokens cost at its provider, None where nobody knows."""
        stated, price = self._known.get((model.provider.id, model.id), _NEVER_SEEN)
        # A policy that was loaded again may say another price for the same name.
        return price if stated is model.pricing or stated == model.pricing else self._look_up(model)

    def applied(self, model: Model, unknown: UnknownPrice) -> Price | None:
        """The price to count with. None is for `deny` only: the request must be refused.

        An estimate takes the highest price of input and the highest of output that the provider's known models have,
        or `DEAR` where it has none, and nothing off for a cache.
        """
        price = self.of(model)
        if price is not None or unknown == "deny":
            return price
        return FREE if unknown == "zero" else self._estimate(model.provider)

    def _look_up(self, model: Model) -> Price | None:
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()
            self._list = None  # it remembers names as well
        price = _stated(model) or self._listed(model)
        self._known[model.provider.id, model.id] = (model.pricing, price)
        return price

    def _listed(self, model: Model) -> Price | None:
        self.prepare()
        assert self._list is not None
        found = self._list(model.provider.names, model.upstream_id)
        return None if found is None else Price.of_dollars(found)

    def _estimate(self, provider: Provider) -> Price:
        known = [price for each in provider.models if (price := self.of(each)) is not None and price != FREE]
        if not known:
            return DEAR
        dearest = max(price.input for price in known)
        surcharge = max(price.surcharge for price in known)
        return Price(dearest, max(price.output for price in known), dearest, surcharge)


def _stated(model: Model) -> Price | None:
    """What the policy or the catalogue says, if it is enough to count with."""
    text = model.pricing.get("text", {})
    output = text.get("output", 0 if model.kind in _WITHOUT_OUTPUT else None)
    if "input" not in text or output is None:
        return None
    cached, written = text.get("input_cache_read"), text.get("input_cache_write")
    return Price.of_dollars(ListPrice(text["input"], output, cached, written))


def _nano(dollars: float | Decimal) -> int:
    return int((Decimal(str(dollars)) * _NANO).to_integral_value(ROUND_CEILING))
