"""CEL values as text and as JSON."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from ai_gateway_mw.cel.costs import is_endless
from ai_gateway_mw.cel.limits import OverBudget
from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.values import CelType, OptionalValue, adapted


def render_value(value: Any) -> str:
    """A value inside other text: strings as they are, null as nothing, lists and maps as compact JSON."""
    value = adapted(value)
    if isinstance(value, str):
        return str(value)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return double_text(value)
    if isinstance(value, bytes):
        return _bytes_text(value)
    if isinstance(value, Duration):
        return go_duration(value)
    if isinstance(value, OptionalValue):
        return render_value(value.value) if value.present else ""
    if isinstance(value, (int, Timestamp, CelType)):
        return str(value)
    return json_text(value)


def json_text(value: Any) -> str:
    """Compact JSON."""
    if is_endless(value):
        raise OverBudget("a value is too large to be shown")
    return json.dumps(to_json(value), separators=(",", ":"), ensure_ascii=False)


def to_json(value: Any) -> Any:
    """A value as the json module takes it: times as text, bytes as base64, keys as text, objects by their name."""
    try:
        return _plain(value)
    except RecursionError:
        raise EvaluationError("a value is nested too deeply") from None


def _plain(value: Any) -> Any:
    value = adapted(value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else double_text(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else render_value(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, OptionalValue):
        return _plain(value.value) if value.present else None
    if isinstance(value, Duration):
        return go_duration(value)
    return str(value)


def double_text(value: float) -> str:
    """The shortest text that reads back as the same double; whole numbers have no `.0`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value).removesuffix(".0")
    mantissa, mark, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent):+03d}" if mark else text


_GO_UNITS = ((3_600_000_000_000, "h"), (60_000_000_000, "m"))


def go_duration(value: Duration) -> str:
    """As Go writes it: `1h30m0s`, `1.5s`, `250ms`."""
    rest, sign = abs(value.ns), "-" if value.ns < 0 else ""
    if rest < 1_000_000_000:
        unit, scale = next(((u, s) for u, s in (("ms", 1_000_000), ("µs", 1000), ("ns", 1)) if rest >= s), ("s", 1))
        return f"{sign}{_decimal(rest, scale)}{unit}"
    text = ""
    for scale, unit in _GO_UNITS:
        count, rest = divmod(rest, scale)
        if count or text:
            text += f"{count}{unit}"
    return f"{sign}{text}{_decimal(rest, 1_000_000_000)}s"


def _decimal(count: int, scale: int) -> str:
    whole, rest = divmod(count, scale)
    digits = len(str(scale)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0") if rest else str(whole)


def _bytes_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()
