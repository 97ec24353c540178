"""Which values can be put in order, and sorting them."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.values import adapted


def family(value: Any) -> str:
    """Values are comparable within a family; an empty text for what has no order."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    names = ((str, "string"), (bytes, "bytes"), (Timestamp, "timestamp"), (Duration, "duration"))
    return next((name for cls, name in names if isinstance(value, cls)), "")


def plain(value: Any) -> Any:
    """What Python may compare in the value's place."""
    return value.ns if isinstance(value, (Timestamp, Duration)) else value


def ordered(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """(key, element) pairs by key, smallest first; equal ones stay as they are. Keys must be of one family."""
    classes = {type(key) for key, _ in pairs}
    if len(classes) == 1 and classes <= _PLAIN:
        return sorted(pairs, key=itemgetter(0))
    keyed = [(adapted(key), element) for key, element in pairs]
    families = {family(key) for key, _ in keyed}
    if "" in families or len(families) > 1:
        raise EvaluationError("only values of one ordered type can be sorted")
    return sorted(keyed, key=lambda pair: plain(pair[0]))


def present(pairs: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """The pairs that have a key."""
    return [pair for pair in pairs if pair[0] is not None]


def keyless_last(pairs: list[tuple[Any, Any]]) -> list[Any]:
    """The elements by their keys, then those that have none."""
    return [element for _, element in ordered(present(pairs))] + [element for key, element in pairs if key is None]


def extreme(pairs: list[tuple[Any, Any]], place: int) -> Any:
    """The element with the smallest (0) or largest (-1) key; the first, if several have it."""
    by_key = ordered(pairs)
    if not by_key:
        raise EvaluationError("an empty list has neither a smallest nor a largest element")
    best = by_key[place][0]
    return next((element for key, element in by_key if key == best), by_key[place][1])


_PLAIN = frozenset({int, float, str})
