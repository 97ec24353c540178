"""Timestamps and durations."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

T = "timestamp('2024-02-29T23:59:58.123456789Z')"
GIVES = [
    (
        f"[{T}.getFullYear(), {T}.getMonth(), {T}.getDate(), {T}.getDayOfMonth(), {T}.getDayOfWeek()]",
        [2024, 1, 29, 28, 4],
    ),
    (
        f"[{T}.getDayOfYear(), {T}.getHours(), {T}.getMinutes(), {T}.getSeconds(), {T}.getMilliseconds()]",
        [59, 23, 59, 58, 123],
    ),
    (f"{T}.getHours('America/New_York')", 18),
    (f"{T}.getHours('+02:30') * 100 + {T}.getMinutes('+02:30')", 229),
    (f"{T}.getHours('-01:00') + {T}.getHours('02:00')", 23),
    (f"string({T})", "2024-02-29T23:59:58.123456789Z"),
    (f"{T} + duration('1.876543211s') == timestamp('2024-03-01T00:00:00Z')", True),
    (f"{T} - {T} == duration('0s') && {T} < {T} + duration('1ns')", True),
    ("duration('1h30m') == duration('90m') && duration('-1.5h').getMinutes() == -90", True),
    ("duration('90s').getMinutes() + duration('90s').getSeconds() + duration('1.5s').getMilliseconds()", 591),
    ("string(duration('1.5s')) + string(duration('1h'))", "1.5s3600s"),
    ("int(timestamp('1970-01-01T00:01:00Z')) + int(timestamp(5))", 65),
    ("timestamp('2024-01-01T00:00:00+01:00') == timestamp('2023-12-31T23:00:00Z')", True),
    ("timestamp('0001-01-01T00:00:00Z') < timestamp('9999-12-31T23:59:59.999999999Z')", True),
    ("req.time.getFullYear()", 2023),
]
FAILS = [
    "timestamp('2024-02-30T00:00:00Z')", "timestamp('2024-01-01')", "timestamp('x')", "timestamp(999999999999)",
    "duration('1')", "duration('1 h')", "duration('')", "duration('h')", "duration('9999999h')",
    f"{T}.getHours('Nowhere/Land')", f"{T}.getHours('../etc/passwd')", f"{T}.getHours('+99:00')", f"{T}.getHours('')",
    "timestamp('9999-12-31T23:59:59Z') + duration('1s')", "duration('2000000h') + duration('2000000h')",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
