from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ai_gateway_mw.errors import LimitsUnavailable
from ai_gateway_mw.limits import Calendar, Counters, Sliding, Window
from ai_gateway_mw.limits.counters import CROWDED
from tests.limits.clock import Clock
from tests.limits.taking import correct, enter, leave, take

MINUTE = Sliding(60)
DAY, MONTH = Calendar("day"), Calendar("month")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["in_memory", "shared"])
def counters(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Counters]:
    if request.param == "in_memory":
        made = Counters.in_memory(clock=clock)
    else:
        made = Counters.shared(tmp_path / "data" / "counters", clock=clock)
    yield made
    made.close()


def granted(counters: Counters, amount: int = 1, *, limit: int = 3, window: Window = MINUTE) -> bool:
    return take(counters, [("key:a", window, limit, amount)]).granted


@pytest.mark.parametrize("window", [MINUTE, Sliding(86_400), DAY, MONTH], ids=str)
def test_as_much_as_the_limit_is_let_through(counters: Counters, window: Window) -> None:
    assert [granted(counters, window=window) for _ in range(4)] == [True, True, True, False]
    assert counters.value("key:a", window) == 3


def test_what_left_the_window_counts_no_more(counters: Counters, clock: Clock) -> None:
    assert granted(counters, 2)
    clock.now += 30
    assert granted(counters, 1)
    clock.now += 30.999
    assert not granted(counters)
    clock.now += 0.001
    assert counters.value("key:a", MINUTE) == 1
    clock.now += 1000
    assert counters.value("key:a", MINUTE) == 0


def test_a_refusal_says_when_to_come_back(counters: Counters, clock: Clock) -> None:
    clock.now += 0.5
    granted(counters, 2)
    clock.now += 10
    granted(counters, 1)
    taken = take(counters, [("key:a", MINUTE, 3, 2)])
    assert (taken.granted, taken.refused, taken.retry_after) == (False, 0, 51)
    assert taken.standings == [(3, 0, 61)]
    clock.now += taken.retry_after
    assert granted(counters, 2)


@pytest.mark.parametrize(("window", "retry_after"), [(DAY, 12 * 3600), (MONTH, 21 * 86_400 + 12 * 3600)], ids=str)
def test_a_calendar_window_starts_anew(counters: Counters, clock: Clock, window: Window, retry_after: int) -> None:
    granted(counters, 3, window=window)
    clock.now += 0.5
    assert take(counters, [("key:a", window, 3, 1)]).retry_after == retry_after
    clock.now += retry_after - 0.51
    assert not granted(counters, window=window)
    clock.now += 0.01
    assert granted(counters, 3, window=window)


def test_all_claims_are_taken_or_none(counters: Counters) -> None:
    wide, narrow = ("a", MINUTE, 10, 4), ("b", DAY, 5, 3)
    first = take(counters, [wide, narrow])
    assert (first.granted, first.standings[0][:2], first.standings[1][:2]) == (True, (10, 6), (5, 2))
    second = take(counters, [wide, narrow])
    assert (second.granted, second.refused) == (False, 1)
    assert [remaining for _, remaining, _ in second.standings] == [6, 2]
    assert (counters.value("a", MINUTE), counters.value("b", DAY)) == (4, 3)


def test_the_claim_that_waits_longest_is_named(counters: Counters) -> None:
    claims = [("a", MINUTE, 1, 1), ("a", DAY, 1, 1), ("b", MINUTE, 1, 1)]
    take(counters, claims)
    assert take(counters, claims).refused == 1


def test_one_counter_may_be_claimed_twice(counters: Counters) -> None:
    assert not take(counters, [("a", MINUTE, 3, 2), ("a", MINUTE, 3, 2)]).granted
    assert counters.value("a", MINUTE) == 0


@pytest.mark.parametrize(("amount", "limit"), [(4, 3), (1, 0)])
def test_more_than_the_limit_is_always_refused(counters: Counters, amount: int, limit: int) -> None:
    taken = take(counters, [("a", MINUTE, limit, amount)])
    assert (taken.granted, taken.standings[0][1], taken.retry_after > 0) == (False, limit, True)


def test_nothing_may_be_taken_to_look(counters: Counters) -> None:
    granted(counters, 3)
    taken = take(counters, [("key:a", MINUTE, 3, 0)])
    assert (taken.granted, taken.standings) == (True, [(3, 0, 61)])
    assert take(counters, [("new", MINUTE, 3, 0)]).standings == [(3, 3, 0)]


def test_less_than_nothing_is_not_taken(counters: Counters) -> None:
    with pytest.raises(ValueError, match="-1"):
        granted(counters, -1)
    while granted(counters, 1):
        pass
    with pytest.raises(ValueError, match="-1"):
        granted(counters, -1)


@pytest.mark.parametrize(
    ("later", "difference", "left"),
    [
        (0, -5, 5),
        (0, 7, 17),
        (0, -50, 0),
        (60, -5, 5),
        (61, -5, 0),
        (61, 5, 5),
        (10_000, 5, 5),
    ],
)
def test_what_was_taken_is_corrected(counters: Counters, clock: Clock, later: int, difference: int, left: int) -> None:
    at = take(counters, [("a", MINUTE, 10, 10)]).at
    clock.now += later
    correct(counters, "a", MINUTE, at, difference)
    assert counters.value("a", MINUTE) == left


def test_a_correction_counts_where_it_was_taken(counters: Counters, clock: Clock) -> None:
    at = take(counters, [("a", MINUTE, 10, 5)]).at
    clock.now += 50
    correct(counters, "a", MINUTE, at, 5)
    clock.now += 11
    assert counters.value("a", MINUTE) == 0


def test_a_correction_may_go_over_the_limit_and_then_nothing_is_let_through(counters: Counters) -> None:
    taken = take(counters, [("a", DAY, 10, 10)])
    correct(counters, "a", DAY, taken.at, 1000)
    refused = take(counters, [("a", DAY, 10, 0)])
    assert (refused.granted, refused.standings[0][1]) == (False, 0)


def test_a_correction_of_what_nobody_took_counts_now(counters: Counters) -> None:
    correct(counters, "a", MINUTE, 0.0, -5)
    correct(counters, "a", MINUTE, 0.0, 5)
    assert counters.value("a", MINUTE) == 5


@pytest.mark.parametrize("window", [MINUTE, DAY], ids=str)
def test_a_counter_is_raised_to_what_is_known(counters: Counters, window: Window) -> None:
    take(counters, [("a", window, 100, 10)])
    counters.raise_to("a", window, 7)
    assert counters.value("a", window) == 10
    counters.raise_to("a", window, 25)
    assert counters.value("a", window) == 25


@pytest.mark.parametrize("back", [0.1, 1, 30, 61, 3600, 10 * 86_400])
@pytest.mark.parametrize("window", [MINUTE, DAY, MONTH], ids=str)
def test_a_clock_that_is_put_back_loses_no_counts(
    counters: Counters, clock: Clock, window: Window, back: float
) -> None:
    granted(counters, 2, window=window)
    clock.now -= back
    assert granted(counters, 1, window=window)
    assert not granted(counters, 1, window=window)
    assert take(counters, [("key:a", window, 3, 1)]).retry_after <= 62 * 86_400


def test_a_clock_that_is_put_back_far_keeps_nobody_out_for_long(counters: Counters, clock: Clock) -> None:
    granted(counters, 3)
    clock.now -= 5 * 365 * 86_400
    assert take(counters, [("key:a", MINUTE, 3, 1)]).retry_after == 61
    clock.now += 61
    assert granted(counters, 3)


def test_places_are_given_back(counters: Counters) -> None:
    assert [enter(counters, "a", 2) for _ in range(3)] == [True, True, False]
    assert enter(counters, "b", 1)
    leave(counters, "a")
    assert (counters.entered("a"), enter(counters, "a", 2), enter(counters, "a", 0)) == (1, True, False)
    for _ in range(5):
        leave(counters, "a")
    assert counters.entered("a") == 0


def test_a_place_is_taken_with_the_claims_or_nothing_is(counters: Counters) -> None:
    claim, place = ("key:a/requests", MINUTE, 2, 1), ("key:a", 1)
    assert take(counters, [claim], place).granted
    crowded = take(counters, [claim], place)
    assert (crowded.granted, crowded.refused, crowded.standings) == (False, CROWDED, ())
    assert (counters.value("key:a/requests", MINUTE), counters.entered("key:a")) == (1, 1)
    assert take(counters, [("key:a/requests", MINUTE, 2, 2)], ("key:a", 9)).refused == 0
    assert (counters.value("key:a/requests", MINUTE), counters.entered("key:a")) == (1, 1)
    with pytest.raises(ValueError, match="-1"):
        take(counters, [claim, ("b", MINUTE, 2, -1)], ("key:a", 9))
    assert (counters.value("key:a/requests", MINUTE), counters.entered("key:a")) == (1, 1)


def test_a_place_alone_may_be_taken_and_given_back_with_a_correction(counters: Counters) -> None:
    place = ("key:a", 1)
    assert take(counters, [], place).granted
    leave(counters, "key:a")
    taken = take(counters, [("a", MINUTE, 10, 5)], place)
    correct(counters, "a", MINUTE, taken.at, -2, place)
    assert (counters.value("a", MINUTE), counters.entered("key:a")) == (3, 0)


def test_what_does_not_fit_is_not_given_back_with_what_did(counters: Counters) -> None:
    for name, amount in (("a", 1), ("b", 3), ("c", 2)):
        granted_to = take(counters, [(name, MINUTE, 3, amount)])
        assert granted_to.granted
    refused = take(counters, [("a", MINUTE, 3, 1), ("b", MINUTE, 3, 1), ("a", MINUTE, 3, 1), ("c", MINUTE, 3, 2)])
    assert not refused.granted
    assert [counters.value(name, MINUTE) for name in "abc"] == [1, 3, 2]
    assert [remaining for _, remaining, _ in refused.standings] == [2, 0, 2, 1]


def test_what_is_closed_counts_nothing_more(counters: Counters) -> None:
    counters.close()
    counters.close()
    for use in (lambda: granted(counters), lambda: enter(counters, "a", 1), lambda: counters.value("a", DAY)):
        with pytest.raises(LimitsUnavailable):
            use()


class AgainstALog(RuleBasedStateMachine):
    """Beside a log of all that was let through, in which a second look finds every interval."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(1_000_000.0)
        self.counters = Counters.in_memory(clock=self.clock, rows=256, place_rows=256)
        self.log: dict[str, list[tuple[float, int]]] = {"a": [], "key:b": []}
        self.spent: dict[int, int] = {}
        self.window, self.limit, self.budget = Sliding(90), 10, 40

    @rule(seconds=st.one_of(st.floats(0, 5), st.floats(0, 200), st.just(92.0)))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(amounts=st.dictionaries(st.sampled_from(["a", "key:b"]), st.integers(0, 11), min_size=1))
    def take(self, amounts: dict[str, int]) -> None:
        now, day = self.clock.now, int(self.clock.now // 86_400)
        total = sum(amounts.values())
        claims = [(name, self.window, self.limit, amount) for name, amount in amounts.items()]
        taken = take(self.counters, [*claims, ("budget", DAY, self.budget, total)])
        latest = {name: self.within(name, now - 94, now) + amount for name, amount in amounts.items()}
        fits = all(sum_ <= self.limit for sum_ in latest.values()) and self.spent.get(day, 0) + total <= self.budget
        if fits:
            assert taken.granted
        if taken.granted:
            for name, amount in amounts.items():
                self.log[name].append((now, amount))
            self.spent[day] = self.spent.get(day, 0) + total
        else:
            assert taken.retry_after >= 1

    @rule(name=st.sampled_from(["a", "key:b"]), difference=st.integers(-11, 0))
    def give_back(self, name: str, difference: int) -> None:
        if not self.log[name]:
            return
        at, amount = self.log[name].pop()
        given = max(difference, -amount)
        correct(self.counters, name, self.window, at, given)
        self.log[name].append((at, amount + given))

    def within(self, name: str, after: float, until: float) -> int:
        return sum(amount for at, amount in self.log[name] if after < at <= until)

    @invariant()
    def no_interval_holds_more_than_the_limit(self) -> None:
        for name, log in self.log.items():
            for at, _ in log[-30:]:
                assert self.within(name, at - 90, at) <= self.limit
            assert self.within(name, self.clock.now - 90, self.clock.now) <= self.counters.value(name, self.window)
        assert all(spent <= self.budget for spent in self.spent.values())
        assert self.counters.value("budget", DAY) == self.spent.get(int(self.clock.now // 86_400), 0)

    def teardown(self) -> None:
        self.counters.close()


TestAgainstALog = AgainstALog.TestCase
TestAgainstALog.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_copy_goes_on_from_what_is_counted_and_apart(counters: Counters) -> None:
    assert granted(counters, 2)
    assert enter(counters, "key:a", 2)
    copy = counters.copied()
    assert granted(copy)
    assert not granted(copy)
    assert (counters.value("key:a", MINUTE), copy.value("key:a", MINUTE)) == (2, 3)
    assert enter(copy, "key:a", 2)
    assert not enter(copy, "key:a", 2)
    assert (counters.entered("key:a"), copy.entered("key:a")) == (1, 2)
    leave(copy, "key:a")
    copy.close()
    assert granted(counters)
    assert counters.entered("key:a") == 1
