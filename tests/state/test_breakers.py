from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ai_gateway_mw.state import Breakers
from tests.state.conftest import Clock

HERE, THERE = "https://a.test", "https://b.test"


@pytest.fixture
def breakers(clock: Clock) -> Breakers:
    return Breakers(clock, jitter=lambda: 0.5)


def fail(breakers: Breakers, times: int = 5) -> None:
    for _ in range(times):
        breakers.record(HERE, False)


def probe(breakers: Breakers, ok: bool, *, last: bool = False) -> None:
    assert breakers.allows(HERE, last=last)
    breakers.record(HERE, ok)


def test_an_origin_that_nobody_tried_is_allowed(breakers: Breakers) -> None:
    assert breakers.allows(HERE)
    assert breakers.state(HERE) == "closed"


def test_five_failures_in_a_row_open_it_and_it_alone(breakers: Breakers) -> None:
    fail(breakers, 4)
    breakers.record(HERE, True)
    fail(breakers, 4)
    assert breakers.allows(HERE)
    fail(breakers, 1)
    assert not breakers.allows(HERE)
    assert breakers.allows(THERE)


def break_off(breakers: Breakers, clock: Clock) -> None:
    """An attempt that seemed to work, and did not in the end."""
    started = clock()
    breakers.record(HERE, True, started=started)
    clock.advance(0.1)
    breakers.take_back(HERE, started=started)


def test_five_in_a_row_open_it_also_where_they_seemed_to_work(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, 2)
    for _ in range(2):
        break_off(breakers, clock)
    assert breakers.state(HERE) == "closed"
    break_off(breakers, clock)
    assert breakers.state(HERE) == "open"


def test_a_success_after_one_that_is_taken_back_ends_the_row_all_the_same(breakers: Breakers, clock: Clock) -> None:
    fail(breakers, 4)
    breakers.record(HERE, True, started=clock())
    breakers.record(HERE, True, started=clock() + 0.1)
    breakers.take_back(HERE, started=clock())
    assert breakers.state(HERE) == "closed"


def test_an_attempt_that_is_taken_back_counts_once(breakers: Breakers, clock: Clock) -> None:
    for _ in range(10):
        breakers.record(HERE, True)
        break_off(breakers, clock)
    assert breakers.state(HERE) == "open"


def test_a_probe_that_is_taken_back_has_failed(breakers: Breakers, clock: Clock) -> None:
    before = clock()
    breakers.record(HERE, True, started=before)
    clock.advance(1)
    fail(breakers)
    clock.advance(10)
    assert breakers.allows(HERE)
    breakers.take_back(HERE, started=before)
    assert breakers.state(HERE) == "half-open", "what began before it opened is no probe"
    breakers.record(HERE, True, started=clock())
    breakers.take_back(HERE, started=clock())
    clock.advance(19)
    assert breakers.state(HERE) == "open"


@pytest.mark.parametrize(("good", "bad", "state"), [(10, 10, "open"), (11, 9, "closed"), (9, 10, "closed")])
def test_half_of_twenty_failing_opens_it(breakers: Breakers, good: int, bad: int, state: str) -> None:
    for number in range(max(good, bad)):
        if number < good:
            breakers.record(HERE, True)
        if number < bad:
            breakers.record(HERE, False)
    assert breakers.state(HERE) == state


def test_what_is_older_than_thirty_seconds_does_not_count(breakers: Breakers, clock: Clock) -> None:
    for _ in range(9):
        breakers.record(HERE, False)
        breakers.record(HERE, True)
    clock.advance(32)
    breakers.record(HERE, False)
    breakers.record(HERE, True)
    assert breakers.state(HERE) == "closed"


def test_it_stays_open_for_ten_seconds_then_lets_one_probe_through(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    clock.advance(9.9)
    assert not breakers.allows(HERE)
    clock.advance(0.2)
    assert breakers.state(HERE) == "half-open"
    assert breakers.allows(HERE)
    assert not breakers.allows(HERE)


def test_three_good_probes_close_it(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    clock.advance(10)
    for state in ("half-open", "half-open", "closed"):
        probe(breakers, True)
        assert breakers.state(HERE) == state
    fail(breakers, 4)
    assert breakers.allows(HERE), "it starts anew"


def test_each_bad_probe_doubles_its_time_up_to_two_minutes(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    for seconds in (10, 20, 40, 80, 120, 120):
        clock.advance(seconds - 0.1)
        assert not breakers.allows(HERE)
        clock.advance(0.1)
        probe(breakers, False)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 7), (1.0, 13)])
def test_chance_moves_the_time_by_thirty_per_cent(clock: Clock, chance: float, seconds: float) -> None:
    breakers = Breakers(clock, jitter=lambda: chance)
    fail(breakers)
    clock.advance(seconds - 0.1)
    assert breakers.state(HERE) == "open"
    clock.advance(0.2)
    assert breakers.state(HERE) == "half-open"


def test_the_last_candidate_is_asked_all_the_same_one_attempt_at_a_time(breakers: Breakers) -> None:
    fail(breakers)
    assert breakers.allows(HERE, last=True)
    assert not breakers.allows(HERE, last=True)
    breakers.record(HERE, True)
    probe(breakers, True, last=True)
    probe(breakers, True, last=True)
    assert breakers.state(HERE) == "closed"


def test_an_attempt_from_before_it_opened_is_no_probe(breakers: Breakers, clock: Clock) -> None:
    started = clock()
    fail(breakers)
    clock.advance(10)
    assert breakers.allows(HERE)
    breakers.record(HERE, False, started=started)
    breakers.record(HERE, True, started=started)
    assert not breakers.allows(HERE), "the probe is still under way"
    assert breakers.state(HERE) == "half-open"


def test_a_probe_that_says_nothing_makes_room_for_another(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    clock.advance(10)
    assert breakers.allows(HERE)
    breakers.release(HERE)
    assert breakers.allows(HERE)


def test_a_probe_that_is_never_heard_of_does_not_shut_an_origin_for_ever(breakers: Breakers, clock: Clock) -> None:
    fail(breakers)
    clock.advance(10)
    assert breakers.allows(HERE)
    clock.advance(600)
    assert breakers.allows(HERE)


def test_an_origin_that_rests_is_passed_over_for_so_long(breakers: Breakers, clock: Clock) -> None:
    breakers.rest(HERE, 5, 25)
    assert breakers.state(HERE) == "resting"
    clock.advance(14.9)
    assert not breakers.allows(HERE)
    clock.advance(0.1)
    assert breakers.allows(HERE)
    assert breakers.allows(HERE)


def test_one_good_answer_ends_a_rest_if_it_began_after_it(breakers: Breakers, clock: Clock) -> None:
    started = clock()
    clock.advance(1)
    breakers.rest(HERE, 3600, 3600)
    breakers.record(HERE, True, started=started)
    assert breakers.state(HERE) == "resting"
    breakers.record(HERE, True, started=clock())
    assert breakers.state(HERE) == "closed"


def test_an_origin_that_rests_is_asked_by_all_who_have_no_other(breakers: Breakers) -> None:
    breakers.rest(HERE, 10, 10)
    assert [breakers.allows(HERE, last=True) for _ in range(3)] == [True] * 3


def test_failures_while_it_rests_open_it(breakers: Breakers) -> None:
    breakers.rest(HERE, 1, 1)
    fail(breakers)
    assert breakers.state(HERE) == "open"


def test_a_longer_rest_is_not_cut_short_by_opening(breakers: Breakers, clock: Clock) -> None:
    breakers.rest(HERE, 3600, 3600)
    fail(breakers)
    clock.advance(3599)
    assert not breakers.allows(HERE)


def test_an_attempt_from_before_does_not_take_the_place_of_a_probe(breakers: Breakers, clock: Clock) -> None:
    started = clock()
    fail(breakers)
    clock.advance(10)
    assert breakers.allows(HERE)
    breakers.release(HERE, started=started)
    assert not breakers.allows(HERE)


def test_there_are_so_many_breakers_and_no_more(breakers: Breakers) -> None:
    fail(breakers)
    for number in range(1000):
        breakers.record(number, True)
    assert breakers.state(HERE) == "closed"
    assert not breakers.shut


def test_nobody_has_to_ask_where_none_is_shut(breakers: Breakers, clock) -> None:
    breakers.record(THERE, True)
    assert not breakers.shut
    fail(breakers)
    assert breakers.shut == {HERE}
    breakers.rest(THERE, 5, 5)
    assert breakers.shut == {HERE, THERE}
    clock.advance(12)
    assert breakers.allows(THERE)
    assert breakers.shut == {HERE}
    for _ in range(3):
        assert breakers.allows(HERE)
        breakers.record(HERE, True)
    assert not breakers.shut


class AnyHistory(RuleBasedStateMachine):
    """Whatever happens in whatever order: one probe at a time, and never shut for longer than it may be."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.chance = 0.5
        self.breakers = Breakers(self.clock, jitter=lambda: self.chance)
        self.probing = False

    @rule(ok=st.booleans())
    def attempt(self, ok: bool) -> None:
        shut = self.breakers.state(HERE) != "closed"
        allowed = self.breakers.allows(HERE)
        assert not (allowed and shut and self.probing)
        if allowed:
            self.breakers.record(HERE, ok)

    @precondition(lambda self: not self.probing)
    @rule()
    def begin(self) -> None:
        if self.breakers.state(HERE) == "half-open":
            self.probing = self.breakers.allows(HERE)
            assert self.probing

    @precondition(lambda self: self.probing)
    @rule(ok=st.booleans())
    def end(self, ok: bool) -> None:
        before = self.breakers.state(HERE)
        self.breakers.record(HERE, ok)
        self.probing = False
        assert before == "half-open"
        assert self.breakers.state(HERE) in (("closed", "half-open") if ok else ("open",))

    @precondition(lambda self: self.probing)
    @rule()
    def nobody_else_meanwhile(self) -> None:
        assert not self.breakers.allows(HERE)
        assert not self.breakers.allows(HERE, last=True)

    @rule(seconds=st.floats(0, 60), chance=st.floats(0, 1))
    def time_passes(self, seconds: float, chance: float) -> None:
        self.clock.advance(seconds / 10 if self.probing else seconds)  # a probe is given up after ten minutes
        self.chance = chance

    @precondition(lambda self: not self.probing)
    @rule()
    def after_its_longest_time_somebody_may_try(self) -> None:
        self.clock.advance(120 * 1.3)
        assert self.breakers.state(HERE) in ("closed", "half-open")
        assert self.breakers.allows(HERE)
        self.breakers.release(HERE)

    @invariant()
    def it_is_known_which_are_shut(self) -> None:
        assert self.breakers.shut or self.breakers.state(HERE) == "closed"

    @invariant()
    def elsewhere_nothing_changes(self) -> None:
        assert self.breakers.allows(THERE)


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
