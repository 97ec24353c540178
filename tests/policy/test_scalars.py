from __future__ import annotations

import pytest

from ai_gateway_mw.policy.scalars import plain_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("NULL", None),
        ("true", True),
        ("True", True),
        ("TRUE", True),
        ("false", False),
        ("False", False),
        ("FALSE", False),
        ("0", 0),
        ("-0", 0),
        ("1", 1),
        ("+1", 1),
        ("-17", -17),
        ("18446744073709551615", 2**64 - 1),
        ("-9223372036854775808", -(2**63)),
        ("0o17", 15),
        ("0x1F", 31),
        ("0xff", 255),
        ("1.5", 1.5),
        ("-1.5", -1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("1.5E-3", 0.0015),
        ("0.0", 0.0),
    ],
)
def test_core_schema(text: str, value: object) -> None:
    read = plain_scalar(text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    "text",
    ["no", "No", "yes", "on", "off", "y", "n", "tRUE", "nULL", "none", "012", "-012", "007.5", "1:30", "1_000", "0b1"]
    + ["0o8", "-0x1", "2024-01-31", "2024-01-31T10:00:00Z", ".inf", "-.inf", ".nan", "1e", "e3", ".", "-", "+", "1 2"]
    + ["0X1F", "0O17", "1,5", "٣", "1٣", "¼", " 1", "1\n"],
)
def test_all_else_is_text(text: str) -> None:
    assert plain_scalar(text) == text


@pytest.mark.parametrize(
    "text", ["18446744073709551616", "-9223372036854775809", "1" * 5000, "0x" + "f" * 17, "0o" + "7" * 30, "1e999"]
)
def test_numbers_beyond_64_bits_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        plain_scalar(text)
