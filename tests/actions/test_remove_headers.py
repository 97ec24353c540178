from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.asgi import request
from tests.gateways import Host, actions, gateway, problems_of

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


@pytest.mark.parametrize(
    "config",
    [{}, {"headers": []}, {"headers": "x-a"}, {"headers": {"x-a": ""}}, {"headers": ["a b"]}, {"headers": [""]}]
    + [{"headers": [1]}, {"headers": ["x-a"] * 11}, {"headers": ["${req.method}"]}],
    ids=str,
)
def test_configs_that_are_refused(config: dict[str, Any]) -> None:
    assert problems_of(actions(("remove-headers", config)))


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
