"""The well-known protobuf messages, as the plain CEL values that they stand for. No other messages exist here."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from ai_gateway_mw.cel.moments import NANOS, duration_in_range, timestamp_in_range
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import (
    ANY,
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    ListType,
    MapType,
    Nullable,
    Type,
)
from ai_gateway_mw.cel.values import UInt

Fields = Mapping[str, Any]


def _wrapper(default: Any, convert: Callable[[Any], Any] = lambda value: value) -> Callable[[Fields], Any]:
    return lambda fields: convert(fields.get("value", default))


def _within(lowest: int, highest: int) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not lowest <= value <= highest:
            raise EvaluationError("the number does not fit into this message")
        return value

    return check


def _single(value: float) -> float:
    """To the nearest 32-bit float; too large ones become infinite."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _value(fields: Fields) -> Any:
    if len(fields) > 1:
        raise EvaluationError("google.protobuf.Value holds one thing")
    return next((None if name == "null_value" else value for name, value in fields.items()), None)


def _any(_fields: Fields) -> Any:
    raise EvaluationError("google.protobuf.Any needs a message, and messages are not supported")


def _nanos(fields: Fields) -> int:
    return int(fields.get("seconds", 0)) * NANOS + int(fields.get("nanos", 0))


_P = "google.protobuf."
_COUNT = {"seconds": INT, "nanos": INT}
_ONE_OF = {
    "null_value": DYN, "number_value": DOUBLE, "string_value": STRING, "bool_value": BOOL,
    "struct_value": MapType(STRING, DYN), "list_value": ListType(DYN),
}  # fmt: skip

# name: type of the value, types of the fields, how the fields become the value
_MESSAGES: dict[str, tuple[Type, Mapping[str, Type], Callable[[Fields], Any]]] = {
    f"{_P}BoolValue": (Nullable(BOOL), {"value": BOOL}, _wrapper(False)),
    f"{_P}StringValue": (Nullable(STRING), {"value": STRING}, _wrapper("")),
    f"{_P}BytesValue": (Nullable(BYTES), {"value": BYTES}, _wrapper(b"")),
    f"{_P}DoubleValue": (Nullable(DOUBLE), {"value": DOUBLE}, _wrapper(0.0)),
    f"{_P}FloatValue": (Nullable(DOUBLE), {"value": DOUBLE}, _wrapper(0.0, _single)),
    f"{_P}Int64Value": (Nullable(INT), {"value": INT}, _wrapper(0)),
    f"{_P}Int32Value": (Nullable(INT), {"value": INT}, _wrapper(0, _within(-(2**31), 2**31 - 1))),
    f"{_P}UInt64Value": (Nullable(UINT), {"value": UINT}, _wrapper(UInt(0))),
    f"{_P}UInt32Value": (Nullable(UINT), {"value": UINT}, _wrapper(UInt(0), _within(0, 2**32 - 1))),
    f"{_P}ListValue": (ListType(DYN), {"values": ListType(DYN)}, lambda fields: fields.get("values", [])),
    f"{_P}Struct": (MapType(STRING, DYN), {"fields": MapType(STRING, DYN)}, lambda fields: fields.get("fields", {})),
    f"{_P}Value": (DYN, _ONE_OF, _value),
    f"{_P}Any": (ANY, {"type_url": STRING, "value": BYTES}, _any),
    f"{_P}Timestamp": (TIMESTAMP, _COUNT, lambda fields: timestamp_in_range(_nanos(fields))),
    f"{_P}Duration": (DURATION, _COUNT, lambda fields: duration_in_range(_nanos(fields))),
}


def message_type(name: str) -> tuple[Type, Mapping[str, Type]] | None:
    """What a message of that name is as a value, and its fields; None for messages that are not known."""
    entry = _MESSAGES.get(name)
    return entry[:2] if entry else None


def message(name: str, fields: Fields) -> Any:
    """The value of `name{fields}`."""
    entry = _MESSAGES.get(name)
    if entry is None:
        raise EvaluationError(f"`{name}` is not a type that can be made")
    unknown = next((field for field in fields if field not in entry[1]), None)
    if unknown is not None:
        raise EvaluationError(f"`{name}` has no field `{unknown}`")
    return entry[2](fields)
