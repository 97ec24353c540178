from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.upstream.retry_times import retry_after

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ([], None),
        ([(b"retry-after", b"7")], 7.0),
        ([(b"retry-after", b"1.5")], 1.5),
        ([(b"retry-after", b" 3 ")], 3.0),
        ([(b"retry-after-ms", b"250"), (b"retry-after", b"7")], 0.25),
        ([(b"retry-after", b"soon")], None),
        ([(b"retry-after", b"-5")], None),
        ([(b"retry-after", b"")], None),
        ([(b"retry-after", b"\xff")], None),
        ([(b"retry-after-ms", b"nan")], None),
        ([(b"retry-after-ms", b"inf")], None),
        ([(b"retry-after", b"9" * 400)], None),
        ([(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT")], 0.0),
    ],
    ids=lambda value: str(value)[:50],
)
def test_retry_after_is_read_where_it_can_be(fields: list[tuple[bytes, bytes]], seconds: float | None) -> None:
    assert retry_after(fields) == seconds


def test_retry_after_may_be_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True).encode()
    waited = retry_after([(b"retry-after", later)])
    assert waited is not None
    assert 90 < waited <= 100


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 15 Jan 2027 08:00:30 GMT",
        "Friday, 15-Jan-27 08:00:30 GMT",
        "Fri Jan 15 08:00:30 2027",
        "Fri, 15 Jan 2027 08:00:30 -0000",
        "Fri, 15 Jan 2027 17:00:30 +0900",
    ],
)
def test_a_date_in_any_form_means_the_same_wherever_the_gateway_stands(
    date: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert retry_after([(b"retry-after", date.encode())], wall=lambda: NOW) == 30
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        pytest.param({"x-ratelimit-reset-requests": "8.64s"}, 8.64, id="OpenAI"),
        pytest.param({"x-ratelimit-reset-tokens": "6m0s"}, 360.0, id="OpenAI, minutes"),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "99",
                "x-ratelimit-reset-requests": "2h",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "7.66s",
            },
            7.66,
            id="Groq: of the limit that was met",
        ),
        pytest.param(
            {
                "x-ratelimit-remaining-requests": "-2",
                "x-ratelimit-reset-requests": "50s",
                "x-ratelimit-remaining-tokens": "900",
                "x-ratelimit-reset-tokens": "1ms",
            },
            50.0,
            id="below zero is nothing",
        ),
        pytest.param(
            {"x-ratelimit-reset-requests": "20s", "x-ratelimit-reset-tokens": "30ms"}, 0.03, id="nobody knows which"
        ),
        pytest.param(
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:30Z",
                "anthropic-ratelimit-output-tokens-remaining": "0",
                "anthropic-ratelimit-output-tokens-reset": "2027-01-15T08:01:00Z",
            },
            60.0,
            id="Anthropic: the longer of two that were met",
        ),
        pytest.param({"anthropic-ratelimit-tokens-reset": "2027-01-15T07:59:00Z"}, 0.0, id="it is over"),
        pytest.param({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000005000"}, 5.0, id="OpenRouter"),
        pytest.param({"X-RateLimit-Reset-Requests": "1s"}, 1.0, id="any case"),
        pytest.param({"x-ratelimit-reset-requests": "soon"}, None, id="unreadable"),
        pytest.param({"retry-after": "3", "x-ratelimit-reset-requests": "60s"}, 3.0, id="Retry-After counts first"),
    ],
)
def test_where_a_limit_was_met_its_reset_counts(fields: dict[str, str], seconds: float | None) -> None:
    raw = [(name.encode(), value.encode()) for name, value in fields.items()]
    found = retry_after(raw, of_limit=True, wall=lambda: NOW)
    assert found == (None if seconds is None else pytest.approx(seconds))
    if "retry-after" not in fields:
        assert retry_after(raw, wall=lambda: NOW) is None, "resets come with every answer"


@pytest.mark.parametrize(
    ("delay", "seconds"), [("37s", 37.0), ("0.5s", 0.5), ("", None), ("soon", None), (None, None), ({"a": 1}, None)]
)
def test_google_says_it_in_the_body(delay: object, seconds: float | None) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    body = json.dumps({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}}).encode()
    assert retry_after([], body) == seconds


@given(
    st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens"]),
    st.binary() | st.text().map(str.encode),
)
def test_any_value_is_a_time_to_wait_or_nothing(name: str, value: bytes) -> None:
    found = retry_after([(name.encode(), value)], b"retryDelay" + value, of_limit=True)
    assert found is None or 0 <= found < float("inf")
