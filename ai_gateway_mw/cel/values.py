"""The values that expressions work with, as Python objects, and when two of them are equal.

null, bool, int, double, string, bytes, list and map are None, bool, int, float, str, bytes, list or tuple, and any
Mapping. What Python lacks is here. `datetime` and `timedelta` of the host are taken as timestamps and durations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from ai_gateway_mw.cel.problems import EvaluationError

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
UINT_MAX = 2**64 - 1
NANOS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UInt(int):
    """A CEL uint: equal to the int of the same value, but of another type."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}u"

    __str__ = int.__repr__


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


class CelType:
    """A type as a value, such as `type(1)` gives."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CelType) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"CelType({self.name!r})"

    def __str__(self) -> str:
        return self.name


class OptionalValue:
    """A value that may be absent."""

    __slots__ = ("_value", "present")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present = present
        self._value = value

    @property
    def value(self) -> Any:
        if not self.present:
            raise EvaluationError("the optional has no value")
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OptionalValue) and equals(self, other)

    def __hash__(self) -> int:
        return hash((self.present, self._value))

    def __repr__(self) -> str:
        return f"OptionalValue({self._value!r})" if self.present else "OptionalValue(absent)"


NONE = OptionalValue(False)


class MixedMap(Mapping[Any, Any]):
    """A map that has both booleans and numbers as keys: to Python, True and 1 are one key, to CEL they are two."""

    __slots__ = ("_entries",)

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        self._entries = {(type(key) is bool, key): value for key, value in pairs}

    def __getitem__(self, key: Any) -> Any:
        return self._entries[type(key) is bool, key]

    def __iter__(self) -> Iterator[Any]:
        return (key for _, key in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"MixedMap({list(self.items())!r})"


MISSING: Any = object()
_KEY_CLASSES = (str, int, float)


def lookup(mapping: Mapping[Any, Any], key: Any) -> Any:
    """The value under a key, or MISSING. 1, 1u and 1.0 are one key; true is another."""
    if not isinstance(key, _KEY_CLASSES):
        return MISSING
    try:
        value = mapping[key]
    except KeyError:
        return MISSING
    if isinstance(key, str) or key not in (0, 1) or isinstance(mapping, MixedMap):
        return value
    is_bool = isinstance(key, bool)
    return value if any(isinstance(each, bool) is is_bool for each in mapping if each == key) else MISSING


def map_of(pairs: list[tuple[Any, Any]]) -> Mapping[Any, Any]:
    """A map with these entries; the same key twice is an error."""
    made: Mapping[Any, Any] = dict(pairs)
    if len(made) < len(pairs) or (True in made or False in made):
        kinds = {type(key) is bool for key, _ in pairs if not isinstance(key, str)}
        made = MixedMap(pairs) if len(kinds) > 1 else made
    if len(made) < len(pairs):
        raise EvaluationError("a map has the same key twice")
    return made


def adapted(value: Any) -> Any:
    """A value of the host as CEL counts it: its dates and times become ours."""
    if isinstance(value, datetime):
        return Timestamp.of(value)
    return Duration.of(value) if isinstance(value, timedelta) else value


def equals(left: Any, right: Any) -> bool:
    """CEL's `==`: numbers by value whatever their type, lists and maps by their elements, otherwise types differ.

    An int beside a double is taken as a double, as the specification's conformance tests want it.
    """
    kind, other = type(left), type(right)
    if kind is other and kind in _PLAIN:
        return bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, float) or isinstance(right, float):
        return isinstance(left, (int, float)) and isinstance(right, (int, float)) and float(left) == float(right)
    if isinstance(left, (list, tuple)):
        return isinstance(right, (list, tuple)) and _same_lists(left, right)
    if isinstance(left, Mapping):
        return isinstance(right, Mapping) and _same_maps(left, right)
    if isinstance(left, OptionalValue) and isinstance(right, OptionalValue):
        return left.present == right.present and (not left.present or equals(left.value, right.value))
    return bool(adapted(left) == adapted(right))


_PLAIN = frozenset({str, int, float, bytes, bool, UInt, Timestamp, Duration})


def _same_lists(left: list[Any] | tuple[Any, ...], right: list[Any] | tuple[Any, ...]) -> bool:
    return len(left) == len(right) and all(map(equals, left, right))


def _same_maps(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    found = ((value, lookup(right, key)) for key, value in left.items())
    return all(other is not MISSING and equals(value, other) for value, other in found)


def int_in_range(value: int) -> int:
    """`value`, if it is a 64-bit int."""
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError("int overflow")
    return value


def uint_in_range(value: int) -> UInt:
    """`value` as a uint, if it is one."""
    if not 0 <= value <= UINT_MAX:
        raise EvaluationError("uint overflow")
    return UInt(value)


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
