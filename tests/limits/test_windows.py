from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.limits import Calendar, Sliding


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("seconds", "length", "cells"),
    [(1, 1, 2), (60, 1, 61), (61, 2, 32), (70, 2, 36), (90, 2, 46), (3600, 60, 61), (86_400, 1440, 61)],
)
def test_a_sliding_window_has_at_most_sixty_slots_and_the_passing_one(seconds: int, length: int, cells: int) -> None:
    window = Sliding(seconds)
    assert (window.length, window.cells) == (length, cells)


@given(st.integers(1, 100_000), st.floats(0, 4e9), st.floats(0, 1, exclude_max=True))
def test_a_count_never_leaves_before_its_window_is_over(seconds: int, taken: float, part: float) -> None:
    window = Sliding(seconds)
    leaves = window.leaves(window.slot(taken))
    assert leaves >= taken + seconds
    assert leaves <= taken + seconds + 2 * window.length


@pytest.mark.parametrize(
    ("period", "now", "leaves"),
    [
        ("day", "2026-03-10T00:00:00", "2026-03-11T00:00:00"),
        ("day", "2026-03-10T23:59:59.9", "2026-03-11T00:00:00"),
        ("month", "2026-03-31T23:59:59", "2026-04-01T00:00:00"),
        ("month", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
        ("month", "2024-02-29T12:00:00", "2024-03-01T00:00:00"),
    ],
)
def test_a_calendar_window_ends_at_its_boundary(period: str, now: str, leaves: str) -> None:
    window = Calendar(period)  # type: ignore[arg-type]
    slot = window.slot(at(now))
    assert window.leaves(slot) == at(leaves)
    assert window.slot(at(leaves)) == slot + 1


def test_a_month_is_told_whichever_was_asked_for_before() -> None:
    month = Calendar("month")
    times = ["2026-03-31T23:59:59.9", "2026-04-01T00:00:00", "2026-03-01T00:00:00", "2026-02-28T23:59:59", "2027-03-01"]
    assert [month.slot(at(text)) - 2026 * 12 for text in times * 2] == [2, 3, 2, 1, 14] * 2


@pytest.mark.parametrize("seconds", [0, -1, 367 * 86_400])
def test_a_window_of_no_sense_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="a window lasts"):
        Sliding(seconds)


def test_windows_are_values() -> None:
    assert {Sliding(60), Sliding(60), Calendar("day"), Calendar("day")} == {Sliding(60), Calendar("day")}
    assert Calendar("day") != Calendar("month")
    assert repr([Sliding(60), Calendar("day")]) == '[Sliding(60), Calendar("day")]'
