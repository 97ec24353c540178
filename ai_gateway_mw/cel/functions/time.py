"""Parts of timestamps and durations, in UTC or a time zone given as an IANA name or an offset such as +02:00."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import DURATION, INT, STRING, TIMESTAMP

_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_+\-]+(?:/[A-Za-z0-9_+\-]+){0,2}", re.ASCII)


@functools.lru_cache(256)
def _known(name: str) -> tzinfo | None:
    """The zone of that name, looked for once; None if there is none."""
    match = _OFFSET.fullmatch(name)
    if match is not None and int(match[2]) < 24 and int(match[3]) < 60:
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)
    if name == "UTC" or not _NAME.fullmatch(name):
        return UTC if name == "UTC" else None
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only who names a zone waits for it

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return None


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name or its offset."""
    zone = _known(name)
    if zone is None:
        raise EvaluationError("no such time zone: expected an IANA name or an offset such as +02:00")
    return zone


def _local(moment: Timestamp | datetime, zone: str | None) -> datetime:
    """The date and time of day in a time zone; `datetime` itself is taken as well, for the planner."""
    where = UTC if zone is None else zone_of(zone)
    if isinstance(moment, Timestamp):
        return moment.at(where)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(where)


def _part(read: Callable[[datetime], int]) -> Callable[..., int]:
    def part(moment: Timestamp | datetime, zone: str | None = None) -> int:
        return read(_local(moment, zone))

    return part


def _of_day(scale: int, modulus: int) -> Callable[..., int]:
    """Hours, minutes and seconds: in UTC there are as many of them every day."""

    def part(moment: Timestamp | datetime, zone: str | None = None) -> int:
        if zone is None and isinstance(moment, Timestamp):
            return moment.seconds // scale % modulus
        at = _local(moment, zone)
        return (at.hour * 3600 + at.minute * 60 + at.second) // scale % modulus

    return part


def _milliseconds(moment: Timestamp | datetime, zone: str | None = None) -> int:
    if zone is not None:
        zone_of(zone)
    return moment.nanos // 1_000_000 if isinstance(moment, Timestamp) else moment.microsecond // 1000


_PARTS: dict[str, Callable[..., int]] = {
    "getFullYear": _part(lambda at: at.year),
    "getMonth": _part(lambda at: at.month - 1),
    "getDate": _part(lambda at: at.day),
    "getDayOfMonth": _part(lambda at: at.day - 1),
    "getDayOfWeek": _part(lambda at: at.isoweekday() % 7),
    "getDayOfYear": _part(lambda at: at.timetuple().tm_yday - 1),
    "getHours": _of_day(3600, 24),
    "getMinutes": _of_day(60, 60),
    "getSeconds": _of_day(1, 60),
    "getMilliseconds": _milliseconds,
}


def _in(seconds: int) -> Callable[[Duration], int]:
    """The whole duration in some unit, toward zero."""
    return lambda length: int(length.seconds / seconds) if abs(length.seconds) < 2**50 else length.seconds // seconds


def _millisecond_part(length: Duration) -> int:
    return int(length.nanos / 1_000_000)


def _rows(name: str, call: Callable[..., Any]) -> list[Overload]:
    return [
        Overload(name, (TIMESTAMP,), INT, call, member=True),
        Overload(name, (TIMESTAMP, STRING), INT, call, member=True),
    ]


TIME: tuple[Overload, ...] = (
    *(row for name, call in _PARTS.items() for row in _rows(name, call)),
    Overload("getHours", (DURATION,), INT, _in(3600), member=True),
    Overload("getMinutes", (DURATION,), INT, _in(60), member=True),
    Overload("getSeconds", (DURATION,), INT, _in(1), member=True),
    Overload("getMilliseconds", (DURATION,), INT, _millisecond_part, member=True),
)
