"""Timestamps and durations against Python's datetime where that can hold them, else against whole nanoseconds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.cel import (
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Duration,
    Environment,
    Expression,
    Timestamp,
    Type,
    Variable,
)
from tests.cel.agreement import FAILS, examples, outcome, same

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 10**9
LOWEST, HIGHEST = -62_135_596_800 * SECOND, 253_402_300_800 * SECOND - 1
LONGEST = 2**63 - 1

dates = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds it
moments = dates | st.sampled_from(
    [EPOCH, datetime(2024, 2, 29, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)]
)
lengths = st.timedeltas(timedelta(days=-100_000), timedelta(days=100_000)) | st.sampled_from(
    [timedelta(0), timedelta(microseconds=-1)]
)
counts = st.integers(LOWEST, HIGHEST) | st.sampled_from([LOWEST, HIGHEST, 0, -1, 1, SECOND - 1, -SECOND - 1])
spans = st.integers(-LONGEST - 1, LONGEST) | st.sampled_from([0, 1, -1, SECOND, -SECOND, LONGEST, -LONGEST - 1])


@cache
def expression(text: str, *types: Type) -> Expression:
    return Environment(variables=[Variable(name, type_) for name, type_ in zip("xyz", types, strict=False)]).expression(
        text
    )


_TYPES: dict[type, Type] = {
    datetime: TIMESTAMP, Timestamp: TIMESTAMP, timedelta: DURATION, Duration: DURATION, int: INT, str: STRING,
}  # fmt: skip


def found(text: str, *values: Any) -> Any:
    """What an expression gives, the same whether the types of its variables are known or not."""
    types = [_TYPES[type(value)] for value in values]
    activation = dict(zip("xyz", values, strict=False))
    declared = outcome(expression(text, *types), activation)
    assert same(declared, outcome(expression(text, *[DYN] * len(values)), activation)), (text, values)
    return declared


def micros(value: timedelta) -> int:
    return (value.days * 86_400 + value.seconds) * 10**6 + value.microseconds


def moment(value: datetime) -> Timestamp:
    return Timestamp(micros(value - EPOCH) * 1000)


def length(value: timedelta) -> Duration:
    return Duration(micros(value) * 1000)


def within(value: int, low: int, high: int, make: Callable[[int], Any]) -> Any:
    return make(value) if low <= value <= high else FAILS


@examples(200)
@given(moments, lengths)
def test_moving_a_moment_is_what_datetime_makes_of_it(x: datetime, y: timedelta) -> None:
    for text, operation in (("x + y", x.__add__), ("x - y", x.__sub__)):
        try:
            expected = moment(operation(y))
        except OverflowError:
            expected = FAILS
        if micros(x - EPOCH) + abs(micros(y)) > (HIGHEST - 86_400 * SECOND) // 1000:
            continue  # datetime ends a little before CEL does
        assert same(found(text, x, y), expected)
        assert same(found(text, moment(x), length(y)), expected)
    assert same(found("y + x", x, y), found("x + y", x, y))


@examples(200)
@given(moments, moments)
def test_what_lies_between_two_moments(x: datetime, y: datetime) -> None:
    assert same(found("x - y", x, y), within(micros(x - y) * 1000, -LONGEST - 1, LONGEST, Duration))
    for op, holds in (("<", x < y), ("<=", x <= y), (">", x > y), (">=", x >= y), ("==", x == y), ("!=", x != y)):
        assert found(f"x {op} y", x, y) is holds
        assert found(f"x {op} y", x, moment(y)) is holds


@examples(200)
@given(counts, spans)
def test_nanoseconds_are_not_lost(x: int, y: int) -> None:
    moved = within(x + y, LOWEST, HIGHEST, Timestamp)
    assert same(found("x + y", Timestamp(x), Duration(y)), moved)
    assert same(found("x - y", Timestamp(x), Duration(y)), within(x - y, LOWEST, HIGHEST, Timestamp))
    if moved is not FAILS:
        assert found("x + y - y == x && (x + y) - x == y", Timestamp(x), Duration(y)) is True


@examples(200)
@given(spans, spans)
def test_durations_add_up_or_fail(x: int, y: int) -> None:
    assert same(found("x + y", Duration(x), Duration(y)), within(x + y, -LONGEST - 1, LONGEST, Duration))
    assert same(found("x - y", Duration(x), Duration(y)), within(x - y, -LONGEST - 1, LONGEST, Duration))
    assert found("x < y", Duration(x), Duration(y)) is (x < y)
    assert found("x == y", Duration(x), Duration(y)) is (x == y)


PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDate": lambda at: at.day,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDayOfYear": lambda at: (at.replace(tzinfo=None) - datetime(at.year, 1, 1)).days,  # noqa: DTZ001 - both without
    "getDayOfWeek": lambda at: int(at.strftime("%w")),
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
    "getMilliseconds": lambda at: at.microsecond // 1000,
}
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Etc/GMT+12",
]


@pytest.mark.parametrize("part", PARTS)
@examples(60)
@given(x=moments, zone=st.sampled_from(ZONES))
def test_parts_in_a_named_zone(part: str, x: datetime, zone: str) -> None:
    assert found(f"x.{part}()", x) == PARTS[part](x)
    assert found(f"x.{part}(y)", x, zone) == PARTS[part](x.astimezone(ZoneInfo(zone)))


@pytest.mark.parametrize("part", PARTS)
@examples(60)
@given(x=moments, sign=st.sampled_from(["", "+", "-"]), hours=st.integers(0, 23), minutes=st.integers(0, 59))
def test_parts_at_an_offset(part: str, x: datetime, sign: str, hours: int, minutes: int) -> None:
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if sign == "-" else 1)
    zone = f"{sign}{hours:02}:{minutes:02}"
    assert found(f"x.{part}(y)", x, zone) == PARTS[part](x.astimezone(timezone(offset)))


@examples(200)
@given(counts)
def test_a_timestamp_reads_back(x: int) -> None:
    assert same(found("timestamp(string(x))", Timestamp(x)), Timestamp(x))
    assert found("int(x)", Timestamp(x)) == x // SECOND
    assert same(found("timestamp(int(x))", Timestamp(x)), Timestamp(x // SECOND * SECOND))


@examples(200)
@given(moments, st.sampled_from(ZONES[:6]) | st.just("UTC"))
def test_a_timestamp_is_read_as_python_reads_it(x: datetime, zone: str) -> None:
    local = x.astimezone(ZoneInfo(zone))
    if micros(local.utcoffset() or timedelta()) % (60 * 10**6):
        return  # local time before there were zones has seconds in its offset; RFC 3339 has none
    assert same(found("timestamp(x)", local.isoformat()), moment(x))
    text = found("string(x)", x)
    assert datetime.fromisoformat(text) == x
    assert text.endswith("Z")


@examples(200)
@given(spans)
def test_a_duration_reads_back(x: int) -> None:
    assert same(found("duration(string(x))", Duration(x)), Duration(x))
    total, part = abs(x) // SECOND, abs(x) % SECOND // 1_000_000
    sign = -1 if x < 0 else 1
    for name, scale in (("getHours", 3600), ("getMinutes", 60), ("getSeconds", 1)):
        assert found(f"x.{name}()", Duration(x)) == sign * (total // scale)
    assert found("x.getMilliseconds()", Duration(x)) == sign * part


UNITS = {"h": 3600 * SECOND, "m": 60 * SECOND, "s": SECOND, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}


@examples(200)
@given(
    st.sampled_from(["", "-", "+"]),
    st.lists(
        st.tuples(st.integers(0, 5000), st.integers(0, 999), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4
    ),
)
def test_a_duration_is_the_sum_of_its_parts(sign: str, parts: list[tuple[int, int, str]]) -> None:
    text = sign + "".join(f"{whole}.{thousandths:03}{unit}" for whole, thousandths, unit in parts)
    total = sum(whole * UNITS[unit] + thousandths * UNITS[unit] // 1000 for whole, thousandths, unit in parts)
    assert same(found("duration(x)", text), Duration(-total if sign == "-" else total))
