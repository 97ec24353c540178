"""One request and its answer: the `receive` and `send` of ASGI over a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.asgi import ASGIApp, Message, Scope
from ai_gateway_mw.cli.protocol.waiters import Waiters
from ai_gateway_mw.errors import GatewayError

if TYPE_CHECKING:
    from ai_gateway_mw.cli.protocol.connection import Connection

_log = logging.getLogger("ai_gateway_mw.server")
LEAVING: Final = "ai_gateway_mw.leaving"  # the extension of the scope that is `Exchange.on_leaving`
_BODYLESS: Final = frozenset({204, 304})


class Exchange:
    """Made by a connection for a request whose head has come; `content` and `end` bring its body."""

    __slots__ = (
        "_bodyless",
        "_chunked",
        "_connection",
        "_content",
        "_left",
        "_on_leaving",
        "_told_end",
        "_understands_chunks",
        "_waiters",
        "_waits_for_continue",
        "began",
        "complete",
        "ended",
        "gone",
        "keep_alive",
        "scope",
        "size",
        "started",
        "task",
        "unread",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keep_alive: bool, waits_for_continue: bool) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.task: asyncio.Task[None] | None = None
        self.size = 0  # bytes of the body that have come
        self.began = 0.0  # when it began to come, if it did not come whole
        self.unread = 0  # bytes of the body that the app has not asked for
        self.ended = False  # the body has come
        self.started = False  # the answer has
        self.complete = False  # the answer is
        self.gone = False  # nobody reads the answer
        self._connection = connection
        self._waits_for_continue = waits_for_continue
        self._content: list[bytes] = []
        self._told_end = False
        self._waiters = Waiters()
        self._on_leaving: Callable[[], object] | None = None
        self._chunked = False
        self._left: int | None = None  # bytes that the answer still owes
        self._understands_chunks = scope["http_version"] == "1.1"
        self._bodyless = scope["method"] == "HEAD"
        scope["extensions"] = {LEAVING: self.on_leaving}

    def content(self, data: bytes) -> None:
        """Some of the request's body has come."""
        self._content.append(data)
        self.unread += len(data)
        self._waiters.wake()

    def end(self) -> None:
        """All of it has."""
        self.ended = True
        self._waiters.wake()

    def leave(self) -> None:
        """Nobody reads the answer any more."""
        if not self.gone:
            self.gone = True
            self._waiters.wake()
            if self._on_leaving is not None and not self.complete:
                self._on_leaving()

    @property
    def shows_its_end(self) -> bool:
        """Whether the client would notice that the answer is not complete, were the connection to end now."""
        return self._chunked or self._left is not None

    def on_leaving(self, call: Callable[[], object] | None) -> None:
        """What is called when the client leaves before it has its answer, or now if it has left; None for nothing.

        It spares an app the task that waits for `http.disconnect`.
        """
        self._on_leaving = call
        if call is not None and self.gone:
            call()

    async def run(self, app: ASGIApp) -> None:
        """Have the app answer. An answer that it does not complete is not completed here either."""
        stopped = False
        scope, self.scope = self.scope, {}  # which refers to this: they would keep each other alive
        try:
            if not self.gone:
                await app(scope, self.receive, self.send)
        except GatewayError:
            pass  # the edge has logged it
        except asyncio.CancelledError:
            stopped = True
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the client must not take half an answer for a whole one
            _log.exception("the app failed to answer a request")
        finally:
            self._on_leaving = None
            self._connection.left(self, stopped=stopped)

    async def receive(self) -> Message:
        """As ASGI says."""
        if self._waits_for_continue:
            self._waits_for_continue = False
            if not (self.started or self.gone):
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.gone or self.complete):
            content = self._content
            if content or (self.ended and not self._told_end):
                self._content, self.unread, self._told_end = [], 0, self.ended
                self._connection.wants_more(self)
                body = content[0] if len(content) == 1 else b"".join(content)
                return {"type": "http.request", "body": body, "more_body": not self.ended}
            self._connection.wants_more(self)
            await self._waiters.wait(self._connection.service.loop)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """As ASGI says: waits while the client takes nothing, and does nothing once it has left."""
        if self._connection.is_clogged:
            await self._connection.unclogged()
        if self.gone:
            return
        kind = message["type"]
        if self.started and not self.complete and kind == "http.response.body":
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif not self.started and kind == "http.response.start":
            self._send_head(message)
        else:
            raise RuntimeError(f"{kind} is not what an answer goes on with here")

    def _send_head(self, message: Message) -> None:
        connection, status = self._connection, message["status"]
        self._bodyless = self._bodyless or status in _BODYLESS
        content, length, self._chunked, self.keep_alive = connection.service.heads.head(
            status,
            message.get("headers", ()),
            connection.service.standing_lines,
            bodyless=self._bodyless,
            understands_chunks=self._understands_chunks,
            keep_alive=self.keep_alive,
        )
        self._left = length
        self.started = True
        connection.write(content)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if self._bodyless:
            body = b""
        elif self._chunked:
            body = _chunk(body, last=not more)
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise ValueError("the body of the app's answer has not the length that its head says")
        if body:
            self._connection.write(body)
        if not more:
            self.complete = True
            self._waiters.wake()
            self._connection.answered(self)


def _chunk(body: bytes, *, last: bool) -> bytes:
    """RFC 9112 7.1."""
    end = b"0\r\n\r\n" if last else b""
    return b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end
