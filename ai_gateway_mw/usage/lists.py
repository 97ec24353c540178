"""Price lists: what `genai-prices` (the extra `prices`) knows, of which we read the data that came with the package.

That package can fetch newer data; it does so only for one who starts its updater, which nothing here does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Final, NamedTuple

_SAMPLE: Final = 1_000  # tokens; long prompts cost more at some providers, and the catalogue has the lowest tier too
_SAMPLES_IN_A_MILLION: Final = 1_000
_LONGEST: Final = 200  # characters of a name that may be a model's


class ListPrice(NamedTuple):
    """US dollars for a million tokens; `cached` is None where the cache makes nothing cheaper, and `written` where it
    makes nothing dearer."""

    input: float | Decimal
    output: float | Decimal
    cached: float | Decimal | None = None
    written: float | Decimal | None = None


PriceList = Callable[[Collection[str], str], ListPrice | None]
"""The price by the names of a provider and the model's name there, None where the list has none."""


def no_list(_provider: Collection[str], _model: str) -> ListPrice | None:
    """A list without prices."""
    return None


def bundled_list() -> PriceList:
    """The list of the installed `genai-prices`, with a memory of its own; an empty one where it is not installed."""
    try:
        # Not at the top: the extra may be missing, and the data takes a third of a second to import.
        from genai_prices import Usage, data  # noqa: PLC0415
        from genai_prices.data_snapshot import DataSnapshot  # noqa: PLC0415
    except ImportError:
        return no_list
    # A snapshot of ours, and not the package's own: that one may be exchanged by an updater of the app around us.
    snapshot = DataSnapshot(providers=data.providers, from_auto_update=False)

    def price(provider: str, model: str) -> ListPrice | None:
        try:
            read = snapshot.calc(Usage(input_tokens=_SAMPLE, output_tokens=_SAMPLE), model, provider, None, None)
            cached = snapshot.calc(Usage(input_tokens=_SAMPLE, cache_read_tokens=_SAMPLE), model, provider, None, None)
            written = snapshot.calc(
                Usage(input_tokens=_SAMPLE, cache_write_tokens=_SAMPLE), model, provider, None, None
            )
        except (LookupError, ValueError):
            return None
        # It also takes names that only resemble a provider's: `azure-openai` for OpenAI, a proxy for what is behind it.
        if read.provider.id != provider or getattr(read.model_price, "input_mtok", None) is None:
            return None
        return ListPrice(
            *(
                each * _SAMPLES_IN_A_MILLION
                for each in (read.input_price, read.output_price, cached.input_price, written.input_price)
            )
        )

    def listed(provider: Collection[str], model: str) -> ListPrice | None:
        if len(model) > _LONGEST:
            return None
        found = (price(name, model) for name in sorted(provider))
        return next((each for each in found if each is not None), None)

    return listed
