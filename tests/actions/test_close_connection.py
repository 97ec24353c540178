from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import request
from tests.cli.protocol.talking import Client, served
from tests.gateways import Host, actions, gateway, problems_of, request_log

SAID = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
CLOSES = actions("close-connection", expressions=["req.url.path != '/v1/models'"]) | {
    "on_http_response": [{"type": "add-headers", "config": {"headers": {"x-a": "1"}}}]
}


@pytest.mark.anyio
@pytest.mark.parametrize("phase", ["on_tcp_connect", "on_http_request"])
async def test_elsewhere_the_answer_is_bare_and_ends_the_connection(
    phase: str, caplog: pytest.LogCaptureFixture
) -> None:
    logged = request_log(caplog)
    host = Host()
    policy = actions("close-connection", phase=phase) | {
        "on_http_response": [{"type": "add-headers", "config": {"headers": {"x-a": "1"}}}]
    }
    answer = await request(GatewayMiddleware(host, gateway=gateway(policy)), path="/v1/models")
    assert (answer.status, answer.body, answer.headers["connection"]) == (403, b"", "close")
    assert "x-a" not in answer.headers
    assert host.scopes == []
    assert [record["status"] for record in logged()] == [403]


@pytest.mark.anyio
async def test_http_2_has_no_field_for_that() -> None:
    app = gateway(actions("close-connection")).app
    answer = await request(app, path="/v1/models", http_version="2")
    assert (answer.status, "connection" in answer.headers) == (403, False)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(gateway(CLOSES).app) as url:
        yield url


def test_our_server_says_nothing(url: str) -> None:
    with Client(url) as client:
        assert client.say(SAID).rest() == b""


def test_what_was_asked_before_is_answered(url: str) -> None:
    with Client(url) as client:
        said = client.say(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n" + SAID + SAID).rest()
        assert said.count(b"HTTP/1.1 ") == 1


def test_the_log_says_that_there_was_no_answer(url: str, caplog: pytest.LogCaptureFixture) -> None:
    logged = request_log(caplog)
    with Client(url) as client:
        client.say(SAID).rest()
    assert [record["status"] for record in logged()] == [444]


def test_a_body_that_is_still_coming_does_not_matter(url: str) -> None:
    with Client(url) as client:
        head = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"
        assert client.say(head + b"x" * 10).rest() == b""


GOOD: list[dict[str, Any]] = [
    {},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"status_code": 403}, '"status_code"', "unknown field `status_code`"),
    ({"body": "closed"}, '"body"', "unknown field `body`"),
    ({"headers": {"connection": "close"}}, '"headers"', "unknown field `headers`"),
    ({"reason": "blocked"}, '"reason"', "unknown field `reason`"),
    ({"message": "blocked"}, '"message"', "unknown field `message`"),
    ({"error_code": 1006}, '"error_code"', "unknown field `error_code`"),
    ({"delay": "5s"}, '"delay"', "unknown field `delay`"),
    ({"timeout": "5s"}, '"timeout"', "unknown field `timeout`"),
    ({"enforce": "no"}, '"no"', "`enforce` must be true or false, not the text `no`"),
    ({"on_error": "continue"}, '"on_error"', "unknown field `on_error`"),
    ({"expressions": ["true"]}, '"expressions"', "unknown field `expressions`"),
    ({"metadata": {}}, '"metadata"', "unknown field `metadata`"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("close-connection", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("close-connection", config, at, says)


def test_nothing_comes_after_it() -> None:
    assert "never reached" in problems_of(actions("close-connection", "log"))[0].message
