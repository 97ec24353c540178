"""Lists and sets of values."""

from __future__ import annotations

from typing import Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.functions.operators import in_list
from ai_gateway_mw.cel.limits import checked_count
from ai_gateway_mw.cel.ordering import ordered
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import BOOL, DYN, INT, ListType, OptionalType, TypeParam
from ai_gateway_mw.cel.values import NONE, OptionalValue, UInt, int_in_range, uint_in_range

A = TypeParam("A")
_LIST = ListType(A)


def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    if not 0 <= start <= end <= len(values):
        raise EvaluationError("slice: this range is not within the list")
    return list(values[start:end])


def _flatten(values: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise EvaluationError("flatten: the depth is negative")
    flat: list[Any] = []
    for value in values:
        nested = isinstance(value, (list, tuple)) and depth > 0
        flat += _flatten(list(value), depth - 1) if nested else [value]
    return flat


def _sort(values: list[Any]) -> list[Any]:
    return [value for _, value in ordered([(value, value) for value in values])]


def _distinct(values: list[Any]) -> list[Any]:
    """The first of every value; what Python can hash is looked up, the rest is compared one by one."""
    seen: set[tuple[str, Any]] = set()
    rest: list[Any] = []
    kept = []
    for value in values:
        if isinstance(value, (str, int, float, bytes)) and value == value:
            key = ("bool" if isinstance(value, bool) else "", value)
            if key in seen:
                continue
            seen.add(key)
        elif in_list(value, rest):
            continue
        else:
            rest.append(value)
        kept.append(value)
    return kept


def _range(count: int) -> list[int]:
    return list(range(checked_count(max(0, count))))


def _reversed(values: list[Any]) -> list[Any]:
    return list(values[::-1])


def _first(values: list[Any]) -> OptionalValue:
    return OptionalValue(True, values[0]) if values else NONE


def _last(values: list[Any]) -> OptionalValue:
    return OptionalValue(True, values[-1]) if values else NONE


def _numbers(values: list[Any]) -> None:
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        raise EvaluationError("sum: the list must hold numbers only")


def _sum(values: list[Any]) -> Any:
    _numbers(values)
    total = sum(values)
    if values and all(isinstance(value, UInt) for value in values):
        return uint_in_range(total)
    return total if isinstance(total, float) else int_in_range(total)


def _contains_all(values: list[Any], wanted: list[Any]) -> bool:
    return all(in_list(each, values) for each in wanted)


def _same_set(left: list[Any], right: list[Any]) -> bool:
    return _contains_all(left, right) and _contains_all(right, left)


def _intersects(left: list[Any], right: list[Any]) -> bool:
    return any(in_list(each, right) for each in left)


LISTS: tuple[Overload, ...] = (
    Overload("slice", (_LIST, INT, INT), _LIST, _slice, member=True),
    Overload("flatten", (ListType(DYN),), ListType(DYN), _flatten, member=True),
    Overload("flatten", (ListType(DYN), INT), ListType(DYN), _flatten, member=True),
    Overload("sort", (_LIST,), _LIST, _sort, member=True),
    Overload("distinct", (_LIST,), _LIST, _distinct, member=True),
    Overload("reverse", (_LIST,), _LIST, _reversed, member=True),
    Overload("first", (_LIST,), OptionalType(A), _first, member=True),
    Overload("last", (_LIST,), OptionalType(A), _last, member=True),
    Overload("sum", (_LIST,), A, _sum, member=True),
    Overload("lists.range", (INT,), ListType(INT), _range),
    Overload("sets.contains", (_LIST, _LIST), BOOL, _contains_all),
    Overload("sets.equivalent", (_LIST, _LIST), BOOL, _same_set),
    Overload("sets.intersects", (_LIST, _LIST), BOOL, _intersects),
)
