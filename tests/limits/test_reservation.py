from __future__ import annotations

from collections.abc import Iterator

import pytest

from ai_gateway_mw.errors import (
    BudgetExceeded,
    GatewayError,
    LimitsUnavailable,
    RateLimited,
    RequestOverLimit,
    TooManyConcurrent,
)
from ai_gateway_mw.headers import Field
from ai_gateway_mw.limits import (
    Calendar,
    Counters,
    KeyClaims,
    KeyLimits,
    LimitsDocument,
    Reservation,
    Sliding,
    limit_fields,
    raise_spending,
)
from ai_gateway_mw.replies import error_reply
from tests.limits.clock import Clock

DOLLAR = 1_000_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters(clock: Clock) -> Iterator[Counters]:
    made = Counters.in_memory(clock=clock, rows=256, place_rows=256)
    yield made
    made.close()


def reservation(counters: Counters, key_id: str = "key_1", **limits: float) -> Reservation:
    return Reservation(counters, KeyClaims(KeyLimits.of(LimitsDocument.model_validate(limits)), key_id))


def opened(counters: Counters, key_id: str = "key_1", **limits: float) -> Reservation:
    made = reservation(counters, key_id, **limits)
    made.open()
    return made


def refusal(made: Reservation, use: tuple[int, int, int] | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        made.open() if use is None else made.reserve(*use)
    return caught.value


def told(made: Reservation) -> list[Field]:
    return limit_fields(made.requests, made.tokens)


def tokens(counters: Counters) -> int:
    return counters.value("key:key_1/tokens", Sliding(60))


def test_a_key_without_limits_touches_no_counters(counters: Counters) -> None:
    counters.close()  # whoever touches them now fails
    made = opened(counters)
    made.reserve(1, 2, 3)
    made.settle(1, 2, 3)
    made.release()
    assert told(made) == []


def test_requests_are_counted_by_key(counters: Counters) -> None:
    opened(counters, requests_per_minute=1)
    opened(counters, "key_2", requests_per_minute=1)
    error = refusal(reservation(counters, requests_per_minute=1))
    assert isinstance(error, RateLimited)
    assert error.message == "Rate limit reached: 1 requests per minute."
    assert error.fields == (
        ("retry-after", "61"),
        ("x-ratelimit-limit-requests", "1"),
        ("x-ratelimit-remaining-requests", "0"),
        ("x-ratelimit-reset-requests", "1m1s"),
        ("ratelimit-limit", "1"),
        ("ratelimit-remaining", "0"),
        ("ratelimit-reset", "61"),
    )


def test_a_refused_request_is_not_counted_and_takes_no_place(counters: Counters) -> None:
    limits = {"requests_per_minute": 2, "requests_per_day": 1, "concurrent_requests": 2}
    opened(counters, **limits)
    assert "per day" in refusal(reservation(counters, **limits)).message
    assert counters.value("key:key_1/requests", Sliding(60)) == 1
    assert counters.entered("key:key_1") == 1


def test_requests_under_way_are_counted(counters: Counters) -> None:
    limits = {"requests_per_minute": 10, "concurrent_requests": 1}
    first = opened(counters, **limits)
    error = refusal(reservation(counters, **limits))
    assert isinstance(error, TooManyConcurrent)
    assert (error.message, error.fields) == ("Rate limit reached: 1 concurrent requests.", (("retry-after", "1"),))
    assert counters.value("key:key_1/requests", Sliding(60)) == 1
    first.settle(None, None, None)
    first.settle(None, None, None)
    opened(counters, **limits).release()
    assert counters.entered("key:key_1") == 0


@pytest.mark.parametrize(
    ("used", "counted"),
    [
        ((10, 5, 0), 15),
        ((10, None, 0), 110),
        ((None, 5, 0), 105),
        ((None, None, None), 200),
        ((300, 400, 0), 700),
        ((0, 0, 0), 0),
    ],
    ids=str,
)
def test_what_was_reserved_is_corrected_to_what_was_used(
    counters: Counters, used: tuple[int | None, int | None, int | None], counted: int
) -> None:
    made = opened(counters, tokens_per_minute=1000)
    made.reserve(100, 100, 0)
    assert tokens(counters) == 200
    made.settle(*used)
    made.release()
    assert tokens(counters) == counted


def test_what_was_used_without_a_reservation_counts(counters: Counters) -> None:
    opened(counters, tokens_per_minute=10).settle(7, 8, 0)
    assert tokens(counters) == 15


def test_input_output_and_money_are_counted_apart(counters: Counters) -> None:
    made = opened(counters, input_tokens_per_day=100, output_tokens_per_day=100, usd_per_day=1, usd_per_month=2)
    made.reserve(10, 50, DOLLAR // 2)
    made.settle(10, 20, DOLLAR // 4)
    day = Sliding(86_400)
    assert counters.value("key:key_1/input tokens", day) == 10
    assert counters.value("key:key_1/output tokens", day) == 20
    assert [counters.value("key:key_1/USD", Calendar(period)) for period in ("day", "month")] == [DOLLAR // 4] * 2


def test_a_call_that_was_not_made_gives_all_back_but_the_request(counters: Counters) -> None:
    limits = {"tokens_per_minute": 10, "usd_per_day": 1, "requests_per_day": 5, "concurrent_requests": 1}
    made = opened(counters, **limits)
    made.reserve(5, 5, DOLLAR)
    made.release()
    made.release()
    made.settle(5, 5, DOLLAR)
    assert (tokens(counters), counters.value("key:key_1/USD", Calendar("day"))) == (0, 0)
    assert counters.value("key:key_1/requests", Sliding(86_400)) == 1
    assert counters.entered("key:key_1") == 0


@pytest.mark.parametrize(
    ("use", "kind", "says"),
    [
        ((3, 3, 0), RateLimited, "Rate limit reached: 10 tokens per minute."),
        ((10, 1, 0), RequestOverLimit, "Request too large: it needs 11 of a limit of 10 tokens per minute."),
        ((1, 1, DOLLAR), BudgetExceeded, "Budget exceeded: 2.5 USD per month."),
    ],
    ids=["rate", "too large", "budget"],
)
def test_a_refused_reservation_takes_nothing(
    counters: Counters, use: tuple[int, int, int], kind: type[GatewayError], says: str
) -> None:
    limits = {"tokens_per_minute": 10, "usd_per_month": 2.5, "concurrent_requests": 2}
    opened(counters, **limits).reserve(3, 2, 2 * DOLLAR)
    made = opened(counters, **limits)
    error = refusal(made, use)
    assert (type(error), error.message) == (kind, says)
    assert (tokens(counters), counters.value("key:key_1/USD", Calendar("month"))) == (5, 2 * DOLLAR)
    made.release()
    assert (tokens(counters), counters.entered("key:key_1")) == (5, 1)


@pytest.mark.parametrize(
    ("error", "status", "retries"),
    [
        (RateLimited("60 requests per minute", 7), 429, True),
        (RequestOverLimit("60 tokens per minute", 61), 429, False),
        (TooManyConcurrent(3), 429, True),
        (BudgetExceeded("5 USD per day"), 402, False),
        (LimitsUnavailable(), 503, True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_clients_are_told_whether_to_try_again(error: GatewayError, status: int, retries: bool) -> None:
    reply = error_reply(error, "openai", "req_1")
    names = [name for name, _ in reply.fields]
    assert (reply.status, b"x-should-retry" not in names, b"retry-after" in names) == (status, retries, retries)


def test_the_tightest_windows_are_shown(counters: Counters, clock: Clock) -> None:
    made = opened(counters, requests_per_minute=60, requests_per_day=10, tokens_per_minute=1000, usd_per_day=1)
    assert dict(told(made))[b"x-ratelimit-remaining-requests"] == b"9"
    made.reserve(400, 590, 0)
    assert dict(told(made)) == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"9",
        b"x-ratelimit-reset-requests": b"24h24m0s",
        b"x-ratelimit-limit-tokens": b"1000",
        b"x-ratelimit-remaining-tokens": b"10",
        b"x-ratelimit-reset-tokens": b"1m1s",
        b"ratelimit-limit": b"1000",
        b"ratelimit-remaining": b"10",
        b"ratelimit-reset": b"61",
    }


def test_money_alone_is_not_shown(counters: Counters) -> None:
    made = opened(counters, usd_per_day=1)
    made.reserve(1, 1, 1)
    assert told(made) == []


def test_spending_known_from_elsewhere_counts(counters: Counters) -> None:
    raise_spending(counters, "key_1", day=DOLLAR, month=3 * DOLLAR)
    made = opened(counters, usd_per_day=2, usd_per_month=3)
    assert "3 USD per month" in refusal(made, (0, 0, 1)).message


def test_an_exchange_reserves_once_while_it_is_open(counters: Counters) -> None:
    made = reservation(counters, tokens_per_day=10)
    with pytest.raises(RuntimeError):
        made.reserve(1, 1, 0)
    made.open()
    made.reserve(1, 1, 0)
    with pytest.raises(RuntimeError):
        made.reserve(1, 1, 0)


def test_counters_that_are_gone_do_not_spoil_an_answer(counters: Counters) -> None:
    made = opened(counters, tokens_per_day=10, concurrent_requests=1)
    made.reserve(1, 1, 0)
    counters.close()
    made.settle(1, 0, 0)
    with pytest.raises(LimitsUnavailable):
        opened(counters, concurrent_requests=1)
