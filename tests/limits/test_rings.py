"""What a writer leaves that dies before any one of its stores: never less than there was."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.limits import Calendar, Sliding, Window, rings
from ai_gateway_mw.limits.table import Table

NOW = 1_773_144_000.0


class Died(Exception):
    """In the place of SIGKILL."""


class Mortal:
    """Cells of a writer that dies instead of storing for the last time."""

    def __init__(self, cells: memoryview, stores: int) -> None:
        self.cells = cells
        self.left = stores

    def __getitem__(self, place: Any) -> Any:
        return self.cells[place]

    def __setitem__(self, place: Any, value: Any) -> None:
        if not self.left:
            raise Died
        self.left -= 1
        self.cells[place] = value


def empty() -> memoryview:
    return memoryview(bytearray(8 * rings.WIDTH)).cast("q")


def begun(window: Window, counts: list[tuple[float, int]]) -> memoryview:
    cells = empty()
    rings.begin(cells, 0, window, NOW)
    for at, amount in counts:
        rings.add(cells, 0, window, rings.advanced(cells, 0, window, NOW + at), amount)
    return cells


def moved(cells: Any, window: Window, at: float, amount: int) -> int:
    rings.add(cells, 0, window, rings.advanced(cells, 0, window, at), amount)
    return rings.total(cells, 0, window)


@pytest.mark.parametrize("moves", [0, 1, 30, 59, 60, 61, 62, 1000, -1, -40, -62, -500])
@pytest.mark.parametrize("window", [Sliding(60), Sliding(90), Calendar("day")], ids=str)
def test_death_at_any_store_loses_no_count(window: Window, moves: int) -> None:
    counts = [(0.0, 5), (20.0, 7), (40.0, 9)]
    at = NOW + 40 + moves
    whole = moved(begun(window, counts), window, at, 3) - 3
    for stores in range(80):
        cells = begun(window, counts)
        try:
            moved(Mortal(cells, stores), window, at, 3)
        except Died:
            assert moved(cells, window, at, 0) >= whole
            assert not rings.is_over(cells, 0, at)
        else:
            assert rings.total(cells, 0, window) == whole + 3
            return
    pytest.fail("so many stores are not needed")


@pytest.mark.parametrize("moves", [0, 1, 30, 59, 60, 61, 62, 1000, -1, -40, -62, -500])
@pytest.mark.parametrize("window", [Sliding(60), Sliding(90), Calendar("day"), Calendar("month")], ids=str)
def test_death_at_any_store_of_a_claim_or_a_correction_loses_no_count(window: Window, moves: int) -> None:
    counts = [(0.0, 5), (20.0, 7), (40.0, 9)]
    at = NOW + 40 + moves
    whole = moved(begun(window, counts), window, at, 0)
    for stores in range(80):
        cells = begun(window, counts)
        mortal: Any = Mortal(cells, stores)
        try:
            limit, left, _ = rings.take(mortal, 0, window, at, 1000, 3)
            rings.correct(mortal, 0, window, at, at, 4)
        except Died:
            assert moved(cells, window, at, 0) >= whole
            assert not rings.is_over(cells, 0, at)
        else:
            assert limit - left == whole + 3
            assert rings.total(cells, 0, window) == whole + 7
            return
    pytest.fail("so many stores are not needed")


@pytest.mark.parametrize("amount", [0, 1, 2, 3])
@pytest.mark.parametrize("later", [0.0, 1.0, 60.0, 61.0, 40 * 86_400.0, -1.0, -100.0])
@pytest.mark.parametrize("window", [Sliding(60), Sliding(90), Calendar("day"), Calendar("month")], ids=str)
def test_a_claim_does_what_its_steps_do(window: Window, later: float, amount: int) -> None:
    """Which are: move on, look whether it fits, add it, tell how it stands."""
    at = NOW + later
    ours, theirs = begun(window, [(0.0, 8)]), begun(window, [(0.0, 8)])
    head = rings.advanced(theirs, 0, window, at)
    used = rings.total(theirs, 0, window) + amount
    standing = rings.take(ours, 0, window, at, 10, amount)
    assert standing[:2] == (10, 10 - used)
    if used <= 10:
        rings.add(theirs, 0, window, head, amount)
        assert standing[2] == rings.reset(theirs, 0, window, at, used)
    assert ours.tolist() == theirs.tolist()


@given(
    st.lists(st.tuples(st.floats(-200, 200), st.integers(0, 9)), max_size=30),
    st.sampled_from([Sliding(60), Sliding(100)]),
)
def test_wherever_the_clock_goes_what_is_younger_than_a_window_counts(
    steps: list[tuple[float, int]], window: Sliding
) -> None:
    """Time that passes forward ages what was counted; time that is put back ages nothing."""
    cells, now = empty(), NOW
    rings.begin(cells, 0, window, now)
    ages: list[tuple[float, int]] = []
    for step, amount in steps:
        now += step
        ages = [(age + max(step, 0.0), count) for age, count in ages]
        ages.append((0.0, amount))
        counted = moved(cells, window, now, amount)
        assert counted >= sum(count for age, count in ages if age < window.seconds)


def test_death_at_any_store_of_a_new_row_names_none_that_is_half_made() -> None:
    digest = bytes(range(1, 17))
    for stores in range(8):
        table = Table(memoryview(bytearray(8 * Table.size(256, 4))), 0, 256, 4)
        cells = table.cells
        mortal = Mortal(cells, stores)
        table.cells = mortal  # type: ignore[assignment]
        try:
            row = table.add(digest, 0, lambda base: True, partial(fill, mortal))
        except Died:
            table.cells = cells
            assert table.find(digest) is None
            assert table.add(digest, 8, lambda base: True).base
        else:
            table.cells = cells
            assert (table.find(digest), cells[row.base]) == (row, 8)
            return
    pytest.fail("so many stores are not needed")


def fill(cells: Mortal, base: int) -> None:
    cells[base] = 8
