from __future__ import annotations

import pytest

from ai_gateway_mw.state import KeyState, Latency, Measured, MemoryProviderKeys, Result
from tests.state.conftest import Clock


@pytest.fixture
def latency(clock: Clock) -> Latency:
    return Latency(clock)


def took(upstream_ms: float, first_token_ms: float | None = None) -> Measured:
    return Measured(Result.OK, upstream_ms=upstream_ms, time_to_first_token_ms=first_token_ms)


def test_without_attempts_it_is_zero_and_none_for_streams(latency: Latency) -> None:
    assert (latency.upstream_ms_avg, latency.upstream_ms_p95) == (0, 0)
    assert (latency.time_to_first_token_ms_avg, latency.time_to_first_token_ms_p95) == (None, None)


def test_it_is_of_the_last_five_minutes(latency: Latency, clock: Clock) -> None:
    latency.record(took(900, 90))
    assert (latency.upstream_ms_avg, latency.time_to_first_token_ms_avg) == (900, 90)
    clock.advance(200)
    latency.record(took(100, 10))
    assert (latency.upstream_ms_avg, latency.time_to_first_token_ms_avg) == (500, 50)
    clock.advance(150)
    assert latency.upstream_ms_avg == 100
    assert latency.upstream_ms_p95 == pytest.approx(100, rel=0.05)


def test_what_is_told_is_refreshed_once_a_second(latency: Latency, clock: Clock) -> None:
    assert latency.upstream_ms_avg == 0
    latency.record(took(100))
    assert latency.upstream_ms_avg == 100, "the first attempt shows at once"
    latency.record(took(300))
    assert latency.upstream_ms_avg == 100
    clock.advance(1)
    assert latency.upstream_ms_avg == 200


def test_every_key_has_its_own(clock: Clock, wall: Clock) -> None:
    keys = MemoryProviderKeys(clock, wall)
    one, other = (keys.state(name) for name in ("one", "other"))
    assert isinstance(one, KeyState)
    one.latency.record(took(100))
    assert (one.latency.upstream_ms_avg, other.latency.upstream_ms_avg) == (100, 0)
