"""The ASGI harness itself: other tests stand on what it shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from tests.asgi import AppEnded, Exchange, Lifespan, ProtocolViolation, WebSocket, http_scope, request

pytestmark = pytest.mark.anyio

START: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}


def piece(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    for data in (b"a", b"b", b"c"):
        await send(piece(data))
    await send(piece(b"", more=False))


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        await send(piece(message["body"], more=message["more_body"]))
        if not message["more_body"]:
            return


async def test_messages_are_seen_one_by_one() -> None:
    async with Exchange(streaming) as ex:
        start = await ex.start()
        assert (start.status, start.headers["content-type"]) == (200, "text/plain")
        assert [await ex.body() for _ in range(5)] == [b"a", b"b", b"c", b"", None]
        assert ex.complete


async def test_send_waits_while_the_window_is_full() -> None:
    async with Exchange(streaming, window=1) as ex:
        await ex.start()
        assert len(ex.messages) <= 2
        assert await ex.body() == b"a"
        assert len(ex.messages) <= 3
        assert await ex.rest() == b"bc"


async def test_a_request_body_goes_out_in_pieces() -> None:
    async with Exchange(echo, method="POST", body=None) as ex:
        await ex.start()
        await ex.feed(b"one")
        assert await ex.body() == b"one"
        await ex.feed(b"two", more=False)
        assert await ex.rest() == b"two"


async def test_a_client_that_leaves_is_told_by_receive_and_reads_no_more() -> None:
    left = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.request"
        await send(START)
        assert (await receive())["type"] == "http.disconnect"
        left.set()
        await send(piece(b"nobody reads this", more=False))

    async with Exchange(app) as ex:
        await ex.start()
        await ex.disconnect()
        await ex.ended()
        assert left.is_set()
        assert [message["body"] for message in ex.dropped] == [b"nobody reads this"]


async def test_what_the_app_raises_reaches_the_test() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        raise ZeroDivisionError

    async with Exchange(app) as ex:
        await ex.start()
        with pytest.raises(ZeroDivisionError):
            await ex.body()
    with pytest.raises(ZeroDivisionError):
        async with Exchange(app) as ex:
            await ex.start()


async def test_an_app_that_returns_too_early_is_noticed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(piece(b"half"))

    async with Exchange(app) as ex:
        await ex.start()
        with pytest.raises(AppEnded, match=r"http\.response\.body"):
            await ex.rest()


BAD_MESSAGES = {
    "body first": [piece(b"x")],
    "two starts": [START, START],
    "body after the last": [START, piece(b"", more=False), piece(b"x")],
    "text field": [START | {"headers": [("a", "b")]}],
    "upper-case field": [START | {"headers": [(b"A", b"b")]}],
    "line feed in a field": [START | {"headers": [(b"a", b"b\nc: d")]}],
    "text body": [START, {"type": "http.response.body", "body": "x"}],
    "unknown type": [{"type": "websocket.accept"}],
}


@pytest.mark.parametrize("messages", BAD_MESSAGES.values(), ids=BAD_MESSAGES.keys())
async def test_a_breach_of_the_protocol_fails(messages: list[Message]) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    with pytest.raises(ProtocolViolation):
        async with Exchange(app):
            pass


async def test_request_is_the_short_form() -> None:
    async def page(request: Request) -> JSONResponse:
        fields = request.headers
        return JSONResponse([await request.json(), request.query_params["q"], fields["content-type"], fields["x-a"]])

    app = Starlette(routes=[Route("/a b", page, methods=["POST"])])
    response = await request(app, "POST", "/a%20b?q=1", json={"n": 1}, headers={"X-A": "y"})
    assert response.status == 200
    assert response.json() == [{"n": 1}, "1", "application/json", "y"]
    assert (await request(app, "GET", "/none")).status == 404


def test_a_scope_tells_what_a_server_tells() -> None:
    scope = http_scope("GET", "/v1/a%2Fb?x=1", headers=[("Host", "h"), ("A", "1"), ("a", "2")], root_path="/ai")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/ai/v1/a/b", b"/ai/v1/a%2Fb", b"x=1")
    assert scope["headers"] == [(b"host", b"h"), (b"a", b"1"), (b"a", b"2")]


async def test_a_websocket_speaks_both_ways() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": (await receive())["text"]})
        await send({"type": "websocket.close", "code": 1008})
        assert (await receive())["code"] == 1008

    async with WebSocket(app, "/v1/realtime") as ws:
        assert (await ws.message())["type"] == "websocket.accept"
        await ws.send("hello")
        assert (await ws.message())["text"] == "hello"
        assert (await ws.message())["code"] == 1008


async def test_lifespan_runs_startup_and_shutdown() -> None:
    seen = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, int]]:
        seen.append("up")
        yield {"answer": 42}
        seen.append("down")

    async with Lifespan(Starlette(lifespan=lifespan)) as life:
        assert seen == ["up"]
        assert life.state == {"answer": 42}
    assert seen == ["up", "down"]


async def test_a_failed_startup_raises() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise OSError("no database")
        yield  # type: ignore[unreachable]

    with pytest.raises(RuntimeError, match="no database"):
        async with Lifespan(Starlette(lifespan=lifespan)):
            pass
