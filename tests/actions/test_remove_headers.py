from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import request
from tests.gateways import Host, actions, gateway

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["x-a"], {b"x-b"}),
        (["X-A", "x-B"], set()),
        (["x-z"], {b"x-a", b"x-b"}),
        (["host"], {b"x-a", b"x-b"}),
    ],
)
async def test_the_app_does_not_get_them(names: list[str], left: set[bytes]) -> None:
    host = Host()
    app = GatewayMiddleware(host, gateway=gateway(actions(("remove-headers", {"headers": names}))))
    await request(app, path="/v1/models", headers=[("x-a", "1"), ("X-A", "2"), ("x-b", "3")])
    assert {name for name, _ in host.scope["headers"] if name != b"host"} == left
    assert bool(host.field(b"host")) is ("host" not in names)


GOOD: list[dict[str, Any]] = [
    {"headers": ["x-a"]},
    {"headers": ["X-A", "x-b"]},
    {"headers": ["host"]},
    {"headers": ["user-agent", "x-forwarded-for"]},
    {"headers": [f"x-{n}" for n in range(10)]},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `remove-headers` needs `headers`"),
    ({"headers": []}, "[]", "`headers` must have 1 or more entries"),
    ({"headers": "x-a"}, '"x-a"', "`headers` must be a list, not the text `x-a`"),
    ({"headers": {"x-a": ""}}, "{", "`headers` must be a list, not a mapping"),
    ({"headers": ["a b"]}, '"a b"', "`a b` is not a header field name"),
    ({"headers": [""]}, '""', "`` is not a header field name"),
    ({"headers": [1]}, "1", "`headers[0]` must be text, not 1"),
    ({"headers": ["x-a"] * 11}, "[", "`headers` must have 10 or fewer entries"),
    ({"headers": ["${req.method}"]}, '"${req.method}"', "`${req.method}` is not a header field name"),
    ({"headers": None}, "null", "`headers` must be a list, not nothing"),
    ({"headers": ["x-a", "x:b"]}, '"x:b"', "`x:b` is not a header field name"),
    ({"headers": ["x-a\n"]}, '"x-a\\n"', "`x-a\n` is not a header field name"),
    ({"headers": ["é"]}, '"é"', "`é` is not a header field name"),
    ({"headers": [["x-a"]]}, "[", "`headers[0]` must be text, not a list"),
    ({"headers": [None]}, "null", "`headers[0]` must be text, not nothing"),
    ({"header": ["x-a"]}, '"header"', "unknown field `header`; did you mean `headers`?"),
    ({"headers": ["x-a"], "on_error": "continue"}, '"on_error"', "unknown field `on_error`; known are `headers`"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("remove-headers", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("remove-headers", config, at, says)


async def test_removing_and_adding_replaces() -> None:
    host = Host()
    policy = actions(("remove-headers", {"headers": ["x-a"]}), ("add-headers", {"headers": {"x-a": "ours"}}))
    await request(GatewayMiddleware(host, gateway=gateway(policy)), path="/v1/models", headers={"x-a": "theirs"})
    assert host.field(b"x-a") == [b"ours"]


async def test_the_result_says_which_were_there() -> None:
    policy = actions(
        ("remove-headers", {"headers": ["X-A", "x-z"]}),
        ("custom-response", {"body": "${actions.ngrok.remove_headers.headers_removed}"}),
    )
    assert (await request(gateway(policy).app, path="/v1/models", headers={"x-a": "1"})).json() == ["x-a"]


async def test_on_a_response_the_client_does_not_get_them() -> None:
    host = Host(headers=[(b"Server", b"host"), (b"x-a", b"1"), (b"x-request-id", b"theirs")])
    policy = actions(("remove-headers", {"headers": ["server", "x-request-id"]}), phase="on_http_response")
    response = await request(GatewayMiddleware(host, gateway=gateway(policy)), path="/v1/models")
    assert "server" not in response.headers
    assert response.headers["x-a"] == "1"
    assert response.headers["x-request-id"].startswith("req_")
