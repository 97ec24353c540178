from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import (
    AuthMiddleware,
    GatewayMiddleware,
    IPAllowlistMiddleware,
    KeySelectionMiddleware,
    PassthroughMiddleware,
)
from tests.asgi import WebSocket
from tests.gateways import KEY, OTHER_KEY, Host, actions, bearer, gateway, request_log

pytestmark = pytest.mark.anyio

PASSES = actions(("set-vars", {"vars": []}))
AI_PATHS = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/models",
    "/messages",
    "/v1beta/models/g:streamGenerateContent",
]
UNCLEAR = ["/v1//responses", "/v1/responses/", "/x/../v1/responses"]


async def opened(app: Any, path: str, **scope: Any) -> bool:
    """Whether the handshake was accepted; if not, it was closed properly."""
    async with WebSocket(app, path, **scope) as socket:
        message = await socket.message()
        if message["type"] == "websocket.accept":
            return True
        assert (message["type"], message["code"]) == ("websocket.close", 1008)
        return False


@pytest.mark.parametrize("path", AI_PATHS + UNCLEAR)
@pytest.mark.parametrize("intercept", ["ai-paths", "all"])
async def test_on_an_ai_path_there_is_none(path: str, intercept: Any) -> None:
    host = Host()
    assert not await opened(GatewayMiddleware(host, gateway=gateway(PASSES), intercept=intercept), path)
    assert host.scopes == []


async def test_elsewhere_the_app_has_its_own() -> None:
    host = Host()
    app = GatewayMiddleware(host, gateway=gateway(actions("deny")))
    async with WebSocket(app, "/ws") as socket:
        assert (await socket.message())["type"] == "websocket.accept"
    assert host.scopes == [socket.scope]


async def test_with_every_path_under_the_policy_there_is_none_at_all() -> None:
    host = Host()
    assert not await opened(GatewayMiddleware(host, gateway=gateway(PASSES), intercept="all"), "/ws")
    assert host.scopes == []


async def test_a_stand_alone_gateway_has_none() -> None:
    assert not await opened(gateway(PASSES).app, "/ws")


async def test_where_the_server_can_the_refusal_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    log = request_log(caplog)
    async with WebSocket(gateway(PASSES).app, "/v1/responses", extensions={"websocket.http.response": {}}) as socket:
        start = await socket.message()
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
        assert dict(start["headers"])[b"x-request-id"].startswith(b"req_")
        assert await socket.message() == {"type": "websocket.http.response.body", "body": b""}
    assert [(record["path"], record["status"]) for record in log()] == [("/v1/responses", 403)]


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({}, False),
        (bearer(OTHER_KEY), False),
        (bearer(KEY), True),
        ([*bearer(KEY).items(), ("x-api-key", OTHER_KEY)], False),
    ],
)
async def test_a_layer_checks_them_like_any_request(headers: Any, accepted: bool) -> None:
    host = Host()
    assert await opened(AuthMiddleware(host, keys=[KEY]), "/ws", headers=headers) is accepted
    assert len(host.scopes) == accepted
    assert KEY not in repr(host.scopes)  # the app does not get the key


@pytest.mark.parametrize(("client", "accepted"), [("10.0.0.1", True), ("192.0.2.1", False), ("junk", False)])
async def test_a_layer_checks_their_address(client: str, accepted: bool) -> None:
    app = IPAllowlistMiddleware(Host(), allow=["10.0.0.0/8"])
    assert await opened(app, "/ws", client=(client, 1)) is accepted


@pytest.mark.parametrize("path", AI_PATHS + UNCLEAR)
@pytest.mark.parametrize(
    "layer",
    [lambda app: AuthMiddleware(app, keys=[KEY]), KeySelectionMiddleware, PassthroughMiddleware],
    ids=["auth", "key selection", "passthrough"],
)
async def test_no_layer_lets_one_through_on_an_ai_path(layer: Any, path: str) -> None:
    host = Host()
    assert not await opened(layer(host), path, headers=bearer(KEY))
    assert host.scopes == []


async def test_two_hosts_are_refused_here_too() -> None:
    app = IPAllowlistMiddleware(Host(), allow=["0.0.0.0/0"])
    assert not await opened(app, "/ws", headers=[("host", "a"), ("host", "b")])
