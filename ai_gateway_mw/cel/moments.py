"""Moments and lengths of time, in nanoseconds, and the texts that say them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from ai_gateway_mw.cel.problems import EvaluationError

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
NANOS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Instant:
    """A count of nanoseconds."""

    __slots__ = ("ns",)

    def __init__(self, ns: int) -> None:
        self.ns = ns

    def __eq__(self, other: object) -> bool:
        return self.ns == other.ns if type(other) is type(self) and isinstance(other, _Instant) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.ns)


class Duration(_Instant):
    """A length of time in nanoseconds."""

    __slots__ = ()
    LOWEST, HIGHEST = INT_MIN, INT_MAX  # about 292 years, as in every implementation that counts nanoseconds

    @classmethod
    def of(cls, value: timedelta) -> Duration:
        return cls(((value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds) * 1000)

    @property
    def seconds(self) -> int:
        return -(-self.ns // NANOS) if self.ns < 0 else self.ns // NANOS

    @property
    def nanos(self) -> int:
        return self.ns - self.seconds * NANOS

    def __str__(self) -> str:
        """Seconds, as CEL and protobuf's JSON form write them: `90s`, `1.5s`."""
        sign, whole, rest = "-" if self.ns < 0 else "", *divmod(abs(self.ns), NANOS)
        return f"{sign}{whole}{_fraction(rest)}s"

    def __repr__(self) -> str:
        return f"Duration({self})"


class Timestamp(_Instant):
    """A moment, in nanoseconds since 1970-01-01T00:00:00Z."""

    __slots__ = ()
    LOWEST, HIGHEST = -62_135_596_800 * NANOS, 253_402_300_799 * NANOS + NANOS - 1

    @classmethod
    def of(cls, value: datetime) -> Timestamp:
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return cls(Duration.of(aware - _EPOCH).ns)

    @property
    def seconds(self) -> int:
        return self.ns // NANOS

    @property
    def nanos(self) -> int:
        return self.ns % NANOS

    def at(self, zone: Any = UTC) -> datetime:
        """The date and time of day in a time zone; fractions of a second are left out."""
        try:
            return (_EPOCH + timedelta(seconds=self.seconds)).astimezone(zone)
        except OverflowError:
            raise EvaluationError("this timestamp is out of range in that time zone") from None

    def __str__(self) -> str:
        """RFC 3339, in UTC."""
        moment = _EPOCH + timedelta(seconds=self.seconds)
        return f"{moment:%Y-%m-%dT%H:%M:%S}".zfill(19) + f"{_fraction(self.nanos)}Z"

    def __repr__(self) -> str:
        return f"Timestamp({self})"


def timestamp_in_range(ns: int) -> Timestamp:
    """The timestamp of so many nanoseconds, if it lies within the years 1 to 9999."""
    if not Timestamp.LOWEST <= ns <= Timestamp.HIGHEST:
        raise EvaluationError("timestamp out of range: years are 1 to 9999")
    return Timestamp(ns)


def duration_in_range(ns: int) -> Duration:
    """The duration of so many nanoseconds, if they fit into 64 bits."""
    if not Duration.LOWEST <= ns <= Duration.HIGHEST:
        raise EvaluationError("duration out of range")
    return Duration(ns)


_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise EvaluationError("not a timestamp: expected RFC 3339, such as 2026-01-31T12:00:00Z")
    numbers = [int(each) for each in match.groups()[:6]]
    offset = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0))
    try:
        zone = timezone(-offset if match[8] == "-" else offset)
        moment = Duration.of(datetime(*numbers[:6], tzinfo=UTC) - _EPOCH).ns - Duration.of(zone.utcoffset(None)).ns  # type: ignore[misc, arg-type]
    except ValueError:
        raise EvaluationError("not a timestamp: no such date or time of day") from None
    return timestamp_in_range(moment + int((match[7] or "0").ljust(9, "0")))


_UNITS = {"h": 3600 * NANOS, "m": 60 * NANOS, "s": NANOS, "ms": 1_000_000, "us": 1000, "µs": 1000, "μs": 1000, "ns": 1}
_PART = re.compile(r"(\d*)(?:\.(\d*))?(h|ms|m|s|us|µs|μs|ns)", re.ASCII)
_DURATION = re.compile(rf"([+-]?)((?:(?=\.?\d){_PART.pattern})+|0)", re.ASCII)


def parse_duration(text: str) -> Duration:
    """Numbers with units, largest first or not: `1h30m`, `1.5s`, `-250ms`."""
    match = _DURATION.fullmatch(text) if len(text) <= 100 else None
    if match is None:
        raise EvaluationError("not a duration: expected numbers with units, such as 1h30m or 250ms")
    total = 0
    for whole, fraction, unit in _PART.findall(match[2]):
        scale = _UNITS[unit]
        total += int(whole or 0) * scale + int(fraction or 0) * scale // 10 ** len(fraction)
    return duration_in_range(-total if match[1] == "-" else total)


def _fraction(nanos: int) -> str:
    return f".{nanos:09d}".rstrip("0") if nanos else ""
