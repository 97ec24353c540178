from __future__ import annotations

import pytest

from ai_gateway_mw.state import Quota
from ai_gateway_mw.state.quota import seconds_until

NAMES = ("limit_requests", "remaining_requests", "limit_tokens", "remaining_tokens")


@pytest.fixture
def quota(clock, wall) -> Quota:
    return Quota(clock, wall)


def fields(**values: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items()]


def shown(quota: Quota) -> tuple[int | None, ...]:
    return tuple(getattr(quota, name) for name in NAMES)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({}, (None, None, None, None), id="nothing reported"),
        pytest.param(
            {
                "x_ratelimit_limit_requests": "500",
                "x_ratelimit_remaining_requests": "499",
                "x_ratelimit_limit_tokens": "30000",
                "x_ratelimit_remaining_tokens": "29900",
            },
            (500, 499, 30000, 29900),
            id="openai",
        ),
        pytest.param(
            {
                "anthropic_ratelimit_requests_limit": "50",
                "anthropic_ratelimit_requests_remaining": "49",
                "anthropic_ratelimit_tokens_limit": "48000",
                "anthropic_ratelimit_tokens_remaining": "47000",
                "anthropic_ratelimit_input_tokens_limit": "40000",
                "anthropic_ratelimit_input_tokens_remaining": "39000",
            },
            (50, 49, 48000, 47000),
            id="anthropic: the tightest token limit counts",
        ),
        pytest.param(
            {"anthropic_ratelimit_input_tokens_remaining": "7"},
            (None, None, None, 7),
            id="anthropic: input tokens only",
        ),
        pytest.param({"x_ratelimit_remaining_requests": "-3"}, (None, 0, None, None), id="negatives are zero"),
        pytest.param({"x_ratelimit_remaining_requests": " 12 "}, (None, 12, None, None), id="blanks around"),
        pytest.param({"x_ratelimit_remaining_requests": "many"}, (None, None, None, None), id="no number"),
        pytest.param({"x_ratelimit_remaining_requests": "1_000"}, (None, None, None, None), id="no such number"),
        pytest.param({"x_ratelimit_remaining_requests": "9" * 40}, (None, None, None, None), id="absurd"),
        pytest.param({"x_ratelimit_remaining_requests": ""}, (None, None, None, None), id="empty"),
    ],
)
def test_learns_from_rate_limit_fields(quota: Quota, said: dict[str, str], expected: tuple[int | None, ...]) -> None:
    quota.learn(fields(**said))
    assert shown(quota) == expected


def test_what_is_not_said_again_stays(quota: Quota) -> None:
    quota.learn(fields(x_ratelimit_limit_requests="10", x_ratelimit_remaining_requests="9"))
    quota.learn(fields(x_ratelimit_remaining_requests="8"))
    assert shown(quota) == (10, 8, None, None)


@pytest.mark.parametrize("unreadable", ["", "many", "9" * 40])
def test_what_cannot_be_read_takes_nothing_back(quota: Quota, unreadable: str) -> None:
    quota.learn(fields(x_ratelimit_limit_requests="10", x_ratelimit_remaining_requests="0"))
    quota.learn(fields(x_ratelimit_limit_requests="10", x_ratelimit_remaining_requests=unreadable))
    assert shown(quota) == (10, 0, None, None)


def test_input_tokens_come_in_any_order(quota: Quota) -> None:
    quota.learn(fields(anthropic_ratelimit_tokens_remaining="5", anthropic_ratelimit_input_tokens_remaining="900"))
    assert quota.remaining_tokens == 5


def test_after_its_reset_a_limit_is_whole_again(quota: Quota, clock) -> None:
    quota.learn(
        fields(x_ratelimit_limit_requests="10", x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="1m30s")
    )
    clock.advance(89)
    assert quota.remaining_requests == 0
    clock.advance(2)
    assert quota.remaining_requests == 10


def test_a_reset_counts_from_when_it_was_told(quota: Quota, clock, wall) -> None:
    quota.learn(
        fields(x_ratelimit_limit_tokens="5", x_ratelimit_remaining_tokens="1", x_ratelimit_reset_tokens="1800000030")
    )
    clock.advance(31)
    wall.advance(31)
    assert quota.remaining_tokens == 5, "also where nobody asked until then"


def test_after_its_reset_a_zero_without_a_limit_is_forgotten(quota: Quota, clock) -> None:
    quota.learn(fields(x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="5s"))
    clock.advance(6)
    assert quota.remaining_requests is None


def test_a_zero_without_a_reset_is_forgotten_after_a_minute(quota: Quota, clock) -> None:
    quota.learn(fields(x_ratelimit_limit_requests="10", x_ratelimit_remaining_requests="0"))
    clock.advance(61)
    assert quota.remaining_requests is None


def test_what_is_left_stays_where_no_reset_was_told(quota: Quota, clock) -> None:
    quota.learn(fields(x_ratelimit_limit_requests="10", x_ratelimit_remaining_requests="4"))
    clock.advance(3600)
    assert quota.remaining_requests == 4


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17.0),
        ("0.5", 0.5),
        ("12ms", 0.012),
        ("6m0s", 360.0),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723.0),
        ("1800000030", 30.0),
        ("1800000030000", 30.0),
        ("2027-01-15T08:00:30Z", 30.0),
        ("2027-01-15T09:00:30+01:00", 30.0),
        ("2027-01-15T08:00:30", 30.0),
        ("1700000000", 0.0),
        ("400h", 604_800.0),
        ("", None),
        ("soon", None),
        ("1.2.3s", None),
        ("-5", None),
    ],
)
def test_resets_come_as_spans_times_and_dates(text: str, seconds: float | None) -> None:
    found = seconds_until(text, 1_800_000_000.0)
    assert found == (None if seconds is None else pytest.approx(seconds))
