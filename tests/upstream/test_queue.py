from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from ai_gateway_mw.providers import ApiSurface, Credential, Provider
from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.state import MemoryProviderKeys, Result
from ai_gateway_mw.upstream.candidate import Attempt, Candidate, ProviderKey
from ai_gateway_mw.upstream.outcome import Outcome
from ai_gateway_mw.upstream.queue import CandidateQueue


def candidate(name: str, *, cooling: bool = False, host: str = "") -> Candidate:
    """`a1` is key 1 of provider a, whose host is a's own unless another is named."""
    provider = Provider(name[0])
    surface = ApiSurface("openai", f"https://{host or name[0]}.test", Credential("authorization", "Bearer"))
    live = MemoryProviderKeys(clock=lambda: 100.0).state(name)
    if cooling:
        live.record(Result.RATE_LIMITED, retry_after=60)
    return Candidate(provider, surface, None, ProviderKey(name, Secret(name, "test/key"), live, cast("Any", None)))


def walked(candidates: Sequence[Candidate], outcomes: dict[str, Outcome]) -> list[str]:
    """The keys in the order of their turn, when attempts end like this, or else with RATE_LIMITED."""
    queue, order = CandidateQueue(iter(candidates)), []
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
        pytest.param(
            [candidate("a1", cooling=True), candidate("a2", cooling=True)], {}, "a1 a2", id="all-cooling-in-order"
        ),
        pytest.param(
            [candidate("a1"), candidate("a2"), candidate("b1")],
            {"a1": Outcome.FAILED},
            "a1 b1 a2",
            id="other-providers-before-a-failing-one",
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


@pytest.mark.parametrize("cooling", [False, True], ids=["ahead", "among-the-last"])
def test_a_candidate_may_be_given_the_next_turn(cooling: bool) -> None:
    queue = CandidateQueue(iter([candidate("a1", cooling=cooling), candidate("a2", cooling=cooling)]))
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

    CandidateQueue(candidates()).next()
    assert drawn == ["a1"]
