from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from ai_gateway_mw import AuthMiddleware, Gateway, GatewayMiddleware
from tests.asgi import Lifespan, request
from tests.gateways import KEY, Host, actions, gateway

pytestmark = pytest.mark.anyio

LAZY = "opened by its first request"


@pytest.fixture
def gate() -> Gateway:
    return gateway(actions(("custom-response", {"body": "gateway"})))


async def served(app: Any, path: str = "/v1/models") -> bool:
    return (await request(app, path=path)).text == "gateway"


async def test_explicitly(gate: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI(lifespan=gate.lifespan)
    app.mount("/ai", gate.app)
    assert not gate.is_open
    async with Lifespan(app):
        assert gate.is_open
        assert await served(app, "/ai/v1/models")
    assert not gate.is_open
    assert LAZY not in caplog.text


async def test_around_the_lifespan_that_the_app_has(gate: Gateway) -> None:
    seen = []

    @asynccontextmanager
    async def own(app: Any) -> AsyncIterator[dict[str, int]]:
        seen.append(gate.is_open)
        yield {"answer": 42}
        seen.append(gate.is_open)

    async with Lifespan(Starlette(lifespan=gate.lifespan_with(own))) as life:
        assert life.state == {"answer": 42}
        assert gate.is_open
    assert seen == [True, True]
    assert not gate.is_open


async def test_the_middleware_catches_it(gate: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    app = Starlette()
    app.add_middleware(GatewayMiddleware, gateway=gate)  # type: ignore[arg-type]
    async with Lifespan(app):
        assert gate.is_open
        assert await served(app)
    assert not gate.is_open
    assert LAZY not in caplog.text


async def test_the_middleware_opens_it_for_an_app_that_knows_no_lifespan(
    gate: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Django's app raises when it is asked."""
    app = GatewayMiddleware(Host(), gateway=gate)
    async with Lifespan(app):
        assert gate.is_open
        assert await served(app)
    assert not gate.is_open
    assert LAZY not in caplog.text


async def test_mounted_without_any_it_opens_with_the_first_request_and_says_so_once(
    gate: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    app = Starlette()
    app.mount("/ai", gate.app)
    async with Lifespan(app):
        assert not gate.is_open
        assert await served(app, "/ai/v1/models")
        assert await served(app, "/ai/v1/models")
    assert gate.is_open
    assert caplog.text.count(LAZY) == 1


async def test_one_that_opened_with_a_request_closes_with_the_first_lifespan_that_ends(gate: Gateway) -> None:
    assert await served(gate.app)
    async with Lifespan(gate.app):
        assert gate.is_open
    assert not gate.is_open


async def test_the_health_of_a_gateway_that_is_not_open_opens_nothing(gate: Gateway) -> None:
    await request(gate.app, path="/healthz")
    assert not gate.is_open


async def test_stand_alone(gate: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    async with Lifespan(gate.app):
        assert gate.is_open
        assert await served(gate.app)
    assert not gate.is_open
    assert LAZY not in caplog.text


async def test_all_ways_together_do_no_harm(gate: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI(lifespan=gate.lifespan)
    app.add_middleware(GatewayMiddleware, gateway=gate)  # type: ignore[arg-type]
    app.mount("/ai", gate.app)
    async with Lifespan(app):
        assert await served(app)
        assert await served(app, "/ai/v1/models")
    assert not gate.is_open
    assert LAZY not in caplog.text


async def test_the_first_of_two_apps_that_stops_does_not_close_it_for_the_other(gate: Gateway) -> None:
    first, second = Lifespan(GatewayMiddleware(Starlette(), gateway=gate)), Lifespan(Starlette(lifespan=gate.lifespan))
    async with second:
        async with first:
            assert gate.is_open
        assert gate.is_open
    assert not gate.is_open


async def test_it_can_be_opened_again(gate: Gateway) -> None:
    for _ in range(2):
        async with Lifespan(gate.app):
            assert await served(gate.app)
        assert not gate.is_open


async def test_a_transport_that_it_made_is_closed_and_made_anew() -> None:
    gate = Gateway.from_policy(actions("deny"))
    async with Lifespan(gate.app):
        own = gate.stores.transport()
        assert gate.stores.transport() is own
    assert gate.stores.transport() is not own
    await gate.stores.aclose()


async def test_a_startup_that_fails_fails_and_leaves_nothing_open(gate: Gateway) -> None:
    @asynccontextmanager
    async def failing(app: Any) -> AsyncIterator[None]:
        raise OSError("no database")
        yield

    for app in (
        Starlette(lifespan=gate.lifespan_with(failing)),
        GatewayMiddleware(Starlette(lifespan=failing), gateway=gate),
    ):
        with pytest.raises(RuntimeError, match="no database"):
            async with Lifespan(app):
                pass
        assert not gate.is_open


async def test_a_layer_passes_it_on_and_stands_in_where_the_app_has_none() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((await receive())["type"])
        await send({"type": "lifespan.startup.complete"})
        seen.append((await receive())["type"])
        await send({"type": "lifespan.shutdown.complete"})

    async with Lifespan(AuthMiddleware(AuthMiddleware(app, keys=[KEY]), keys=[KEY])):
        assert seen == ["lifespan.startup"]
    assert seen == ["lifespan.startup", "lifespan.shutdown"]
    async with Lifespan(AuthMiddleware(Host(), keys=[KEY])):
        pass


async def test_the_shutdown_is_complete_when_the_gateway_is_closed(gate: Gateway) -> None:
    told: list[tuple[str, bool]] = []
    wanted = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Any:
        return {"type": next(wanted)}

    async def send(message: Any) -> None:
        told.append((message["type"], gate.is_open))

    await gate.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert told == [("lifespan.startup.complete", True), ("lifespan.shutdown.complete", False)]
