from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import CHAT, CHAT_PATH, Host, Provider, actions, gateway

pytestmark = pytest.mark.anyio

VAULTS = {"v": {"n": "sk-very-secret"}}


async def to_host(headers: dict[str, Any], path: str = "/v1/models", fields: Any = ()) -> tuple[Response, Host]:
    host = Host()
    app = GatewayMiddleware(host, gateway=gateway(actions(("add-headers", {"headers": headers})), vaults=VAULTS))
    return await request(app, path=path, headers=fields), host


async def from_host(headers: dict[str, Any], path: str = "/v1/models", host: Host | None = None) -> Response:
    policy = actions(("add-headers", {"headers": headers}), phase="on_http_response")
    return await request(GatewayMiddleware(host or Host(), gateway=gateway(policy)), path=path)


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("x-a", "1", b"1"),
        ("X-Tenant", "1", b"1"),
        ("x-a", "", b""),
        ("x-a", True, b"true"),
        ("x-a", 12, b"12"),
        ("x-a", " padded ", b"padded"),
        ("x-a", "é", b"\xe9"),
        ("x-a", "${req.method}", b"GET"),
        ("x-a", "m=$<req.method>;", b"m=GET;"),
        ("x-a", "${req.headers['accept']}", b'["a","b"]'),
        ("x-a", "${{'k': 1}}", b'{"k":1}'),
        ("x-a", "${null}", b""),
        ("x-a", "$${x}", b"${x}"),
        ("authorization", "Bearer ${secrets.get('v', 'n')}", b"Bearer sk-very-secret"),
        ("host", "other.test", b"other.test"),
        ("user-agent", "us", b"us"),
    ],
)
async def test_what_the_app_gets(name: str, value: Any, sent: bytes) -> None:
    _, host = await to_host({name: value}, fields=[("accept", "a"), ("accept", "b")])
    assert host.field(name.lower().encode()) == [sent]


GOOD: list[dict[str, Any]] = [
    {"headers": {"x-a": "1"}},
    {"headers": {"x-a": "", "x-b": True, "x-c": 1.5}},
    {"headers": {"X-Tenant": "${req.method} $<req.host>"}},
    {"headers": {"host": "other.test"}},
    {"headers": {"user-agent": "us"}},
    {"headers": {"authorization": "Bearer ${secrets.get('v', 'n')}"}},
    {"headers": {f"x-{n}": "1" for n in range(10)}},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `add-headers` needs `headers`"),
    ({"headers": {}}, "{}", "`headers` must have 1 or more entries"),
    ({"headers": []}, "[]", "`headers` must be a mapping, not an empty list"),
    ({"headers": {"a b": "1"}}, '"a b"', "`a b` is not a header field name"),
    ({"headers": {"a:": "1"}}, '"a:"', "`a:` is not a header field name"),
    ({"headers": {"ä": "1"}}, '"ä"', "`ä` is not a header field name"),
    ({"headers": {"x\n": "1"}}, '"x\\n"', "`x\n` is not a header field name"),
    (
        {"headers": {"content-length": "1"}},
        '"content-length"',
        "`content-length` belongs to the connection and cannot be set",
    ),
    (
        {"headers": {"Transfer-Encoding": "chunked"}},
        '"Transfer-Encoding"',
        "`Transfer-Encoding` belongs to the connection and cannot be set",
    ),
    ({"headers": {"connection": "x-a"}}, '"connection"', "`connection` belongs to the connection and cannot be set"),
    ({"headers": {"te": "trailers"}}, '"te"', "`te` belongs to the connection and cannot be set"),
    ({"headers": {"upgrade": "h2c"}}, '"upgrade"', "`upgrade` belongs to the connection and cannot be set"),
    ({"headers": {"x-a": ["1"]}}, "[", "`headers.x-a` must be text, not a list"),
    ({"headers": {"x-a": None}}, "null", "`headers.x-a` must be text, not nothing"),
    ({"headers": {"x-a": "${nope}"}}, "nope}", "unknown name `nope`"),
    ({"headers": {f"x-{n}": "1" for n in range(11)}}, "{", "`headers` must have 10 or fewer entries"),
    ({"header": {"x-a": "1"}}, '"header"', "unknown field `header`; did you mean `headers`?"),
    ({"headers": {"x-a": {"b": "1"}}}, "{", "`headers.x-a` must be text, not a mapping"),
    ({"headers": {"x-a": "${"}}, "${", "`${` is never closed with `}`"),
    ({"headers": {"x-a": "${1 + 'a'}"}}, "+", "int and string cannot be added with `+`"),
    (
        {"headers": {"x-a": "${res.status_code}"}},
        "res.status_code}",
        "unknown name `res.status_code` (`res.*` is known in",
    ),
    ({"headers": {"x-a": "1"}, "enforce": True}, '"enforce"', "unknown field `enforce`; known are `headers`"),
    ({"headers": "x-a: 1"}, '"x-a: 1"', "`headers` must be a mapping, not the text `x-a: 1`"),
    ({"headers": {"x-a": "a\nb"}}, "a\\nb", "a header field value must not hold line breaks or other control"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("add-headers", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("add-headers", config, at, says)


async def test_a_field_that_is_there_stays() -> None:
    _, host = await to_host({"x-a": "2"}, fields={"x-a": "1"})
    assert host.field(b"x-a") == [b"1", b"2"]


async def test_later_rules_see_what_was_added() -> None:
    policy = actions(
        ("add-headers", {"headers": {"X-A": "1"}}), ("custom-response", {"body": "${req.headers['x-a'][0]}"})
    )
    assert (await request(gateway(policy).app, path="/v1/models")).text == "1"


async def test_what_was_added_can_be_read_as_a_result() -> None:
    policy = actions(
        ("add-headers", {"headers": {"X-A": "${req.method}"}}),
        ("custom-response", {"body": "${actions.ngrok.add_headers.headers_added}"}),
    )
    assert (await request(gateway(policy).app, path="/v1/models")).json() == {"x-a": "GET"}


async def test_on_a_response_they_reach_the_client() -> None:
    response = await from_host({"x-status": "${res.status_code}", "x-a": "2"}, host=Host(201, headers=[(b"x-a", b"1")]))
    assert (response.headers["x-status"], response.headers.getlist("x-a")) == ("201", ["1", "2"])


@pytest.mark.parametrize("query", ["%0d%0ax-evil:%201", "%0a", "%00", "%1b", "%7f", "%0c", "%e2%82%ac"])
async def test_what_would_break_the_head_refuses(query: str) -> None:
    path = f"/v1/models?q={query}"
    headers = {"x-q": "${req.url.query_params['q'][0]}"}
    response, host = await to_host(headers, path)
    assert (response.status, host.scopes) == (403, [])
    assert (await from_host(headers, path)).status == 403


async def test_a_secret_that_came_by_way_of_a_variable_is_redacted_on_the_way_out() -> None:
    policy = actions(("set-vars", {"vars": [{"key": "${secrets.get('v', 'n')}"}]}), ("custom-response", {})) | actions(
        ("add-headers", {"headers": {"x-key": "Bearer ${vars.key}"}}), phase="on_http_response"
    )
    response = await request(gateway(policy, vaults=VAULTS).app, path="/v1/models")
    assert response.headers["x-key"] == "Bearer [redacted]"


async def test_what_is_added_goes_upstream_beside_what_is_forwarded() -> None:
    provider = Provider()
    policy = actions(("add-headers", {"headers": {"x-tenant": "blue", "x-own": "ours"}}), "ai-gateway")
    fields = [("authorization", "Bearer sk-client"), ("x-own", "theirs"), ("connection", "x-tenant"), ("cookie", "a=1")]
    response = await request(gateway(policy, provider=provider).app, "POST", CHAT_PATH, headers=fields, json=CHAT)
    assert response.status == 200
    assert provider.request.headers.get_list("x-tenant") == ["blue"]
    assert provider.request.headers.get_list("x-own") == ["ours"]
    assert "cookie" not in provider.request.headers
