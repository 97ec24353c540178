from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from ai_gateway_mw.providers import ApiSurface, Credential, Model, Provider
from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.state import MemoryProviderKeys, Result
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.key_ring import ProviderKey
from ai_gateway_mw.upstream.outcome import Outcome
from ai_gateway_mw.upstream.queue import CandidateQueue

MODEL = Model("m", "a", "m")


def anywhere(candidate: Candidate, last: bool) -> bool:
    """Every origin may be asked."""
    return True


def candidate(name: str, *, cooling: bool = False, host: str = "") -> Candidate:
    """`a1` is key 1 of provider a, whose host is a's own unless another is named."""
    provider = Provider(name[0])
    surface = ApiSurface("openai", f"https://{host or name[0]}.test", Credential("authorization", "Bearer"))
    live = MemoryProviderKeys(clock=lambda: 100.0, jitter=lambda: 0.5).state(name)
    if cooling:
        live.record(Result.RATE_LIMITED, retry_after=60)
    return Candidate(provider, surface, None, ProviderKey(name, Secret(name, "test/key"), live, cast("Any", None)))


def walked(candidates: Sequence[Candidate], outcomes: dict[str, Outcome]) -> list[str]:
    """The keys in the order of their turn, when attempts end like this, or else with RATE_LIMITED."""
    queue, order = CandidateQueue(iter(candidates), anywhere), []
    for turn in iter(queue.next, None):
        assert turn.key is not None
        order.append(turn.key.id)
        queue.after(Attempt(turn, outcome=outcomes.get(turn.key.id, Outcome.RATE_LIMITED)))
    return order


@pytest.mark.parametrize(
    ("candidates", "outcomes", "order"),
    [
        pytest.param([], {}, "", id="nobody"),
        pytest.param([candidate("a1"), candidate("a2"), candidate("b1")], {}, "a1 a2 b1", id="in-order"),
        pytest.param([candidate("a1", cooling=True), candidate("a2")], {}, "a2 a1", id="cooling-last"),
        pytest.param(
            [candidate("a1", cooling=True), candidate("a2"), candidate("b1")], {}, "a2 b1 a1", id="cooling-after-all"
        ),
        pytest.param([candidate("a1", cooling=True), candidate("a2", cooling=True)], {}, "", id="all-cooling-nobody"),
        pytest.param(
            [candidate("a1"), candidate("a2"), candidate("b1")],
            {"a1": Outcome.FAILED},
            "a1 b1 a2",
            id="other-providers-before-a-failing-one",
        ),
        pytest.param(
            [
                candidate("a1", cooling=True),
                candidate("a2", cooling=True),
                candidate("b1", cooling=True),
                candidate("c1"),
            ],
            {"a1": Outcome.FAILED},
            "c1 a1 b1 a2",
            id="also-among-those-that-stand-back",
        ),
        pytest.param(
            [candidate("a1", cooling=True), candidate("a2"), candidate("b1", cooling=True)],
            {"a2": Outcome.FAILED},
            "a2 b1 a1",
            id="and-where-the-failing-one-stood-back-first",
        ),
        pytest.param(
            [candidate("a1"), candidate("a2"), candidate("b1")],
            {"a1": Outcome.UNREACHABLE},
            "a1 b1",
            id="a-closed-door-is-not-tried-twice",
        ),
        pytest.param(
            [candidate("a1"), candidate("b1", host="a"), candidate("c1")],
            {"a1": Outcome.UNREACHABLE},
            "a1 c1",
            id="the-door-is-the-hosts",
        ),
        pytest.param(
            [candidate("a1", cooling=True), candidate("a2", cooling=True), candidate("b1")],
            {"a1": Outcome.UNREACHABLE},
            "b1 a1",
            id="a-door-found-closed-at-the-end",
        ),
        pytest.param([candidate("a1"), candidate("a2"), candidate("a1")], {}, "a1 a2", id="nobody-twice"),
        pytest.param(
            [candidate("a1"), candidate("b1"), candidate("a1", cooling=True)], {}, "a1 b1", id="nor-at-the-end"
        ),
    ],
)
def test_the_order_of_turns(candidates: Sequence[Candidate], outcomes: dict[str, Outcome], order: str) -> None:
    assert walked(candidates, outcomes) == order.split()


def test_a_candidate_may_be_given_the_next_turn() -> None:
    queue = CandidateQueue(iter([candidate("a1"), candidate("a2")]), anywhere)
    order = []
    for turn in iter(queue.next, None):
        assert turn.key is not None
        order.append(turn.key.id)
        if turn.key.id == "a1":
            queue.first(candidate("a9"))
    assert order == ["a1", "a9", "a2"]


def test_candidates_are_drawn_one_by_one() -> None:
    drawn = []

    def candidates() -> Any:
        for name in ("a1", "a2"):
            drawn.append(name)
            yield candidate(name)

    CandidateQueue(candidates(), anywhere).next()
    assert drawn == ["a1"]


def names(queue: CandidateQueue) -> list[str]:
    return [turn.key.id for turn in iter(queue.next, None) if turn.key is not None]


def test_an_origin_that_is_not_allowed_is_asked_about_once_more_when_nobody_else_is_left() -> None:
    asked = []

    def allows(turn: Candidate, last: bool) -> bool:
        asked.append((turn.provider.id, last))
        return last or turn.provider.id != "a"

    assert names(CandidateQueue(iter([candidate("a1"), candidate("b1")]), allows)) == ["b1", "a1"]
    assert asked == [("a", False), ("b", False), ("a", True)]


def test_nobody_is_asked_whose_origin_lets_nobody_through() -> None:
    assert names(CandidateQueue(iter([candidate("a1"), candidate("a2")]), lambda *_: False)) == []


def test_a_key_that_is_no_good_for_the_model_stands_back() -> None:
    first, second = (replace(candidate(name), model=MODEL) for name in ("a1", "a2"))
    assert first.key is not None
    first.key.live.set_unfit_for(MODEL.id, 60)
    assert names(CandidateQueue(iter([first, second]), anywhere)) == ["a2", "a1"]


def test_how_long_all_of_them_cool_down() -> None:
    queue = CandidateQueue(iter([candidate("a1", cooling=True), candidate("a2", cooling=True)]), anywhere)
    assert names(queue) == []
    assert queue.cooling == queue.unasked == [60.0, 60.0]
    assert names(queue.again()) == []


def test_it_does_not_matter_how_long_some_of_them_cool_down() -> None:
    queue = CandidateQueue(iter([candidate("a1", cooling=True), candidate("a2")]), anywhere)
    assert names(queue) == ["a2", "a1"]
    assert queue.cooling == queue.unasked == []


def test_one_that_told_us_to_wait_has_its_turn_after_one_that_does_so_only_now() -> None:
    queue = CandidateQueue(iter([candidate("a1", cooling=True), candidate("a2")]), anywhere)
    turn = queue.next()
    assert turn is not None
    assert turn.key is not None
    turn.key.live.record(Result.RATE_LIMITED, retry_after=30)
    assert names(queue) == ["a1"]
    assert sorted(queue.cooling) == [30.0, 60.0]
    assert queue.unasked == []


def test_those_that_had_no_turn_are_left_in_their_order() -> None:
    queue = CandidateQueue(iter([candidate("a1", cooling=True), candidate("a2"), candidate("b1")]), anywhere)
    assert queue.next() is not None
    assert [each.key.id for each in queue if each.key is not None] == ["b1", "a1"]
