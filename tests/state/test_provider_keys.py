from __future__ import annotations

import pytest

from ai_gateway_mw.state import KeyState, MemoryProviderKeys, Result


@pytest.fixture
def keys(clock, wall) -> MemoryProviderKeys:
    return MemoryProviderKeys(clock, wall, jitter=lambda: 0.5)


@pytest.fixture
def key(keys: MemoryProviderKeys) -> KeyState:
    return keys.state("sha256:1")


def record(key: KeyState, *results: Result) -> None:
    for result in results:
        key.record(result)


def test_a_key_is_made_on_first_use_and_stays(keys: MemoryProviderKeys) -> None:
    keys.record("a", Result.OK)
    assert keys.state("a") is keys.state("a")
    assert (keys.state("a").samples, keys.state("b").samples) == (1, 0)


def test_the_longest_unused_key_goes_when_there_are_too_many(clock, wall) -> None:
    keys = MemoryProviderKeys(clock, wall, max_keys=2)
    first, second = keys.state("first"), keys.state("second")
    assert keys.state("first") is first
    keys.state("third")
    assert keys.state("first") is first
    assert keys.state("second") is not second


def test_failures_pass_out_of_the_rates_by_time_alone(key: KeyState, clock) -> None:
    record(key, *[Result.OK] * 9, Result.TIMEOUT)
    assert (key.error_rate.total, key.samples) == (0.1, 10)
    clock.advance(61)
    assert (key.error_rate.total, key.samples) == (0.0, 0)


@pytest.mark.parametrize(
    ("result", "rates"),
    [
        pytest.param(Result.OK, {}, id="ok"),
        pytest.param(Result.CLIENT_FAULT, {"client": 0.1}, id="a bad request is not the key's fault"),
        pytest.param(Result.RATE_LIMITED, {"total": 0.1, "rate_limit": 0.1}, id="rate limited"),
        pytest.param(Result.TIMEOUT, {"total": 0.1, "timeout": 0.1}, id="timeout"),
        pytest.param(Result.SERVER_ERROR, {"total": 0.1, "server": 0.1}, id="server error"),
        pytest.param(Result.UNREACHABLE, {"total": 0.1}, id="unreachable"),
        pytest.param(Result.KEY_REJECTED, {"total": 0.1}, id="rejected"),
        pytest.param(Result.QUOTA_EXHAUSTED, {"total": 0.1}, id="quota is no rate limit"),
        pytest.param(Result.SERVER_TIMEOUT, {"total": 0.1, "timeout": 0.1, "server": 0.1}, id="504"),
        pytest.param(Result.FAILED, {"total": 0.1}, id="failed in another way"),
    ],
)
def test_each_result_moves_its_rates(key: KeyState, result: Result, rates: dict[str, float]) -> None:
    record(key, *[Result.OK] * 9, result, *([Result.OK] if result is Result.CLIENT_FAULT else []))
    names = ("total", "rate_limit", "timeout", "server", "client")
    expected = {name: rates.get(name, 0.0) for name in names}
    if result is Result.CLIENT_FAULT:
        expected["client"] = pytest.approx(1 / 11)
    assert {name: getattr(key.error_rate, name) for name in names} == expected


def test_a_rate_of_few_attempts_is_zero(key: KeyState) -> None:
    record(key, *[Result.TIMEOUT] * 9)
    assert (key.error_rate.total, key.samples) == (0.0, 9)
    record(key, Result.TIMEOUT)
    assert key.error_rate.total == 1.0


def test_rates_are_of_the_last_minute(key: KeyState, clock) -> None:
    record(key, *[Result.SERVER_ERROR] * 20)
    clock.advance(62)
    record(key, *[Result.OK] * 10)
    assert key.error_rate.total == 0.0


def test_cooling_lasts_as_long_as_the_provider_says(key: KeyState, clock) -> None:
    key.record(Result.RATE_LIMITED, retry_after=20)
    assert (key.cooling, key.state) == (True, "cooling")
    clock.advance(19)
    assert key.cooling
    clock.advance(2)
    assert (key.cooling, key.state) == (False, "ok")


def test_cooling_lasts_no_longer_than_ten_minutes(key: KeyState, clock) -> None:
    key.record(Result.RATE_LIMITED, retry_after=86_400)
    clock.advance(601)
    assert not key.cooling


def test_without_word_from_the_provider_cooling_doubles_up_to_a_minute(key: KeyState, clock) -> None:
    lasted = []
    for _ in range(9):
        key.record(Result.RATE_LIMITED)
        lasted.append(key.cooling_until - clock())
        clock.advance(lasted[-1])
    assert lasted == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_many_refusals_at_once_are_one(key: KeyState, clock) -> None:
    started = clock() - 1
    for _ in range(50):
        key.record(Result.RATE_LIMITED, started=started)
    assert key.cooling_until - clock() == 1


@pytest.mark.parametrize(("result", "span"), [(Result.RATE_LIMITED, 1), (Result.KEY_REJECTED, 300)])
def test_who_asks_before_its_time_learns_nothing_new(key: KeyState, clock, result: Result, span: int) -> None:
    key.record(result, started=clock())
    for _ in range(50):
        clock.advance(0.01)
        key.record(result, started=clock())
    assert key.cooling_until - clock() == span
    clock.advance(span)
    key.record(result, started=clock())
    assert key.cooling_until - clock() == 2 * span


def test_a_success_brings_a_key_back(key: KeyState, clock) -> None:
    key.record(Result.RATE_LIMITED, retry_after=300)
    clock.advance(1)
    key.record(Result.OK, started=clock())
    assert key.state == "ok"
    key.record(Result.RATE_LIMITED, started=clock())
    assert key.cooling_until - clock() == 1


def test_a_success_that_began_before_the_refusal_does_not(key: KeyState, clock) -> None:
    started = clock()
    clock.advance(1)
    key.record(Result.RATE_LIMITED, retry_after=300)
    clock.advance(1)
    key.record(Result.OK, started=started)
    assert key.state == "cooling"


@pytest.mark.parametrize(
    ("result", "state", "spans"),
    [
        (Result.QUOTA_EXHAUSTED, "quota_exhausted", [900, 900]),
        (Result.KEY_REJECTED, "rejected", [300, 600, 1200, 2400, 3600, 3600]),
    ],
)
def test_a_useless_key_is_left_alone(key: KeyState, clock, result: Result, state: str, spans: list[int]) -> None:
    lasted = []
    for _ in spans:
        key.record(result)
        assert key.state == state
        lasted.append(key.cooling_until - clock())
        clock.advance(lasted[-1])
    assert lasted == spans
    assert key.state == "ok"


def test_the_longer_of_two_reasons_holds(key: KeyState) -> None:
    key.record(Result.QUOTA_EXHAUSTED)
    key.record(Result.RATE_LIMITED, retry_after=5)
    assert key.state == "quota_exhausted"


@pytest.mark.parametrize("result", [Result.CLIENT_FAULT, Result.TIMEOUT, Result.SERVER_ERROR, Result.UNREACHABLE])
def test_other_results_do_not_set_a_key_aside(key: KeyState, result: Result) -> None:
    record(key, result)
    assert key.state == "ok"


def test_every_result_is_counted_somehow(key: KeyState) -> None:
    for result in Result:
        key.record(result)
    assert key.samples == len(Result) - 1, "all but a bad request"


@pytest.mark.parametrize(("told", "lasted"), [(None, 900), (30.0, 900), (3600.0, 3600), (1e9, 86_400)])
def test_a_used_up_quota_is_left_alone_until_its_reset(key: KeyState, clock, told: float | None, lasted: float) -> None:
    key.record(Result.QUOTA_EXHAUSTED, retry_after=told)
    assert key.cooling_until - clock() == lasted


@pytest.mark.parametrize(("chance", "lasted"), [(0.0, 90), (0.5, 100), (1.0, 110)])
def test_chance_moves_every_time_by_ten_per_cent(clock, wall, chance: float, lasted: float) -> None:
    key = MemoryProviderKeys(clock, wall, jitter=lambda: chance).state("k")
    key.record(Result.RATE_LIMITED, retry_after=100)
    assert key.cooling_until - clock() == pytest.approx(lasted)
    key = MemoryProviderKeys(clock, wall, jitter=lambda: chance).state("k")
    key.record(Result.RATE_LIMITED, retry_after=86_400)
    assert key.cooling_until - clock() <= 600


def test_a_key_may_be_unfit_for_one_model_and_fit_for_others(key: KeyState, clock) -> None:
    assert not key.unfit_for("gpt-4o")
    key.set_unfit_for("gpt-4o", 60)
    assert (key.unfit_for("gpt-4o"), key.unfit_for("gpt-4o-mini"), key.state) == (True, False, "ok")
    clock.advance(60)
    assert not key.unfit_for("gpt-4o")


def test_models_that_clients_make_up_do_not_pile_up(key: KeyState, clock) -> None:
    for number in range(1000):
        key.set_unfit_for(f"made-up-{number}", 60)
    assert sum(key.unfit_for(f"made-up-{number}") for number in range(1000)) == 256
    clock.advance(61)
    key.set_unfit_for("gpt-4o", 60)
    assert key.unfit_for("gpt-4o")
