"""Operators: equality, order, arithmetic, membership."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.limits import checked_count, checked_size
from ai_gateway_mw.cel.moments import duration_in_range, timestamp_in_range
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    ListType,
    MapType,
    Type,
    TypeParam,
)
from ai_gateway_mw.cel.values import MISSING, UInt, equals, int_in_range, lookup, uint_in_range

A, B = TypeParam("A"), TypeParam("B")
NUMBERS = (INT, UINT, DOUBLE)
ORDERED = (BOOL, INT, UINT, DOUBLE, STRING, BYTES)


def _unequal(left: Any, right: Any) -> bool:
    return not equals(left, right)


def in_list(value: Any, values: list[Any]) -> bool:
    """`in` for a list."""
    return any(equals(value, each) for each in values)


def in_map(key: Any, mapping: Mapping[Any, Any]) -> bool:
    """`in` for the keys of a map."""
    return lookup(mapping, key) is not MISSING


def concatenated(left: Any, right: Any) -> Any:
    """Two strings or byte strings, one after the other."""
    checked_size(len(left) + len(right))
    return left + right


def joined_lists(left: Any, right: Any) -> list[Any]:
    """Two lists, one after the other."""
    checked_count(len(left) + len(right))
    return [*left, *right]


def quotient(left: int, right: int) -> int:
    """Division that rounds toward zero, as CEL's does and Python's does not."""
    if right == 0:
        raise EvaluationError("division by zero")
    whole = abs(left) // abs(right)
    return whole if (left < 0) is (right < 0) else -whole


def remainder(left: int, right: int) -> int:
    """What `quotient` leaves over; it has the sign of the left operand."""
    if right == 0:
        raise EvaluationError("modulus by zero")
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _divided(left: float, right: float) -> float:
    """IEEE 754 division, which has an answer for zero."""
    if right != 0:
        return left / right
    if left == 0 or left != left:
        return float("nan")
    positive = (left > 0) is (str(right)[0] != "-")
    return float("inf") if positive else float("-inf")


def _int(function: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda left, right: int_in_range(function(left, right))


def _uint(function: Callable[[int, int], int]) -> Callable[[int, int], UInt]:
    return lambda left, right: uint_in_range(function(int(left), int(right)))


def _arithmetic(
    name: str, whole: Callable[[int, int], int], real: Callable[[float, float], float] | None
) -> list[Overload]:
    rows = [Overload(name, (INT, INT), INT, _int(whole)), Overload(name, (UINT, UINT), UINT, _uint(whole))]
    return [*rows, Overload(name, (DOUBLE, DOUBLE), DOUBLE, real)] if real else rows


def _order(name: str, compare: Callable[[Any, Any], bool]) -> list[Overload]:
    """Within each ordered type, and between the number types."""
    rows = [Overload(name, (type_, type_), BOOL, compare) for type_ in ORDERED]
    as_doubles = lambda left, right: compare(float(left), float(right))  # noqa: E731
    rows += [Overload(name, pair, BOOL, compare) for pair in ((INT, UINT), (UINT, INT))]
    rows += [
        Overload(name, pair, BOOL, as_doubles) for type_ in (INT, UINT) for pair in ((type_, DOUBLE), (DOUBLE, type_))
    ]
    timed = lambda left, right: compare(left.ns, right.ns)  # noqa: E731
    return rows + [Overload(name, (type_, type_), BOOL, timed) for type_ in (TIMESTAMP, DURATION)]


def _timed(
    name: str, left: Type, right: Type, result: Type, whole: Callable[[int, int], int], make: Callable[[int], Any]
) -> Overload:
    return Overload(name, (left, right), result, lambda one, other: make(whole(one.ns, other.ns)))


OPERATORS: tuple[Overload, ...] = (
    Overload("_==_", (A, A), BOOL, equals),
    Overload("_!=_", (A, A), BOOL, _unequal),
    Overload("_in_", (A, ListType(A)), BOOL, in_list),
    Overload("_in_", (A, MapType(A, B)), BOOL, in_map),
    Overload("!_", (BOOL,), BOOL, operator.not_),
    Overload("-_", (INT,), INT, lambda value: int_in_range(-value)),
    Overload("-_", (DOUBLE,), DOUBLE, operator.neg),
    *_order("_<_", operator.lt),
    *_order("_<=_", operator.le),
    *_order("_>_", operator.gt),
    *_order("_>=_", operator.ge),
    *_arithmetic("_+_", operator.add, operator.add),
    *_arithmetic("_-_", operator.sub, operator.sub),
    *_arithmetic("_*_", operator.mul, operator.mul),
    *_arithmetic("_/_", quotient, _divided),
    *_arithmetic("_%_", remainder, None),
    Overload("_+_", (STRING, STRING), STRING, concatenated),
    Overload("_+_", (BYTES, BYTES), BYTES, concatenated),
    Overload("_+_", (ListType(A), ListType(A)), ListType(A), joined_lists),
    _timed("_+_", TIMESTAMP, DURATION, TIMESTAMP, operator.add, timestamp_in_range),
    _timed("_+_", DURATION, TIMESTAMP, TIMESTAMP, operator.add, timestamp_in_range),
    _timed("_+_", DURATION, DURATION, DURATION, operator.add, duration_in_range),
    _timed("_-_", TIMESTAMP, TIMESTAMP, DURATION, operator.sub, duration_in_range),
    _timed("_-_", TIMESTAMP, DURATION, TIMESTAMP, operator.sub, timestamp_in_range),
    _timed("_-_", DURATION, DURATION, DURATION, operator.sub, duration_in_range),
)
