"""The `math` extension: extremes, rounding, signs, bits."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.ordering import family
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import BOOL, DOUBLE, DYN, INT, UINT, ListType
from ai_gateway_mw.cel.values import UINT_MAX, UInt, int_in_range

_NUMBERS = (INT, UINT, DOUBLE)


def _extreme(name: str, pick: Callable[..., Any]) -> list[Overload]:
    def of_list(values: list[Any]) -> Any:
        if not values or any(family(value) != "number" for value in values):
            raise EvaluationError(f"{name} wants a list of numbers that is not empty")
        return pick(values)

    rows = [Overload(name, (type_,), type_, lambda value: value) for type_ in _NUMBERS]
    rows += [Overload(name, (type_, type_), type_, lambda one, other: pick((one, other))) for type_ in _NUMBERS]
    rows += [
        Overload(name, (one, other), DYN, lambda one, other: pick((one, other)))
        for one in _NUMBERS
        for other in _NUMBERS
        if one != other
    ]
    rows += [Overload(name, (ListType(type_),), type_, of_list) for type_ in _NUMBERS]
    return [*rows, Overload(name, (ListType(DYN),), DYN, of_list)]


def _whole(function: Callable[[float], float]) -> Callable[[float], float]:
    """Rounding that leaves infinities and NaN alone and keeps the sign of zero."""
    return lambda value: math.copysign(float(function(value)), value) if math.isfinite(value) else value


def _half_away(value: float) -> float:
    whole = math.trunc(value)
    return whole + math.copysign(1, value) if abs(value - whole) >= 0.5 else whole


def _sign(value: float) -> float:
    return value if value != value or value == 0 else math.copysign(1.0, value)


def _square_root(value: float) -> float:
    return math.sqrt(value) if value >= 0 or value != value else math.nan


def _shift(left: bool, *, unsigned: bool) -> Callable[[int, int], int]:
    def shift(value: int, by: int) -> int:
        if by < 0:
            raise EvaluationError("math: the number of bits to shift by is negative")
        bits = value & UINT_MAX
        moved = 0 if by > 63 else bits << by & UINT_MAX if left else bits >> by
        return UInt(moved) if unsigned else _signed(moved)

    return shift


def _signed(bits: int) -> int:
    return bits - (UINT_MAX + 1) if bits > UINT_MAX >> 1 else bits


def _bits(name: str, function: Callable[[int, int], int]) -> list[Overload]:
    unsigned = lambda left, right: UInt(function(int(left), int(right)))  # noqa: E731
    return [Overload(name, (INT, INT), INT, function), Overload(name, (UINT, UINT), UINT, unsigned)]


def _shifts(name: str, *, left: bool) -> list[Overload]:
    return [
        Overload(name, (INT, INT), INT, _shift(left, unsigned=False)),
        Overload(name, (UINT, INT), UINT, _shift(left, unsigned=True)),
    ]


MATH: tuple[Overload, ...] = (
    *_extreme("math.greatest", max),
    *_extreme("math.least", min),
    Overload("math.ceil", (DOUBLE,), DOUBLE, _whole(math.ceil)),
    Overload("math.floor", (DOUBLE,), DOUBLE, _whole(math.floor)),
    Overload("math.round", (DOUBLE,), DOUBLE, _whole(_half_away)),
    Overload("math.trunc", (DOUBLE,), DOUBLE, _whole(math.trunc)),
    Overload("math.abs", (INT,), INT, lambda value: int_in_range(abs(value))),
    Overload("math.abs", (UINT,), UINT, lambda value: value),
    Overload("math.abs", (DOUBLE,), DOUBLE, abs),
    Overload("math.sign", (INT,), INT, lambda value: (value > 0) - (value < 0)),
    Overload("math.sign", (UINT,), UINT, lambda value: UInt(value > 0)),
    Overload("math.sign", (DOUBLE,), DOUBLE, _sign),
    *(Overload("math.sqrt", (type_,), DOUBLE, _square_root) for type_ in _NUMBERS),
    Overload("math.isNaN", (DOUBLE,), BOOL, math.isnan),
    Overload("math.isInf", (DOUBLE,), BOOL, math.isinf),
    Overload("math.isFinite", (DOUBLE,), BOOL, math.isfinite),
    *_bits("math.bitAnd", lambda left, right: left & right),
    *_bits("math.bitOr", lambda left, right: left | right),
    *_bits("math.bitXor", lambda left, right: left ^ right),
    Overload("math.bitNot", (INT,), INT, lambda value: ~value),
    Overload("math.bitNot", (UINT,), UINT, lambda value: UInt(value ^ UINT_MAX)),
    *_shifts("math.bitShiftLeft", left=True),
    *_shifts("math.bitShiftRight", left=False),
)
