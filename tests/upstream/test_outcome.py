from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from ai_gateway_mw.state import Result
from ai_gateway_mw.upstream.outcome import (
    Next,
    Outcome,
    error_of_first_event,
    first_event,
    outcome_of,
    outcome_of_error,
    retry_after,
)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ACCEPTED),
        (201, Outcome.ACCEPTED),
        (202, Outcome.ACCEPTED),
        (204, Outcome.ACCEPTED),
        (206, Outcome.FAILED),
        (301, Outcome.FAILED),
        (307, Outcome.FAILED),
        (400, Outcome.CLIENT_FAULT),
        (401, Outcome.KEY_REJECTED),
        (402, Outcome.QUOTA_EXHAUSTED),
        (403, Outcome.KEY_REJECTED),
        (404, Outcome.CLIENT_FAULT),
        (405, Outcome.CLIENT_FAULT),
        (408, Outcome.TIMED_OUT),
        (409, Outcome.CLIENT_FAULT),
        (413, Outcome.CLIENT_FAULT),
        (415, Outcome.CLIENT_FAULT),
        (421, Outcome.FAILED),
        (422, Outcome.CLIENT_FAULT),
        (424, Outcome.ERRED),
        (425, Outcome.ERRED),
        (429, Outcome.RATE_LIMITED),
        (500, Outcome.ERRED),
        (501, Outcome.FAILED),
        (502, Outcome.FAILED),
        (503, Outcome.FAILED),
        (504, Outcome.TIMED_OUT),
        (520, Outcome.FAILED),
        (529, Outcome.FAILED),
        (599, Outcome.FAILED),
    ],
)
def test_status_names_the_outcome(status: int, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome


def openai_error(code: str | None = None, kind: str | None = None, message: str = "No.") -> Any:
    return {"error": {"message": message, "type": kind, "code": code, "param": None}}


def anthropic_error(kind: str, message: str = "No.") -> Any:
    return {"type": "error", "error": {"type": kind, "message": message}}


def google_error(status: str, message: str = "No.", reason: str | None = None) -> Any:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}] if reason else []
    return {"error": {"code": 400, "message": message, "status": status, "details": details}}


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        pytest.param(429, openai_error("rate_limit_exceeded", "requests"), Outcome.RATE_LIMITED, id="429"),
        pytest.param(
            429, openai_error("insufficient_quota", "insufficient_quota"), Outcome.QUOTA_EXHAUSTED, id="no-quota"
        ),
        pytest.param(429, openai_error(kind="insufficient_quota"), Outcome.QUOTA_EXHAUSTED, id="no-quota-by-type"),
        pytest.param(
            400,
            anthropic_error("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
            Outcome.QUOTA_EXHAUSTED,
            id="anthropic-no-credit",
        ),
        pytest.param(
            400,
            anthropic_error("invalid_request_error", "You have reached your specified API usage limits."),
            Outcome.QUOTA_EXHAUSTED,
            id="anthropic-usage-limit",
        ),
        pytest.param(402, anthropic_error("billing_error"), Outcome.QUOTA_EXHAUSTED, id="anthropic-billing"),
        pytest.param(404, openai_error("model_not_found"), Outcome.MODEL_UNAVAILABLE, id="no-such-model"),
        pytest.param(
            404, anthropic_error("not_found_error", "model: claude-x"), Outcome.MODEL_UNAVAILABLE, id="anthropic-model"
        ),
        pytest.param(404, openai_error("DeploymentNotFound"), Outcome.MODEL_UNAVAILABLE, id="azure-deployment"),
        pytest.param(404, openai_error(message="No such File object: file-1"), Outcome.CLIENT_FAULT, id="no-such-file"),
        pytest.param(
            400,
            google_error("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", "API_KEY_INVALID"),
            Outcome.KEY_REJECTED,
            id="google-bad-key",
        ),
        pytest.param(
            400,
            [google_error("INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")],
            Outcome.KEY_REJECTED,
            id="google-bad-key-in-a-list",
        ),
        pytest.param(400, openai_error("context_length_exceeded"), Outcome.CLIENT_FAULT, id="prompt-too-long"),
        pytest.param(403, openai_error("content_policy_violation"), Outcome.CLIENT_FAULT, id="moderated"),
        pytest.param(403, openai_error(), Outcome.KEY_REJECTED, id="forbidden"),
        pytest.param(403, openai_error("model_not_found"), Outcome.MODEL_UNAVAILABLE, id="no-access-to-the-model"),
        pytest.param(
            403, openai_error("unsupported_country_region_territory"), Outcome.REGION_REFUSED, id="openai-region"
        ),
        pytest.param(
            403,
            openai_error(message="Country, region, or territory not supported"),
            Outcome.REGION_REFUSED,
            id="region-by-message",
        ),
        pytest.param(
            400,
            google_error("FAILED_PRECONDITION", "User location is not supported for the API use."),
            Outcome.REGION_REFUSED,
            id="google-region",
        ),
        pytest.param(
            400,
            openai_error(message="Unknown role 'your credit balance is too low'"),
            Outcome.CLIENT_FAULT,
            id="the-clients-own-words",
        ),
        pytest.param(
            400, openai_error(message="Bad input: API key not valid"), Outcome.CLIENT_FAULT, id="its-words-of-a-key"
        ),
        pytest.param(
            400,
            {"error": {"message": "API key not valid is no role", "param": "messages"}},
            Outcome.CLIENT_FAULT,
            id="about-a-member",
        ),
        pytest.param(500, openai_error("insufficient_quota"), Outcome.ERRED, id="a-500-is-a-500"),
        pytest.param(422, openai_error("model_not_found"), Outcome.CLIENT_FAULT, id="a-422-is-a-422"),
    ],
)
def test_the_body_of_an_error_says_more_than_its_status(status: int, body: Any, outcome: Outcome) -> None:
    assert outcome_of_error(status, json.dumps(body).encode()) is outcome


def test_a_404_is_about_a_model_only_where_one_was_asked_for() -> None:
    body = json.dumps(openai_error("model_not_found", message="No such file: model.txt")).encode()
    assert outcome_of_error(404, body, of_model=False) is Outcome.CLIENT_FAULT


@pytest.mark.parametrize(
    ("data", "event"),
    [
        (b"", None),
        (b"data: 1\n", None),
        (b"data: 1\n\n", b"data: 1"),
        (b": hello\n\ndata: 1\n\ndata: 2\n\n", b"data: 1"),
        (b"event: ping\ndata: {}\n\ndata: 1\n\n", b"data: 1"),
        (b"event: ping\ndata: {}\n\n: x\n\n", None),
        (b"retry: 5\r\rdata: 1\r\rdata: 2", b"data: 1"),
    ],
)
def test_the_first_event_is_the_first_that_is_complete_and_brings_data(data: bytes, event: bytes | None) -> None:
    assert first_event(data) == event


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>429</html>", b"[]", b"null", b'"text"', b'{"error": 7}', b'{"error": null}', b"[" * 100_000, b"\xff"]
    + [b'{"error": {"code": {"a": 1}, "details": "x", "message": null}}', b'{"error": {"details": [1, null]}}'],
)
def test_an_error_of_an_unknown_shape_is_judged_by_its_status(body: bytes) -> None:
    assert outcome_of_error(429, body) is Outcome.RATE_LIMITED
    assert outcome_of_error(400, body) is Outcome.CLIENT_FAULT


@pytest.mark.parametrize(
    ("outcome", "then", "result"),
    [
        (Outcome.ACCEPTED, Next.ANSWER, Result.OK),
        (Outcome.CLIENT_FAULT, Next.ANSWER, Result.CLIENT_FAULT),
        (Outcome.RATE_LIMITED, Next.ANY_CANDIDATE, Result.RATE_LIMITED),
        (Outcome.QUOTA_EXHAUSTED, Next.ANY_CANDIDATE, Result.QUOTA_EXHAUSTED),
        (Outcome.KEY_REJECTED, Next.ANY_CANDIDATE, Result.KEY_REJECTED),
        (Outcome.TIMED_OUT, Next.ANY_CANDIDATE, Result.TIMEOUT),
        (Outcome.FAILED, Next.OTHER_PROVIDER, Result.SERVER_ERROR),
        (Outcome.UNREACHABLE, Next.OTHER_HOST, Result.UNREACHABLE),
        (Outcome.CLIENT_GONE, Next.STOP, None),
        (Outcome.MODEL_UNAVAILABLE, Next.ANY_CANDIDATE, None),
    ],
)
def test_an_outcome_says_what_follows_and_what_counts(outcome: Outcome, then: Next, result: Result | None) -> None:
    assert (outcome.then, outcome.result) == (then, result)


@pytest.mark.parametrize(
    ("chunk", "status"),
    [
        pytest.param(b'data: {"choices": []}\n\n', None, id="content"),
        pytest.param(b": keep-alive\n\n", None, id="comment"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b': hi\n\ndata: {"error": {"code": "rate_limit_exceeded"}}\n\n', 429, id="after-a-comment"),
        pytest.param(b'data: {"id": 1}\n\ndata: {"error": {"code": "429"}}\n\n', None, id="not-the-first"),
        pytest.param(b'data: {"id": "1", "choices": [{"delta": {"content": "{\\"error\\""}}]}\n\n', None, id="talk"),
        pytest.param(b'data: {"error": {"code": "rate_limit_exceeded"}}\n\n', 429, id="limited"),
        pytest.param(b'\n\ndata:{"error":{"code":429}}\r\n\r\n', 429, id="limited-by-number"),
        pytest.param(b'data: {"error": {"type": "insufficient_quota"}}\n\n', 402, id="quota"),
        pytest.param(b'data: {"error": {"code": "invalid_api_key"}}\n\n', 401, id="key"),
        pytest.param(b'data: {"error": {"status": "INVALID_ARGUMENT", "code": 400}}\n\n', 400, id="client"),
        pytest.param(b'data: {"error": {"message": "oops"}}\n\n', 500, id="something-else"),
        pytest.param(
            b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n', 529, id="overloaded"
        ),
        pytest.param(
            b'event: error\ndata: {"type": "error", "error": {"type": "rate_limit_error"}}\n\n', 429, id="anthropic"
        ),
        pytest.param(b"event: error\ndata: not json\n\n", 500, id="unreadable"),
        pytest.param(
            b'event: error\ndata: {"type":"error","code":"rate_limit_exceeded","message":"slow","param":null}\n\n',
            429,
            id="responses-limited",
        ),
    ],
)
def test_a_stream_may_begin_with_an_error(chunk: bytes, status: int | None) -> None:
    assert error_of_first_event(chunk) == status


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
