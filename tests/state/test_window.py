from __future__ import annotations

from random import Random

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


def test_slots_agree_with_times_noted_one_by_one(clock) -> None:
    """Whatever happens when: what is counted is what lies within the span, to one slot."""
    chance = Random(1)
    window, noted = Window(3, clock, span=60, slots=30), []
    for _ in range(3000):
        clock.advance(chance.choice([0, 0.3, 1.9, 2, 7, 61, 200]) * chance.random())
        kinds = chance.choice([(0,), (0, 1), (2,), ()])
        if kinds == (2,):
            window.count_one(2)
        else:
            window.count(kinds)
        noted += [(int(clock() / 2), kind) for kind in kinds]
        since = int(clock() / 2) - 30
        assert list(window.totals()) == [
            sum(slot > since and kind == each for slot, kind in noted) for each in (0, 1, 2)
        ]
