from __future__ import annotations

import json
from typing import Any

import pytest

from ai_gateway_mw.errors import (
    AddressDenied,
    BadBody,
    BodyTooLarge,
    Denied,
    GatewayError,
    ModelNotFound,
    Overloaded,
    PolicyDenied,
    RouteNotFound,
    Unauthenticated,
    UpstreamInterrupted,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from ai_gateway_mw.replies import Reply, error_body, error_event, error_reply, json_reply
from ai_gateway_mw.surfaces import Format
from tests.asgi import Exchange, request

pytestmark = pytest.mark.anyio

FORMATS: list[Format] = ["openai", "anthropic", "gemini"]


async def test_a_reply_has_its_length() -> None:
    response = await request(Reply(200, ((b"x-a", b"1"),), b"abc"))
    assert (response.status, response.body) == (200, b"abc")
    assert dict(response.headers) == {"x-a": "1", "content-length": "3"}


async def test_a_reply_to_head_has_the_length_and_no_body() -> None:
    response = await request(Reply(200, (), b"abc"), "HEAD")
    assert (response.body, response.headers["content-length"]) == (b"", "3")


@pytest.mark.parametrize("status", [204, 304])
async def test_where_there_can_be_no_content_there_is_no_length(status: int) -> None:
    response = await request(Reply(status))
    assert (response.status, dict(response.headers), response.body) == (status, {}, b"")


async def test_a_json_reply_is_compact_utf_8() -> None:
    response = await request(json_reply(201, {"a": ["é"]}, ((b"x-a", b"1"),)))
    assert response.body == '{"a":["é"]}'.encode()
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-a"] == "1"


async def test_half_a_surrogate_pair_does_not_fail_an_answer() -> None:
    response = await request(json_reply(400, {"message": "no model \ud800"}))
    assert response.json() == {"message": "no model ?"}


@pytest.mark.parametrize(
    ("error", "openai", "anthropic", "gemini"),
    [
        (BadBody("x"), "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
        (Unauthenticated(), "authentication_error", "authentication_error", "UNAUTHENTICATED"),
        (PolicyDenied("x"), "permission_error", "permission_error", "PERMISSION_DENIED"),
        (AddressDenied("::1"), "permission_error", "permission_error", "PERMISSION_DENIED"),
        (RouteNotFound("x"), "invalid_request_error", "not_found_error", "NOT_FOUND"),
        (BodyTooLarge("x"), "invalid_request_error", "request_too_large", "FAILED_PRECONDITION"),
        (UpstreamRateLimited("x"), "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (Overloaded("x"), "server_error", "overloaded_error", "UNAVAILABLE"),
        (UpstreamTimeout("x"), "timeout_error", "timeout_error", "DEADLINE_EXCEEDED"),
        (GatewayError("x"), "server_error", "api_error", "INTERNAL"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, GatewayError) else None,
)
async def test_an_error_is_told_in_the_callers_format(
    error: GatewayError, openai: str, anthropic: str, gemini: str
) -> None:
    bodies = {name: (await request(error_reply(error, name, "req_1"))).json() for name in FORMATS}
    said = error.message
    assert bodies["openai"] == {"error": {"message": said, "type": openai, "param": None, "code": error.code}}
    assert bodies["anthropic"] == {
        "type": "error", "error": {"type": anthropic, "message": said}, "request_id": "req_1"
    }  # fmt: skip
    assert bodies["gemini"] == {"error": {"code": error.status, "message": said, "status": gemini}}


async def test_what_cannot_get_better_says_so_and_names_its_code() -> None:
    response = await request(error_reply(ModelNotFound("No x.", param="model"), "openai", ""))
    assert response.headers["x-should-retry"] == "false"
    assert response.headers["x-gateway-error"] == "model_not_found"
    assert response.json()["error"]["param"] == "model"
    assert response.json()["error"]["message"].startswith("ERR_NGROK_3804: ")


async def test_what_can_get_better_is_left_to_the_clients_own_judgement() -> None:
    response = await request(error_reply(UpstreamRateLimited("x", fields=[("retry-after", "7")]), "openai", ""))
    assert "x-should-retry" not in response.headers
    assert response.headers["retry-after"] == "7"


async def test_the_reason_of_a_denial_is_not_told() -> None:
    response = await request(error_reply(PolicyDenied("rule 3 looked at x-secret"), "openai", ""))
    assert "x-secret" not in response.text


@pytest.mark.parametrize("status", [200, 403, 204, 599])
async def test_deny_is_a_bare_status(status: int) -> None:
    async with Exchange(error_reply(Denied(status), "openai", "")) as ex:
        start = await ex.start()
        assert (start.status, await ex.rest()) == (status, b"")
        assert "content-type" not in start.headers


def data_of(event: bytes) -> Any:
    return json.loads(event.rpartition(b"data: ")[2])


@pytest.mark.parametrize("api_format", FORMATS)
def test_a_stream_that_breaks_off_ends_with_an_error_event(api_format: Format) -> None:
    error = UpstreamInterrupted("cut")
    event = error_event(error, api_format, None)
    assert event.endswith(b"\n\n")
    assert event.startswith(b"event: error\n") == (api_format == "anthropic")
    assert data_of(event) == error_body(error, api_format)


def test_the_responses_surface_has_an_event_of_its_own() -> None:
    """As its reference says, with the `error` object beside it that providers send and SDKs look for."""
    error = UpstreamInterrupted("cut")
    event = error_event(error, "openai", "responses", 7)
    assert event.startswith(b"event: error\n")
    said = {"code": "upstream_interrupted", "message": "cut", "param": None}
    assert data_of(event) == {"type": "error", **said, "sequence_number": 7, **error_body(error, "openai")}
