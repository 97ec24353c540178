"""An ASGI server made of messages only: a test says what the client does, and sees what the app sends, one by one.

`Exchange` is one HTTP exchange, `WebSocket` one WebSocket, `Lifespan` a server's start and stop. `request` is the short
form of an exchange. What an app may not do (a body before its start, fields that are not lower-case) fails loudly.
"""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

from tests.conversation import AppEnded, Conversation, ProtocolViolation

__all__ = [
    "AppEnded",
    "Exchange",
    "Lifespan",
    "ProtocolViolation",
    "Response",
    "Start",
    "WebSocket",
    "http_scope",
    "request",
]

Fields = Mapping[str, str] | Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Start:
    """The head of a response."""

    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response."""

    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return jsonlib.loads(self.body)


def raw_fields(fields: Fields | None) -> list[tuple[bytes, bytes]]:
    pairs = fields.items() if isinstance(fields, Mapping) else fields or ()
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def http_scope(
    method: str = "GET",
    path: str = "/",
    *,
    headers: Fields | None = None,
    client: tuple[str, int] | None = ("127.0.0.1", 50_000),
    root_path: str = "",
    **more: Any,
) -> dict[str, Any]:
    """The scope of an HTTP request; `path` is the target as sent, with its query; `host` is added unless given."""
    target, _, query = path.partition("?")
    fields = raw_fields(headers)
    if all(name != b"host" for name, _ in fields):
        fields.insert(0, (b"host", b"gateway.test"))
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": root_path + unquote(target),
        "raw_path": (root_path + target).encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": root_path,
        "headers": fields,
        "client": client,
        "server": ("127.0.0.1", 8080),
        "state": {},
    }
    return scope | more


class Exchange(Conversation):
    """One HTTP exchange.

    `body` goes out as one message; with `body=None` the test sends it in pieces with `feed`. With `window=n` the app's
    `send` waits while n messages lie unread, as it does when a client reads slowly.
    """

    disconnect_type = "http.disconnect"

    def __init__(
        self,
        app: ASGIApp,
        *,
        method: str = "GET",
        path: str = "/",
        headers: Fields | None = None,
        body: bytes | None = b"",
        json: Any = None,
        window: int | None = None,
        **scope: Any,
    ) -> None:
        fields = list(headers.items() if isinstance(headers, Mapping) else headers or ())
        names = {name.lower() for name, _ in fields}
        if json is not None:
            body = jsonlib.dumps(json).encode()
            fields += [("content-type", "application/json")] if "content-type" not in names else []
        if body and not names & {"content-length", "transfer-encoding"}:
            fields.append(("content-length", str(len(body))))
        super().__init__(app, http_scope(method, path, headers=fields, **scope), window=window)
        self._started = self._finished = self._complete = False
        if body is not None:
            self.queue({"type": "http.request", "body": body, "more_body": False})

    async def feed(self, chunk: bytes, *, more: bool = True) -> None:
        """Send a piece of the request body."""
        await self.put({"type": "http.request", "body": chunk, "more_body": more})

    async def start(self) -> Start:
        """The head of the response."""
        message = await self.message()
        assert message["type"] == "http.response.start", message
        return Start(message["status"], Headers(raw=[(bytes(n), bytes(v)) for n, v in message["headers"]]))

    async def body(self) -> bytes | None:
        """The next piece of the response body, empty ones included; None after the last."""
        if self._complete and self.all_read:
            return None
        message = await self.message()
        assert message["type"] == "http.response.body", message
        return bytes(message.get("body", b""))

    async def rest(self) -> bytes:
        """All of the body that has not been read."""
        pieces = []
        while (piece := await self.body()) is not None:
            pieces.append(piece)
        return b"".join(pieces)

    @property
    def complete(self) -> bool:
        """Whether the app has sent its last message."""
        return self._complete

    def check(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                _require(not self._started, "a second start", message)
                _require(isinstance(message["status"], int), "a status that is no number", message)
                _check_fields(message)
                self._started = True
            case "http.response.body":
                _require(self._started, "a body before the start", message)
                _require(not self._finished, "a body after the last", message)
                _require(isinstance(message.get("body", b""), bytes | bytearray | memoryview), "no bytes", message)
                self._finished = not message.get("more_body", False)
            case other:
                raise ProtocolViolation(f"a message of type {other} in an HTTP exchange")

    async def sent(self, message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True
            await self.disconnect()


def _require(holds: bool, what: str, message: Message) -> None:
    if not holds:
        raise ProtocolViolation(f"{what}: {message!r}")


def _check_fields(message: Message) -> None:
    for name, value in message.get("headers", ()):
        _require(isinstance(name, bytes) and isinstance(value, bytes), f"field {name!r} is not bytes", message)
        _require(name == name.lower() and not name.startswith(b":"), f"field {name!r} is not lower-case", message)
        _require(not set(name + value) & set(b"\r\n\0"), f"field {name!r} would break the head", message)


async def request(app: ASGIApp, method: str = "GET", path: str = "/", **exchange: Any) -> Response:
    """One exchange from start to end; the arguments are those of `Exchange`."""
    async with Exchange(app, method=method, path=path, **exchange) as ex:
        start = await ex.start()
        return Response(start.status, start.headers, await ex.rest())


class WebSocket(Conversation):
    """One WebSocket. The client's `websocket.connect` is there from the beginning."""

    disconnect_type = "websocket.disconnect"

    def __init__(self, app: ASGIApp, path: str = "/", *, headers: Fields | None = None, **more: Any) -> None:
        scope = http_scope("GET", path, headers=headers, **({"scheme": "ws", "subprotocols": []} | more))
        del scope["method"]
        super().__init__(app, scope | {"type": "websocket"})
        self.queue({"type": "websocket.connect"})

    async def send(self, data: str | bytes) -> None:
        kind = "text" if isinstance(data, str) else "bytes"
        await self.put({"type": "websocket.receive", kind: data})

    async def disconnect(self, code: int = 1005) -> None:
        await self.leave({"type": self.disconnect_type, "code": code, "reason": ""})

    async def sent(self, message: Message) -> None:
        if message["type"] == "websocket.close":
            await self.disconnect(message.get("code", 1000))


class Lifespan(Conversation):
    """A server's life around an app: `async with Lifespan(app) as state` starts it up, and shuts it down at the end."""

    disconnect_type = "lifespan.shutdown"

    def __init__(self, app: ASGIApp) -> None:
        self.state: dict[str, Any] = {}
        super().__init__(
            app, {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        )
        self.queue({"type": "lifespan.startup"})

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._expect("startup")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.put({"type": "lifespan.shutdown"})
        try:
            if error is None:
                await self._expect("shutdown")
        finally:
            await self.ended(raising=error is None)

    async def _expect(self, stage: str) -> None:
        message = await self.message()
        if message["type"] != f"lifespan.{stage}.complete":
            await self.ended(raising=False)
            raise RuntimeError(f"{message['type']}: {message.get('message', '')}")
