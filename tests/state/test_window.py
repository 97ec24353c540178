from __future__ import annotations

from ai_gateway_mw.state import Window


def test_counts_within_the_span(clock) -> None:
    window = Window(2, clock)
    window.count((0,))
    clock.advance(30)
    window.count((0, 1))
    assert (window.totals()[0], window.totals()[1]) == (2, 1)


def test_forgets_what_is_older_than_the_span(clock) -> None:
    window = Window(1, clock)
    window.count((0,))
    clock.advance(30)
    window.count((0,))
    clock.advance(31)
    assert window.totals()[0] == 1
    clock.advance(60)
    assert window.totals()[0] == 0


def test_is_empty_after_a_long_silence(clock) -> None:
    window = Window(1, clock)
    for _ in range(5):
        window.count((0,))
        clock.advance(1)
    clock.advance(10_000)
    assert window.totals()[0] == 0
    window.count((0,))
    assert window.totals()[0] == 1


def test_counting_for_hours_leaves_the_last_minute(clock) -> None:
    window = Window(1, clock)
    for _ in range(7200):
        window.count((0,))
        clock.advance(1)
    assert 57 <= window.totals()[0] <= 60


def test_a_clock_that_steps_back_does_no_harm(clock) -> None:
    window = Window(1, clock)
    window.count((0,))
    clock.advance(-500)
    window.count((0,))
    assert window.totals()[0] == 2
