"""Values that may be absent: what `a.?b` and `a[?i]` give, and how to make and open them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.types import BOOL, ListType, OptionalType, TypeParam
from ai_gateway_mw.cel.values import NONE, OptionalValue

A = TypeParam("A")
_OPTIONAL = OptionalType(A)


def _of_non_zero(value: Any) -> OptionalValue:
    return NONE if _is_zero(value) else OptionalValue(True, value)


def _is_zero(value: Any) -> bool:
    if value is None:
        return True
    if isinstance(value, (Duration, Timestamp)):
        return value.ns == 0
    return isinstance(value, (bool, int, float, str, bytes, list, tuple, Mapping)) and not value


def _present(values: list[OptionalValue]) -> list[Any]:
    return [each.value for each in values if each.present]


OPTIONALS: tuple[Overload, ...] = (
    Overload("optional.of", (A,), _OPTIONAL, lambda value: OptionalValue(True, value)),
    Overload("optional.ofNonZeroValue", (A,), _OPTIONAL, _of_non_zero),
    Overload("optional.none", (), _OPTIONAL, lambda: NONE),
    Overload("optional.unwrap", (ListType(_OPTIONAL),), ListType(A), _present),
    Overload("unwrapOpt", (ListType(_OPTIONAL),), ListType(A), _present, member=True),
    Overload("hasValue", (_OPTIONAL,), BOOL, lambda value: value.present, member=True),
    Overload("value", (_OPTIONAL,), A, lambda value: value.value, member=True),
    Overload("or", (_OPTIONAL, _OPTIONAL), _OPTIONAL, lambda one, other: one if one.present else other, member=True),
    Overload("orValue", (_OPTIONAL, A), A, lambda one, other: one.value if one.present else other, member=True),
)
