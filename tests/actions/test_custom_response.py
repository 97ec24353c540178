from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Exchange, Response, request
from tests.gateways import Host, actions, gateway

pytestmark = pytest.mark.anyio


async def ask(config: dict[str, Any], method: str = "GET", path: str = "/v1/models", **exchange: Any) -> Response:
    app = gateway(actions(("custom-response", config)), vaults={"v": {"n": "sk-very-secret"}}).app
    return await request(app, method, path, **exchange)


@pytest.mark.parametrize(
    ("config", "status", "body", "content_type"),
    [
        ({}, 200, "", None),
        ({"status_code": 404}, 404, "", None),
        ({"body": "hello"}, 200, "hello", "text/plain; charset=utf-8"),
        ({"content": "hello"}, 200, "hello", "text/plain; charset=utf-8"),
        ({"body": '{"a": 1}'}, 200, '{"a": 1}', "application/json"),
        ({"body": " [1]"}, 200, " [1]", "application/json"),
        ({"body": "{not json"}, 200, "{not json", "text/plain; charset=utf-8"),
        ({"body": "[" * 5000}, 200, "[" * 5000, "text/plain; charset=utf-8"),
        ({"body": "<!DOCTYPE html><p>"}, 200, "<!DOCTYPE html><p>", "text/html; charset=utf-8"),
        ({"body": "\n<html>"}, 200, "\n<html>", "text/html; charset=utf-8"),
        ({"body": "<p>"}, 200, "<p>", "text/plain; charset=utf-8"),
        ({"body": "{}", "headers": {"Content-Type": "text/x"}}, 200, "{}", "text/x"),
        ({"body": True}, 200, "true", "text/plain; charset=utf-8"),
        ({"body": 1.5}, 200, "1.5", "text/plain; charset=utf-8"),
        ({"body": "${req.method} $<req.url.path>"}, 200, "GET /v1/models", "text/plain; charset=utf-8"),
        ({"body": "${req.headers}", "status_code": 599}, 599, '{"host":["gateway.test"]}', "application/json"),
        ({"body": "$${x} $$<y>"}, 200, "${x} $<y>", "text/plain; charset=utf-8"),
        ({"body": "${null}"}, 200, "", None),
        ({"body": "é €"}, 200, "é €", "text/plain; charset=utf-8"),
    ],
)
async def test_what_is_answered(config: dict[str, Any], status: int, body: str, content_type: str | None) -> None:
    response = await ask(config)
    assert (response.status, response.text, response.headers.get("content-type")) == (status, body, content_type)
    assert response.headers["content-length"] == str(len(body.encode()))
    assert response.headers["x-request-id"].startswith("req_")


GOOD: list[dict[str, Any]] = [
    {},
    {"status_code": 200, "body": "${req.method}"},
    {"status_code": 599, "content": "hello"},
    {"status_code": 204},
    {"body": True, "headers": {"X-A": 1}},
    {"headers": {f"x-{n}": "" for n in range(10)}},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"status_code": 199}, "199", "`status_code` must be at least 200, not 199"),
    ({"status_code": 600}, "600", "`status_code` must be at most 599, not 600"),
    ({"status_code": "200"}, '"200"', "`status_code` must be a whole number, not the text `200`"),
    ({"status_code": 204, "body": "x"}, "{", "a 204 answer has no body"),
    ({"status_code": 304, "body": "${req.method}"}, "{", "a 304 answer has no body"),
    ({"status": 200}, '"status"', "unknown field `status`; did you mean `status_code`?"),
    ({"body": ["a"]}, "[", "`body` must be text, not a list"),
    ({"body": {"a": 1}}, "{", "`body` must be text, not a mapping"),
    (
        {"body": "a", "content": "b"},
        '"content"',
        "unknown field `content`; known are `status_code`, `body`, `headers` and `enforce`",
    ),
    ({"body": "${"}, "${", "`${` is never closed with `}`"),
    ({"body": "${}"}, "${}", "there is no expression in these brackets"),
    ({"body": "${nope}"}, "nope}", "unknown name `nope`"),
    ({"headers": ["a"]}, "[", "`headers` must be a mapping, not a list"),
    ({"headers": {"a b": "c"}}, '"a b"', "`a b` is not a header field name"),
    ({"headers": {"": "c"}}, '""', "a key may not be empty"),
    (
        {"headers": {"transfer-encoding": "chunked"}},
        '"transfer-encoding"',
        "`transfer-encoding` belongs to the connection and cannot be set",
    ),
    (
        {"headers": {"content-length": "5"}},
        '"content-length"',
        "`content-length` belongs to the connection and cannot be set",
    ),
    ({"headers": {"connection": "close"}}, '"connection"', "`connection` belongs to the connection and cannot be set"),
    ({"headers": {f"x-{n}": "" for n in range(11)}}, "{", "`headers` must have 10 or fewer entries"),
    ({"headers": {"x": None}}, "null", "`headers.x` must be text, not nothing"),
    ({"status_code": 200.5}, "200.5", "`status_code` must be a whole number, not 200.5"),
    (
        {"body": "${secrets.get('v', 'n')}"},
        "${secrets.get('v'",
        "a secret must not be used here: this text is shown to clients or",
    ),
    (
        {"headers": {"x": "${secrets.get('v', 'n')}"}},
        "${secrets.get('v'",
        "a secret must not be used here: this text is shown to clients or",
    ),
    ({"headers": {"x": "€"}}, "€", "a header field value must be Latin-1 text"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("custom-response", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("custom-response", config, at, says)


async def test_fields_are_templates_too() -> None:
    response = await ask({"status_code": 302, "headers": {"Location": "https://x.test${req.url.path}", "x-a": "b"}})
    assert (response.status, response.headers["location"], response.headers["x-a"]) == (
        302, "https://x.test/v1/models", "b",
    )  # fmt: skip


@pytest.mark.parametrize("query", ["%0d%0ax-evil:1", "%0a", "%00", "%01", "%7f", "%0b", "%e2%82%ac"])
async def test_a_field_cannot_be_broken_by_what_a_client_sends(query: str) -> None:
    """A server would raise on these in the middle of the answer, or worse, send them."""
    config = {"headers": {"x-q": "${req.url.query_params['q'][0]}"}}
    assert (await ask(config, path=f"/v1/models?q={query}")).status == 403


async def test_head_gets_the_head() -> None:
    response = await ask({"body": "hello"}, "HEAD")
    assert (response.body, response.headers["content-length"]) == (b"", "5")


async def test_204_has_neither_body_nor_length() -> None:
    response = await ask({"status_code": 204})
    assert (response.status, response.body, "content-length" in response.headers) == (204, b"", False)


async def test_a_secret_that_came_by_way_of_a_variable_is_redacted() -> None:
    policy = actions(
        ("set-vars", {"vars": [{"key": "${secrets.get('v', 'n')}"}]}),
        ("custom-response", {"body": "key=${vars.key}", "headers": {"x-key": "Bearer ${vars.key}"}}),
    )
    response = await request(gateway(policy, vaults={"v": {"n": "sk-very-secret"}}).app, path="/v1/models")
    assert (response.text, response.headers["x-key"]) == ("key=[redacted]", "Bearer [redacted]")


async def test_in_the_request_phase_the_answer_still_meets_the_response_rules() -> None:
    policy = actions(("custom-response", {"body": "hello", "headers": {"x-a": "1"}})) | actions(
        ("add-headers", {"headers": {"x-b": "${res.status_code} ${res.headers['x-a'][0]}"}}), phase="on_http_response"
    )
    response = await request(gateway(policy).app, path="/v1/models")
    assert (response.headers["x-b"], response.text) == ("200 1", "hello")


async def test_in_the_response_phase_it_replaces_what_the_app_answered() -> None:
    host = Host(500, body=b"a traceback", headers=[(b"x-powered-by", b"host"), (b"content-length", b"11")])
    policy = actions(
        ("custom-response", {"status_code": 503, "body": "was ${res.status_code}"}),
        expressions=["res.status_code >= 500"],
        phase="on_http_response",
    )
    app = GatewayMiddleware(host, gateway=gateway(policy))
    async with Exchange(app, path="/v1/models") as ex:
        start = await ex.start()
        assert (start.status, await ex.rest()) == (503, b"was 500")
        assert "x-powered-by" not in start.headers
