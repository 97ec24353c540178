from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from ai_gateway_mw.errors import (
    ClientGone,
    ConnectTimeout,
    GatewayError,
    Overloaded,
    UpstreamAnswerInvalid,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamTLSFailed,
    UpstreamUnreachable,
)
from ai_gateway_mw.state import Result
from ai_gateway_mw.state.results import CLIENT, COUNTS, RATE_LIMIT, SAMPLE, SERVER, TIMEOUT, TOTAL
from ai_gateway_mw.upstream.outcome import (
    Fault,
    Next,
    Outcome,
    outcome_of,
    outcome_of_break,
    outcome_of_failure,
)
from ai_gateway_mw.upstream.sayings import outcome_of_error, outcome_of_error_object


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.ACCEPTED),
        (201, Outcome.ACCEPTED),
        (202, Outcome.ACCEPTED),
        (204, Outcome.ACCEPTED),
        (206, Outcome.REDIRECTED),
        (301, Outcome.REDIRECTED),
        (307, Outcome.REDIRECTED),
        (400, Outcome.CLIENT_FAULT),
        (401, Outcome.KEY_REJECTED),
        (402, Outcome.QUOTA_EXHAUSTED),
        (403, Outcome.KEY_FORBIDDEN),
        (404, Outcome.CLIENT_FAULT),
        (405, Outcome.CLIENT_FAULT),
        (408, Outcome.REQUEST_TIMED_OUT),
        (409, Outcome.CLIENT_FAULT),
        (413, Outcome.CLIENT_FAULT),
        (415, Outcome.CLIENT_FAULT),
        (421, Outcome.NOT_SERVED),
        (422, Outcome.CLIENT_FAULT),
        (424, Outcome.NOT_READY),
        (425, Outcome.NOT_READY),
        (429, Outcome.RATE_LIMITED),
        (500, Outcome.ERRED),
        (501, Outcome.NOT_SERVED),
        (502, Outcome.FAILED),
        (503, Outcome.UNAVAILABLE),
        (504, Outcome.PROVIDER_TIMED_OUT),
        (520, Outcome.FAILED),
        (498, Outcome.BUSY),
        (529, Outcome.BUSY),
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
        pytest.param(403, openai_error(), Outcome.KEY_FORBIDDEN, id="forbidden"),
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
    "body",
    [b"", b"<html>429</html>", b"[]", b"null", b'"text"', b'{"error": 7}', b'{"error": null}', b"[" * 100_000, b"\xff"]
    + [b'{"error": {"code": {"a": 1}, "details": "x", "message": null}}', b'{"error": {"details": [1, null]}}'],
)
def test_an_error_of_an_unknown_shape_is_judged_by_its_status(body: bytes) -> None:
    assert outcome_of_error(429, body) is Outcome.RATE_LIMITED
    assert outcome_of_error(400, body) is Outcome.CLIENT_FAULT


class Row(NamedTuple):
    """A row of the failover matrix: what happened, and what has to follow from it."""

    number: str
    what: str
    outcome: Outcome
    other_keys: bool
    other_providers: bool
    counts: frozenset[int]
    against_origin: bool
    may_be_billed: bool
    status: int | None  # what the client is told if nobody is left; None where it gets what came


NOTHING, TOT = frozenset[int](), frozenset([SAMPLE, TOTAL])
TO, RL = TOT | {TIMEOUT}, TOT | {RATE_LIMIT}
YES, NO = True, False


def failed(kind: type[GatewayError]) -> Outcome:
    return outcome_of_failure(kind("No."))


def said(status: int, body: Any = None) -> Outcome:
    return outcome_of_error(status, json.dumps(body if body is not None else openai_error()).encode())


LIMITED = openai_error("rate_limit_exceeded", "tokens")
# fmt: off
ROWS = (
    Row("1", "refused", failed(UpstreamUnreachable), NO, YES, TOT, YES, NO, 502),
    Row("2", "connect timeout", failed(ConnectTimeout), NO, YES, TO, YES, NO, 504),
    Row("3", "no such host", failed(UpstreamUnreachable), NO, YES, TOT, YES, NO, 502),
    Row("4", "certificate", failed(UpstreamTLSFailed), NO, YES, TOT, YES, NO, 502),
    Row("5", "no connection free", failed(Overloaded), NO, YES, NOTHING, NO, NO, 503),
    Row("6", "no head in time", failed(UpstreamTimeout), YES, YES, TO, YES, YES, 504),
    Row("7", "reset before the head", failed(UpstreamInterrupted), YES, YES, TOT, YES, YES, 502),
    Row("9", "400", said(400), NO, NO, NOTHING, NO, NO, None),
    Row("10", "400 of money", said(400, openai_error("organization_on_hold")), YES, YES, TOT, NO, NO, 503),
    Row("11", "401", said(401), YES, YES, TOT, NO, NO, 502),
    Row("13", "402", said(402), YES, YES, TOT, NO, NO, 503),
    Row("14", "403", said(403), YES, YES, TOT, NO, NO, 502),
    Row("15", "403 region", said(403, openai_error("unsupported_country_region_territory")), NO, YES, TOT, NO, NO, 502),
    Row("16", "403 moderation", said(403, openai_error("content_policy_violation")), NO, NO, NOTHING, NO, NO, None),
    Row("17", "404 model", said(404, openai_error("model_not_found")), YES, YES, NOTHING, NO, NO, 404),
    Row("18", "404", said(404), NO, NO, NOTHING, NO, NO, None),
    *(Row("19", str(status), said(status), NO, NO, NOTHING, NO, NO, None) for status in (405, 406, 410, 411, 415)),
    *(Row("19", str(status), said(status), NO, YES, NOTHING, NO, NO, 502) for status in (421, 501)),
    Row("20", "408", said(408), YES, YES, TO, NO, YES, 504),
    Row("21", "409", said(409), NO, NO, NOTHING, NO, NO, None),
    Row("22", "413", said(413), NO, NO, NOTHING, NO, NO, None),
    Row("23", "422", said(422), NO, NO, NOTHING, NO, NO, None),
    *(Row("24", str(status), said(status), YES, YES, TOT, NO, NO, 502) for status in (424, 425)),
    Row("25", "429", said(429, LIMITED), YES, YES, RL, NO, NO, 429),
    Row("26", "429 bare", said(429), YES, YES, RL, NO, NO, 429),
    Row("27", "429 quota", said(429, openai_error(kind="insufficient_quota")), YES, YES, TOT, NO, NO, 503),
    Row("28", "429 slow down", said(429, openai_error("slow_down")), NO, YES, RL, NO, NO, 429),
    Row("29", "500", said(500), YES, YES, TOT, YES, YES, 502),
    *(Row("30", str(status), said(status), NO, YES, TOT, YES, YES, 502) for status in (502, *range(520, 525))),
    Row("31", "503", said(503), NO, YES, TOT, YES, NO, 503),
    Row("32", "504", said(504), NO, YES, TO, YES, YES, 504),
    Row("33", "529", said(529), NO, YES, TOT, NO, NO, 503),
    Row("34", "599", said(599), NO, YES, TOT, YES, YES, 502),
    *(Row("36", str(status), outcome_of(status), NO, YES, TOT, YES, NO, 502) for status in (101, 203, 206, 302, 308)),
    Row("37", "error in a 200", outcome_of_error_object(json.dumps(LIMITED).encode()), YES, YES, RL, NO, NO, 429),
    Row("38", "unreadable", failed(UpstreamAnswerInvalid), NO, YES, TOT, NO, YES, 502),
    Row("39", "shorter than it says", failed(UpstreamInterrupted), YES, YES, TOT, YES, YES, 502),
    Row("40", "cut", outcome_of_break(UpstreamInterrupted("No.")), NO, NO, TOT, YES, YES, 502),
    Row("41", "first event", outcome_of_error_object(json.dumps(LIMITED).encode()), YES, YES, RL, NO, NO, 429),
    Row("42", "cut before content", failed(UpstreamInterrupted), YES, YES, TOT, YES, YES, 502),
    Row("42", "slow before content", failed(UpstreamTimeout), YES, YES, TO, YES, YES, 504),
    Row("43", "cut after content", outcome_of_break(UpstreamInterrupted("No.")), NO, NO, TOT, YES, YES, 502),
    Row("44", "idle after content", outcome_of_break(UpstreamTimeout("No.")), NO, NO, TO, YES, YES, 504),
    Row("45", "no terminator", Outcome.UNFINISHED, NO, NO, TOT, NO, YES, 502),
    Row("51", "client gone", Outcome.CLIENT_GONE, NO, NO, NOTHING, NO, YES, 499),
    Row("52", "total timeout", failed(UpstreamTimeout), YES, YES, TO, YES, YES, 504),
    Row("53", "shutting down", Outcome.SHUT_DOWN, NO, NO, NOTHING, NO, YES, 503),
)
# fmt: on


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}: {row.what}")
def test_what_follows_from_each_row_of_the_matrix(row: Row) -> None:
    outcome = row.outcome
    assert (outcome.then is Next.ANY_CANDIDATE) is row.other_keys
    assert (outcome.then in (Next.ANY_CANDIDATE, Next.OTHER_PROVIDER, Next.OTHER_HOST)) is row.other_providers
    counted = frozenset(COUNTS[outcome.result]) - {SERVER, CLIENT} if outcome.result else NOTHING
    assert counted == row.counts
    assert (outcome.lesson.works is False) is row.against_origin
    assert outcome.may_be_billed is row.may_be_billed
    assert row.status == (None if outcome.then is Next.ANSWER else outcome.last_resort.status)


def test_only_a_client_fault_moves_the_rate_of_client_faults() -> None:
    """What the client did wrong must not make a shared key look broken."""
    assert [each for each in Outcome if each.result and CLIENT in COUNTS[each.result]] == [Outcome.CLIENT_FAULT]
    assert COUNTS[Result.CLIENT_FAULT] == (CLIENT,)


@pytest.mark.parametrize("outcome", [each for each in Outcome if each.fault in (Fault.CLIENT, Fault.GATEWAY)])
def test_neither_key_nor_origin_pays_for_faults_of_others(outcome: Outcome) -> None:
    assert outcome.result in (None, Result.CLIENT_FAULT)
    assert outcome.lesson.works is not False
    assert outcome.lesson.origin_rests is None
    assert not outcome.lesson.pair_rests


def flat(message: str, kind: str, code: Any = None) -> Any:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def google_limit(quota_id: str) -> Any:
    failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota_id}]}
    return {"error": {"code": 429, "message": "You exceeded your current quota.", "details": [failure]}}


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        pytest.param(429, flat("Rate limit exceeded", "rate_limited", "1300"), Outcome.RATE_LIMITED, id="Mistral 429"),
        pytest.param(
            429,
            flat("Service tier capacity exceeded for this model.", "service_tier_capacity_exceeded", "3505"),
            Outcome.BUSY,
            id="Mistral capacity",
        ),
        pytest.param(
            400, flat("Invalid model: x", "invalid_model", "1500"), Outcome.MODEL_UNAVAILABLE, id="Mistral model"
        ),
        pytest.param(401, {"detail": "Unauthorized"}, Outcome.KEY_REJECTED, id="Mistral 401"),
        pytest.param(
            404, flat("The model `x` does not exist.", "NotFoundError", 404), Outcome.MODEL_UNAVAILABLE, id="vLLM model"
        ),
        pytest.param(404, {"detail": "Not Found"}, Outcome.CLIENT_FAULT, id="vLLM path"),
        pytest.param(
            400,
            {"error": {"message": "The model has been decommissioned", "code": "model_decommissioned"}},
            Outcome.MODEL_UNAVAILABLE,
            id="Groq model",
        ),
        pytest.param(498, openai_error("capacity_exceeded"), Outcome.BUSY, id="Groq flex"),
        pytest.param(402, {"error": {"message": "Insufficient Balance"}}, Outcome.QUOTA_EXHAUSTED, id="DeepSeek 402"),
        pytest.param(
            403,
            {"error": {"code": 403, "message": "Flagged", "metadata": {"reasons": ["x"], "flagged_input": "y"}}},
            Outcome.CLIENT_FAULT,
            id="OpenRouter moderation",
        ),
        pytest.param(
            403,
            {"error": {"code": 403, "message": "Forbidden", "metadata": {"provider_name": "x"}}},
            Outcome.KEY_FORBIDDEN,
            id="OpenRouter 403",
        ),
        pytest.param(
            429,
            {"error": {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}}},
            Outcome.QUOTA_EXHAUSTED,
            id="Anthropic spend limit",
        ),
        pytest.param(
            429, google_limit("GenerateRequestsPerMinutePerProjectPerModel"), Outcome.RATE_LIMITED, id="Gemini minute"
        ),
        pytest.param(
            429,
            google_limit("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
            Outcome.QUOTA_EXHAUSTED,
            id="Gemini day",
        ),
        pytest.param(
            429,
            {"error": {"code": 429, "details": [{"reason": "MODEL_CAPACITY_EXHAUSTED"}]}},
            Outcome.BUSY,
            id="Gemini capacity",
        ),
        pytest.param(
            403,
            google_error("PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key."),
            Outcome.KEY_REJECTED,
            id="Gemini leaked key",
        ),
        pytest.param(403, google_error("PERMISSION_DENIED"), Outcome.KEY_FORBIDDEN, id="Gemini 403"),
        pytest.param(
            400,
            {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***.."},
            Outcome.KEY_REJECTED,
            id="xAI key",
        ),
        pytest.param(
            403,
            {"code": "No permission", "error": "Your newly created team doesn't have any credits yet."},
            Outcome.QUOTA_EXHAUSTED,
            id="xAI credits",
        ),
        pytest.param(
            403,
            {"error": {"message": "Input token count + `max_tokens` must be less than 4097"}},
            Outcome.CLIENT_FAULT,
            id="Together too long",
        ),
        pytest.param(
            412,
            {"error": {"message": "Account x is suspended, possibly due to its spending limit"}},
            Outcome.QUOTA_EXHAUSTED,
            id="Fireworks suspended",
        ),
        pytest.param(
            401,
            openai_error("insufficient_quota", "insufficient_quota"),
            Outcome.QUOTA_EXHAUSTED,
            id="Perplexity quota",
        ),
        pytest.param(400, openai_error("content_filter"), Outcome.CLIENT_FAULT, id="Azure filter"),
        pytest.param(429, openai_error("429"), Outcome.RATE_LIMITED, id="Azure 429"),
        pytest.param(503, openai_error("slow_down"), Outcome.SLOWED_DOWN, id="OpenAI 503 slow down"),
        pytest.param(503, openai_error("server_is_overloaded"), Outcome.UNAVAILABLE, id="OpenAI 503"),
    ],
)
def test_what_servers_say_in_their_own_ways(status: int, body: Any, outcome: Outcome) -> None:
    assert outcome_of_error(status, json.dumps(body).encode()) is outcome


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (anthropic_error("overloaded_error"), Outcome.BUSY),
        (anthropic_error("rate_limit_error"), Outcome.RATE_LIMITED),
        (anthropic_error("timeout_error"), Outcome.PROVIDER_TIMED_OUT),
        (anthropic_error("not_found_error", "model: claude-x"), Outcome.MODEL_UNAVAILABLE),
        (openai_error("insufficient_quota"), Outcome.QUOTA_EXHAUSTED),
        (openai_error("invalid_api_key"), Outcome.KEY_REJECTED),
        ({"error": {"code": 502, "message": "Provider returned error"}}, Outcome.FAILED),
        ({"error": {"code": 429, "message": "x"}}, Outcome.RATE_LIMITED),
        ({"error": {"code": "1300", "type": "rate_limited"}}, Outcome.RATE_LIMITED),
        (google_error("INVALID_ARGUMENT"), Outcome.CLIENT_FAULT),
        ({"error": {"code": "context_length_exceeded", "message": "x"}}, Outcome.CLIENT_FAULT),
        ({"type": "error", "code": "invalid_prompt", "message": "x", "param": None}, Outcome.CLIENT_FAULT),
        ({"error": {"status": "UNAVAILABLE", "message": "x"}}, Outcome.UNAVAILABLE),
        ({"error": {"message": "oops"}}, Outcome.ERRED),
        (None, Outcome.ERRED),
    ],
    ids=str,
)
def test_an_error_without_a_status_is_judged_by_what_it_says(body: Any, outcome: Outcome) -> None:
    assert outcome_of_error_object(json.dumps(body).encode()) is outcome


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ClientGone("No."), Outcome.INTERRUPTED),
        (UpstreamError("No."), Outcome.INTERRUPTED),
        (ConnectTimeout("No."), Outcome.CONNECT_TIMED_OUT),
        (UpstreamUnreachable("No."), Outcome.UNREACHABLE),
    ],
)
def test_a_failure_names_its_outcome(error: GatewayError, outcome: Outcome) -> None:
    assert outcome_of_failure(error) is outcome
