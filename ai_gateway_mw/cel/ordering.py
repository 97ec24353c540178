"""Which values can be put in order, and sorting them."""

from __future__ import annotations

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
    keyed = [(adapted(key), element) for key, element in pairs]
    families = {family(key) for key, _ in keyed}
    if "" in families or len(families) > 1:
        raise EvaluationError("only values of one ordered type can be sorted")
    return sorted(keyed, key=lambda pair: plain(pair[0]))
