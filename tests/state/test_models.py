from __future__ import annotations

import pytest

from ai_gateway_mw.state import Measured, ModelMetrics, Quota, Result


@pytest.fixture
def metrics(clock, wall) -> ModelMetrics:
    return ModelMetrics(clock, wall, refresh=0)


def test_a_model_without_history_shows_zeros(metrics: ModelMetrics) -> None:
    shown = metrics.of("openai", "gpt-4o")
    assert shown["global"] == {
        "provider": "openai",
        "model": "gpt-4o",
        "request_count": 0,
        "start_time": 0,
        "end_time": 0,
        "latency": {
            "gateway_ms_avg": 0,
            "gateway_ms_p95": 0,
            "upstream_ms_avg": 0,
            "upstream_ms_p95": 0,
            "time_to_first_token_ms_avg": None,
            "time_to_first_token_ms_p95": None,
            "time_per_output_token_ms_avg": None,
            "time_per_output_token_ms_p95": None,
        },
        "error_rate": {"total": 0.0, "timeout": 0.0, "rate_limit": 0.0, "client": 0.0, "server": 0.0},
        "token": {"provider_input": 0, "provider_output": 0, "estimated_input": 0, "estimated_output": 0},
    }
    assert shown["api_keys"] == {}


@pytest.mark.parametrize("scope", ["global", "region", "account", "endpoint"])
def test_every_scope_shows_what_was_measured_here(metrics: ModelMetrics, wall, scope: str) -> None:
    metrics.record("p", "m", Measured(Result.OK, upstream_ms=100, gateway_ms=2, provider_input=7, provider_output=3))
    metrics.record("p", "m", Measured(Result.OK, upstream_ms=300, time_to_first_token_ms=50, estimated_input=8))
    shown = metrics.of("p", "m")[scope]
    assert shown["request_count"] == 2
    assert (shown["start_time"], shown["end_time"]) == (int(wall()) - 300, int(wall()))
    assert (shown["latency"]["upstream_ms_avg"], shown["latency"]["gateway_ms_avg"]) == (200, 2)
    assert shown["latency"]["time_to_first_token_ms_avg"] == 50
    assert shown["latency"]["time_per_output_token_ms_avg"] is None
    assert shown["token"] == {"provider_input": 7, "provider_output": 3, "estimated_input": 8, "estimated_output": 0}


def test_the_95th_percentile_is_within_five_per_cent(metrics: ModelMetrics) -> None:
    for ms in range(1, 1001):
        metrics.record("p", "m", Measured(Result.OK, upstream_ms=ms))
    assert metrics.of("p", "m")["global"]["latency"]["upstream_ms_p95"] == pytest.approx(950, rel=0.05)


def test_errors_count_as_they_do_for_keys(metrics: ModelMetrics) -> None:
    for result in [Result.OK] * 8 + [Result.TIMEOUT, Result.SERVER_ERROR, Result.CLIENT_FAULT]:
        metrics.record("p", "m", Measured(result))
    rates = metrics.of("p", "m")["endpoint"]["error_rate"]
    assert rates == pytest.approx({"total": 0.2, "timeout": 0.1, "server": 0.1, "rate_limit": 0.0, "client": 1 / 11})


def test_what_is_older_than_five_minutes_is_forgotten(metrics: ModelMetrics, clock) -> None:
    metrics.record("p", "m", Measured(Result.OK, upstream_ms=100), "k")
    clock.advance(200)
    metrics.record("p", "m", Measured(Result.OK, upstream_ms=300))
    assert metrics.of("p", "m")["global"]["request_count"] == 2
    clock.advance(110)
    assert metrics.of("p", "m")["global"]["latency"]["upstream_ms_avg"] == 300
    assert metrics.of("p", "m")["api_keys"]["k"]["request_count"] == 0
    clock.advance(300)
    assert metrics.of("p", "m")["global"]["request_count"] == 0


def test_keys_have_a_scope_of_their_own(metrics: ModelMetrics, clock, wall) -> None:
    quota = Quota(clock, wall)
    quota.learn([(b"x-ratelimit-remaining-requests", b"9")])
    metrics.record("p", "m", Measured(Result.OK, upstream_ms=10), "sha256:1", quota)
    metrics.record("p", "m", Measured(Result.OK, upstream_ms=20), "sha256:2")
    metrics.record("p", "m", Measured(Result.OK, upstream_ms=30))
    keys = metrics.of("p", "m")["api_keys"]
    assert set(keys) == {"sha256:1", "sha256:2"}
    assert keys["sha256:1"]["latency"]["upstream_ms_avg"] == 10
    assert keys["sha256:1"]["quota"]["remaining_requests"] == 9
    assert keys["sha256:2"]["quota"]["remaining_requests"] is None
    assert metrics.of("p", "m")["global"]["latency"]["upstream_ms_avg"] == 20


def test_only_the_keys_used_last_are_kept(metrics: ModelMetrics) -> None:
    for number in range(100):
        metrics.record("p", "m", Measured(Result.OK), f"k{number}")
    keys = metrics.of("p", "m")["api_keys"]
    assert len(keys) == 64
    assert "k99" in keys


def test_a_key_that_is_let_go_leaves_its_attempts_to_the_model(metrics: ModelMetrics, clock) -> None:
    for number in range(100):
        metrics.record("p", "m", Measured(Result.OK, upstream_ms=number, provider_input=1), f"k{number}")
        clock.advance(1)
    shown = metrics.of("p", "m")["global"]
    assert (shown["request_count"], shown["token"]["provider_input"]) == (100, 100)
    assert shown["latency"]["upstream_ms_avg"] == 50  # 49.5, rounded to the even number
    assert shown["latency"]["upstream_ms_p95"] == pytest.approx(95, rel=0.05)
    clock.advance(301)
    assert metrics.of("p", "m")["global"]["request_count"] == 0


def test_what_is_shown_is_refreshed_once_a_second(clock, wall) -> None:
    metrics = ModelMetrics(clock, wall)
    metrics.of("p", "m")
    metrics.record("p", "m", Measured(Result.OK))
    assert metrics.of("p", "m")["global"]["request_count"] == 1, "the first attempt shows at once"
    metrics.record("p", "m", Measured(Result.OK))
    assert metrics.of("p", "m")["global"]["request_count"] == 1
    clock.advance(1)
    assert metrics.of("p", "m")["global"]["request_count"] == 2


def test_models_are_measured_apart(metrics: ModelMetrics) -> None:
    metrics.record("p", "m", Measured(Result.OK))
    assert metrics.of("q", "m")["global"]["request_count"] == 0


def test_what_is_told_now_can_be_gone_on_with_apart(metrics: ModelMetrics, clock) -> None:
    metrics.record("p", "m", Measured(Result.OK, upstream_ms=100), "k")
    before = metrics.of("p", "m")
    copy = metrics.as_told()
    metrics.record("p", "m", Measured(Result.SERVER_ERROR, upstream_ms=300))
    clock.now += 60
    assert copy.of("p", "m") == before
    copy.record("p", "m", Measured(Result.OK, upstream_ms=5))
    assert metrics.of("p", "m")["global"]["request_count"] == 2
    assert copy.of("p", "other")["global"]["request_count"] == 0
