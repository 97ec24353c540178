"""`ai.models`, `ai.providers`, `ai.authors` and `ai.keys` of strategies: their types, and what may be called on them.

The forms that take an expression (`filter`, `sortBy(m, …)`) are macros of the language; here are the plain functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import permutations
from operator import itemgetter
from random import Random
from typing import Any, TypeVar

from ai_gateway_mw.cel import (
    BOOL,
    DOUBLE,
    DYN,
    INT,
    STRING,
    EvaluationError,
    ListType,
    MapType,
    Nullable,
    ObjectType,
    Overload,
    Type,
)
from ai_gateway_mw.providers import Author, Model, Provider
from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.state import ErrorRates, Latency, Quota
from ai_gateway_mw.upstream.key_ring import ProviderKey

T = TypeVar("T")
Named = TypeVar("Named", Model, Provider, Author)

_STRINGS = ListType(STRING)
_MAP = MapType(STRING, DYN)

MODEL = ObjectType(
    "AIModel",
    Model,
    {
        "id": STRING,
        "id_aliases": _STRINGS,
        "provider_id": STRING,
        "provider_id_aliases": _STRINGS,
        "author_id": STRING,
        "author_id_aliases": _STRINGS,
        "display_name": STRING,
        "description": STRING,
        "known": BOOL,
        "custom": BOOL,
        "metadata": _MAP,
        "input_modalities": _STRINGS,
        "output_modalities": _STRINGS,
        "supported_features": _STRINGS,
        "max_context_window": INT,
        "max_output_tokens": INT,
        "parameter_count": INT,
        "quantization": STRING,
        "data_training_policy": STRING,
        "data_retention_days": Nullable(INT),
        "data_retention_policy": STRING,
        "pricing": _MAP,
        "datacenters": ListType(MapType(STRING, STRING)),
        "metrics": _MAP,
    },
)
PROVIDER = ObjectType(
    "AIProvider",
    Provider,
    {
        "id": STRING,
        "id_aliases": _STRINGS,
        "base_url": STRING,
        "display_name": STRING,
        "description": STRING,
        "website": STRING,
        "disabled": BOOL,
        "custom": BOOL,
        "metadata": _MAP,
        "models": ListType(MODEL),
    },
)
AUTHOR = ObjectType(
    "AIAuthor", Author, {"id": STRING, "id_aliases": _STRINGS, "display_name": STRING, "website": STRING}
)
QUOTA = ObjectType(
    "AIQuota",
    Quota,
    {
        "remaining_requests": Nullable(INT),
        "remaining_tokens": Nullable(INT),
        "limit_requests": Nullable(INT),
        "limit_tokens": Nullable(INT),
    },
)
ERROR_RATE = ObjectType(
    "AIErrorRate",
    ErrorRates,
    {"total": DOUBLE, "timeout": DOUBLE, "rate_limit": DOUBLE, "client": DOUBLE, "server": DOUBLE},
)
LATENCY = ObjectType(
    "AILatency",
    Latency,
    {
        "upstream_ms_avg": INT,
        "upstream_ms_p95": INT,
        "time_to_first_token_ms_avg": Nullable(INT),
        "time_to_first_token_ms_p95": Nullable(INT),
    },
)
KEY_VALUE = ObjectType("AIKeyValue", Secret, {})
KEY = ObjectType(
    "AIKey",
    ProviderKey,
    {
        "id": STRING,
        "value": KEY_VALUE,
        "quota": QUOTA,
        "error_rate": ERROR_RATE,
        "latency": LATENCY,
        "samples": INT,
        "in_flight": INT,
        "cooling": BOOL,
        "state": STRING,
    },
)
PRICE_TYPES = frozenset(
    {
        "text.input",
        "text.output",
        "text.input_cache_write",
        "text.input_cache_read",
        "text.input_batch",
        "text.output_batch",
        "tools.web_search.per_search_call",
        "tools.code_interpreter.per_execution_call",
        "tools.file_search.per_storage_gb",
        "tools.image_generation.per_image_generation",
    }
)
MODELS, PROVIDERS, AUTHORS, KEYS = ListType(MODEL), ListType(PROVIDER), ListType(AUTHOR), ListType(KEY)


def ai_types() -> tuple[ObjectType, ...]:
    """The Python classes that strategies may look into."""
    return (MODEL, PROVIDER, AUTHOR, KEY, KEY_VALUE, QUOTA, ERROR_RATE, LATENCY)


def ai_functions(random: Random) -> tuple[Overload, ...]:
    """Everything that can be called on models, providers, authors and keys."""
    return (
        *_narrowing("", MODELS, _names),
        *_narrowing("Providers", MODELS, lambda model: _names(model.provider)),
        *_narrowing("Authors", MODELS, lambda model: _names(model.author) if model.author else frozenset()),
        *_narrowing("", PROVIDERS, _names),
        *_narrowing("", AUTHORS, _names),
        *_narrowing("", KEYS, lambda key: frozenset([key.id])),
        *(row for items in (MODELS, PROVIDERS, AUTHORS, KEYS) for row in _by_chance(items, random)),
        _method("get", (MODELS, STRING, STRING), MODEL, _model_of),
        _method("get", (PROVIDERS, STRING), PROVIDER, _get),
        _method("get", (AUTHORS, STRING), AUTHOR, _get),
        _method("getModel", (PROVIDER, STRING), MODEL, lambda provider, name: _get(provider.models, name)),
        _method("getMetadata", (MODEL, STRING), DYN, _metadata),
        _method("getMetadata", (PROVIDER, STRING), DYN, _metadata),
        _method("inRegion", (MODELS, STRING), MODELS, _in("region")),
        _method("inCountryCode", (MODELS, STRING), MODELS, _in("country_code")),
        _method("underCost", (MODELS, STRING, DOUBLE), MODELS, _under_cost),
        _method("underCost", (MODELS, STRING, INT), MODELS, _under_cost),
        _method("sortBy", (MODELS, STRING), MODELS, _sorted_by),
    )


def _method(name: str, params: tuple[Type, ...], result: Type, call: Callable[..., Any]) -> Overload:
    return Overload(name, params, result, call, member=True)


def _names(item: Model | Provider | Author) -> frozenset[str]:
    return item.names


def _narrowing(of: str, items: Type, names: Callable[[Any], frozenset[str]]) -> tuple[Overload, Overload]:
    """`only…` and `ignore…`: keep or drop what has one of the given names, in any case."""

    def only(candidates: Sequence[T], wanted: Sequence[str]) -> list[T]:
        folded = {name.casefold() for name in wanted}
        return [item for item in candidates if not names(item).isdisjoint(folded)]

    def ignore(candidates: Sequence[T], unwanted: Sequence[str]) -> list[T]:
        folded = {name.casefold() for name in unwanted}
        return [item for item in candidates if names(item).isdisjoint(folded)]

    params = (items, _STRINGS)
    return _method(f"only{of}", params, items, only), _method(f"ignore{of}", params, items, ignore)


# Of few things, every order that they can have.
_ORDERS = {number: [itemgetter(*order) for order in permutations(range(number))] for number in (2, 3, 4)}


def _by_chance(items: Type, random: Random) -> tuple[Overload, Overload]:
    def one(candidates: Sequence[T]) -> T:
        if not candidates:
            raise EvaluationError("`random` was called on an empty list")
        return random.choice(candidates)

    def shuffled(candidates: Sequence[T]) -> list[T]:
        orders = _ORDERS.get(len(candidates))
        if orders is not None:
            return list(orders[int(random.random() * len(orders))](candidates))
        return sorted(candidates, key=lambda _: random.random())  # of what `random.sample` takes, a third

    return _method("random", (items,), items.params[0], one), _method("randomize", (items,), items, shuffled)


def _get(candidates: Sequence[Named], name: str) -> Named:
    folded = name.casefold()
    for item in candidates:
        if folded in item.names:
            return item
    raise EvaluationError("nothing in the list has that id or alias")


def _model_of(models: Sequence[Model], provider: str, name: str) -> Model:
    provider = provider.casefold()
    return _get([model for model in models if provider in model.provider.names], name)


def _in(field: str) -> Callable[[Sequence[Model], str], list[Model]]:
    def located(models: Sequence[Model], code: str) -> list[Model]:
        code = code.casefold()
        return [model for model in models if any(place[field].casefold() == code for place in model.datacenters)]

    return located


def _under_cost(models: Sequence[Model], kind: str, limit: float) -> list[Model]:
    """Models whose price of this kind is known and below the limit."""
    if kind not in PRICE_TYPES:
        raise EvaluationError("`underCost` does not know this type of price")
    prices = ((model, _at(model.pricing, kind)) for model in models)
    return [model for model, price in prices if isinstance(price, int | float) and price < limit]


def _sorted_by(models: Sequence[Model], field: str) -> list[Model]:
    """By what a million tokens of prompt cost, the cheapest first; models without a price come last."""
    if field != "price":
        raise EvaluationError("`sortBy` with a text knows only 'price'; for other keys write sortBy(m, m.…)")
    prices = {id(model): _at(model.pricing, "text.input") for model in models}
    return sorted(models, key=lambda model: (prices[id(model)] is None, prices[id(model)] or 0.0))


def _metadata(item: Model | Provider, path: str) -> Any:
    return _at(item.metadata, path)


def _at(tree: Any, path: str) -> Any:
    """What a path with dots leads to, or None."""
    for step in path.split("."):
        if not isinstance(tree, Mapping) or step not in tree:
            return None
        tree = tree[step]
    return tree
