"""Functions named after types: `int(x)`, `string(x)`, `timestamp(x)` ...; also `size`, `type` and `dyn`."""

from __future__ import annotations

import re
from typing import Any

from ai_gateway_mw.cel.declarations import Overload, kind_of_class
from ai_gateway_mw.cel.moments import INT_MAX, INT_MIN, NANOS, parse_duration, parse_timestamp, timestamp_in_range
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.rendering import double_text
from ai_gateway_mw.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    VALUE_NAMES,
    ListType,
    MapType,
    TypeParam,
    TypeType,
)
from ai_gateway_mw.cel.values import UINT_MAX, CelType, UInt, int_in_range, uint_in_range

A, B = TypeParam("A"), TypeParam("B")
_INT = re.compile(r"[+-]?[0-9]{1,30}")
_UINT = re.compile(r"[0-9]{1,30}")
_REAL = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)
_BOOLS = {
    **dict.fromkeys(("1", "t", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "false", "FALSE", "False"), False),
}


def _whole(text: str, form: re.Pattern[str]) -> int:
    if not form.fullmatch(text):
        raise EvaluationError("this string is not a whole number")
    return int(text)


def _int_of_double(value: float) -> int:
    # The specification wants doubles strictly inside the range: its ends are not exact as doubles.
    if not INT_MIN < value < INT_MAX:
        raise EvaluationError("this double is out of range for an int")
    return int(value)


def _uint_of_double(value: float) -> UInt:
    if not 0 <= value < UINT_MAX:
        raise EvaluationError("this double is out of range for a uint")
    return UInt(value)


def _real(text: str) -> float:
    if not _REAL.fullmatch(text):
        raise EvaluationError("this string is not a number")
    return float(text)


def _bool(text: str) -> bool:
    if text not in _BOOLS:
        raise EvaluationError("this string is neither true nor false")
    return _BOOLS[text]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EvaluationError("these bytes are not UTF-8") from None


def _type(value: Any) -> CelType:
    kind = kind_of_class(type(value))
    return CelType(VALUE_NAMES.get(kind, kind))


CONVERSIONS: tuple[Overload, ...] = (
    Overload("dyn", (A,), DYN, lambda value: value),
    Overload("type", (A,), TypeType(A), _type),
    Overload("size", (STRING,), INT, len),
    Overload("size", (BYTES,), INT, len),
    Overload("size", (ListType(A),), INT, len),
    Overload("size", (MapType(A, B),), INT, len),
    Overload("size", (STRING,), INT, len, member=True),
    Overload("size", (BYTES,), INT, len, member=True),
    Overload("size", (ListType(A),), INT, len, member=True),
    Overload("size", (MapType(A, B),), INT, len, member=True),
    Overload("int", (INT,), INT, int),
    Overload("int", (UINT,), INT, lambda value: int_in_range(int(value))),
    Overload("int", (DOUBLE,), INT, _int_of_double),
    Overload("int", (STRING,), INT, lambda text: int_in_range(_whole(text, _INT))),
    Overload("int", (TIMESTAMP,), INT, lambda moment: moment.seconds),
    Overload("int", (DURATION,), INT, lambda length: length.seconds),
    Overload("uint", (UINT,), UINT, UInt),
    Overload("uint", (INT,), UINT, uint_in_range),
    Overload("uint", (DOUBLE,), UINT, _uint_of_double),
    Overload("uint", (STRING,), UINT, lambda text: uint_in_range(_whole(text, _UINT))),
    Overload("double", (DOUBLE,), DOUBLE, float),
    Overload("double", (INT,), DOUBLE, float),
    Overload("double", (UINT,), DOUBLE, float),
    Overload("double", (STRING,), DOUBLE, _real),
    Overload("bool", (BOOL,), BOOL, bool),
    Overload("bool", (STRING,), BOOL, _bool),
    Overload("string", (STRING,), STRING, str),
    Overload("string", (BOOL,), STRING, lambda value: "true" if value else "false"),
    Overload("string", (INT,), STRING, str),
    Overload("string", (UINT,), STRING, str),
    Overload("string", (DOUBLE,), STRING, double_text),
    Overload("string", (BYTES,), STRING, _text),
    Overload("string", (TIMESTAMP,), STRING, str),
    Overload("string", (DURATION,), STRING, str),
    Overload("bytes", (BYTES,), BYTES, bytes),
    Overload("bytes", (STRING,), BYTES, str.encode),
    Overload("timestamp", (TIMESTAMP,), TIMESTAMP, lambda moment: moment),
    Overload("timestamp", (STRING,), TIMESTAMP, parse_timestamp),
    Overload("timestamp", (INT,), TIMESTAMP, lambda seconds: timestamp_in_range(seconds * NANOS)),
    Overload("duration", (DURATION,), DURATION, lambda length: length),
    Overload("duration", (STRING,), DURATION, parse_duration),
)
