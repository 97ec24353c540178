"""Durations as Go writes them: `90s`, `1m30s`, `250ms`; seconds inside."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ns|us|µs|μs|ms|s|m|h)"
_FORM = rf"0|(?:{_PART})+"
_EXPECTED = "a duration with its unit, such as `30s`, `1m30s` or `250ms`"
_DAY = 24 * 3600.0
_LONGEST = 100 * 366 * 24 * 3600.0

JSON_FORMAT = "go-duration"


def seconds(text: str) -> float:
    """The seconds of a duration string; Go has no unit for days. Raises ValueError, which says what was expected."""
    if not re.fullmatch(_FORM, text):
        raise ValueError(_EXPECTED)
    total = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    if total > _LONGEST:
        raise ValueError("a duration of less than 100 years")
    return total


def long_seconds(text: str) -> float:
    """The same where a number of days may stand alone: `90d`. Policies have none, settings and commands do."""
    if days := re.fullmatch(r"([0-9]{1,5})d", text):
        return min(int(days[1]) * _DAY, _LONGEST)
    try:
        return seconds(text)
    except ValueError as error:
        fault = str(error).replace(_EXPECTED, "a duration with its unit, such as `30s`, `24h` or `90d`")
    raise ValueError(fault)


def long_text(value: float) -> str:
    """Seconds as `duration_text` writes them, but for whole days."""
    days, rest = divmod(value, _DAY)
    return f"{days:.0f}d" if days and not rest else duration_text(value)


def duration_text(value: float) -> str:
    """Seconds as the shortest duration string that a person would write."""
    milliseconds = round(value * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    left = f"{rest // 1000}s" if rest % 1000 == 0 else f"{rest}ms"
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "", left if rest else "")
    return "".join(parts) or "0s"


def _seconds(value: Any) -> float:
    try:
        return seconds(value if isinstance(value, str) else "")
    except ValueError as error:
        raise PydanticCustomError("shape", "must be {expected}", {"expected": str(error)}) from None


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {"type": "string", "format": JSON_FORMAT, "pattern": f"^({_FORM})$", "examples": ["30s", "1m30s", "250ms"]}
    ),
]
"""A field that is written as a duration string and read as seconds. Its default is given in seconds."""
