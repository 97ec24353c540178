from __future__ import annotations

import pytest

from ai_gateway_mw.policy import duration_text, long_seconds, long_text, seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("30s", 30.0),
        ("90s", 90.0),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("24h", 86400.0),
        ("250ms", 0.25),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1.0),
        ("100us", 1e-4),
        ("100µs", 1e-4),
        ("100μs", 1e-4),
        ("5ns", 5e-9),
        ("1s1s", 2.0),
    ],
)
def test_go_durations(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "s",
        "30 s",
        "30S",
        "1d",
        "1w",
        "-30s",
        "+30s",
        "1e3s",
        "30s ",
        " 30s",
        "1m 30s",
        "100/min",
        "PT30S",
        "٣s",
    ]
    + ["1_000s", "infs", "nans", "0x10s", "00", "30s\n"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="such as `30s`"):
        seconds(text)


@pytest.mark.parametrize("text", ["999999999h", "999999999999999999h"])
def test_a_duration_has_an_end(text: str) -> None:
    with pytest.raises(ValueError, match="100 years"):
        seconds(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0s"),
        (0.25, "250ms"),
        (1.5, "1500ms"),
        (30, "30s"),
        (90, "1m30s"),
        (180.0, "3m"),
        (3600, "1h"),
        (5430, "1h30m30s"),
    ],
)
def test_seconds_are_written_as_a_duration(value: float, text: str) -> None:
    assert duration_text(value) == text
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("90d", 7_776_000, "90d"),
        ("0", 0, "0s"),
        ("36h", 129_600, "36h"),
        ("48h", 172_800, "2d"),
        ("99999d", 36600 * 86_400, "36600d"),
    ],
)
def test_settings_and_commands_know_days(text: str, value: float, shown: str) -> None:
    assert long_seconds(text) == value
    assert long_text(value) == shown


@pytest.mark.parametrize("text", ["d", "1.5d", "1d12h", "-1d", "soon", "90"])
def test_days_stand_alone(text: str) -> None:
    with pytest.raises(ValueError, match="such as `30s`, `24h` or `90d`"):
        long_seconds(text)
