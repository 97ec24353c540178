from __future__ import annotations

import pytest

from ai_gateway_mw.state import Breakers, MemoryProviderKeys
from ai_gateway_mw.upstream.lessons import learn_of_origin, learn_of_pair
from ai_gateway_mw.upstream.outcome import Outcome

ORIGIN = "https://a.test"


@pytest.fixture
def breakers() -> Breakers:
    return Breakers(clock=lambda: 100.0, jitter=lambda: 0.5)


def learn(breakers: Breakers, outcome: Outcome, retry_after: float | None = None) -> None:
    learn_of_origin(breakers, ORIGIN, outcome, retry_after=retry_after, started=100.0)


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.ACCEPTED, "closed"),
        (Outcome.CLIENT_FAULT, "closed"),
        (Outcome.RATE_LIMITED, "closed"),
        (Outcome.ERRED, "open"),
        (Outcome.UNREACHABLE, "open"),
        (Outcome.CLIENT_GONE, "closed"),
        (Outcome.BUSY, "resting"),
        (Outcome.REGION_REFUSED, "resting"),
        (Outcome.UNAVAILABLE, "open"),
    ],
)
def test_five_of_a_kind(breakers: Breakers, outcome: Outcome, state: str) -> None:
    for _ in range(5):
        learn(breakers, outcome)
    assert breakers.state(ORIGIN) == state


@pytest.mark.parametrize(
    ("told", "before", "after"), [(None, 17.4, 17.6), (1.0, 17.4, 17.6), (100.0, 104, 106), (1e6, 629, 631)]
)
def test_an_origin_does_not_rest_shorter_than_it_asked_for(told: float | None, before: float, after: float) -> None:
    now = [100.0]
    breakers = Breakers(clock=lambda: now[0], jitter=lambda: 0.5)
    learn(breakers, Outcome.BUSY, retry_after=told)
    now[0] = 100.0 + before
    assert not breakers.allows(ORIGIN)
    now[0] = 100.0 + after
    assert breakers.allows(ORIGIN)


@pytest.mark.parametrize(
    ("outcome", "unfit"),
    [(Outcome.MODEL_UNAVAILABLE, True), (Outcome.KEY_FORBIDDEN, True), (Outcome.KEY_REJECTED, False)],
)
def test_a_key_may_be_no_good_for_a_model(outcome: Outcome, unfit: bool) -> None:
    key = MemoryProviderKeys().state("k")
    learn_of_pair(key, "gpt-4o", outcome)
    assert key.unfit_for("gpt-4o") is unfit
    assert not key.unfit_for("gpt-4o-mini")
