"""One request and its answer: the `receive` and `send` of ASGI over a connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.asgi import ASGIApp, Message, Scope, Shortcuts, Writer, Written
from ai_gateway_mw.cli.protocol.head import Fields
from ai_gateway_mw.cli.protocol.waiters import Waiters, joining, wake
from ai_gateway_mw.errors import GatewayError

if TYPE_CHECKING:
    from ai_gateway_mw.cli.protocol.connection import Connection

_log = logging.getLogger("ai_gateway_mw.server")
_BODYLESS: Final = frozenset({204, 304})
_COPIED: Final = 64 * 1024  # bytes of a body that are joined to the head, which costs less than a second write
_CHUNK: Final = b"%x\r\n%b\r\n"  # RFC 9112 7.1
_BROKEN: Final = -1  # bytes that an answer still owes: no further body can be right


class Exchange(Shortcuts):
    """Made by a connection for a request whose head has come; `content` and `end` bring its body."""

    __slots__ = (
        "_bodyless",
        "_chunked",
        "_connection",
        "_content",
        "_head",
        "_left",
        "_told_end",
        "_understands_chunks",
        "_waiters",
        "_when_gone",
        "complete",
        "ended",
        "gone",
        "keep_alive",
        "scope",
        "started",
        "task",
        "unread",
        "waits_for_continue",
    )

    writes = True
    task: asyncio.Task[None]  # from when `run` begins
    # From the start of the answer:
    _head: bytes  # until it is written
    _chunked: bool
    _left: int | None  # bytes that it still owes

    def __init__(
        self, connection: Connection, scope: Scope, body: bytes | None, *, keep_alive: bool, waits_for_continue: bool
    ) -> None:
        """With the whole body, if it has come by now."""
        self.scope = scope
        self.keep_alive = keep_alive
        self.waits_for_continue = waits_for_continue  # the client, before it sends the body
        self.unread = 0  # bytes of the body that the app has not asked for, unless it came whole
        self.ended = body is not None  # the body has come
        self.started = False  # the answer has, from the app
        self.complete = False  # the answer is
        self.gone = False  # nobody reads the answer
        self._connection = connection
        self._content: list[bytes] = [] if body is None else [body]
        self._told_end = False
        self._when_gone: Callable[[], None] | None = None
        self._waiters: Waiters = []
        self._understands_chunks = scope["http_version"] == "1.1"
        self._bodyless = scope["method"] == "HEAD"

    def content(self, data: bytes) -> None:
        """Some of the request's body has come."""
        self._content.append(data)
        self.unread += len(data)
        if self._waiters:
            wake(self._waiters)

    def end(self) -> None:
        """All of it has."""
        self.ended = True
        if self._waiters:
            wake(self._waiters)

    def leave(self) -> None:
        """Nobody reads the answer any more."""
        self.gone = True
        wake(self._waiters)
        call, self._when_gone = self._when_gone, None
        if call is not None:
            call()

    @property
    def unheard(self) -> bool:
        """Whether the client has been told nothing yet, so that it can be told something else."""
        return not self.started or bool(self._head)

    @property
    def shows_its_end(self) -> bool:
        """Whether the client would notice that the answer is not complete, were the connection to end now."""
        return self._chunked or self._left is not None

    async def run(self, app: ASGIApp) -> None:
        """Have the app answer. An answer that it does not complete is not completed here either."""
        stopped = False
        try:
            if not self.gone:
                await app(self.scope, self.receive, self.send)
        except GatewayError:
            pass  # the edge has logged it
        except asyncio.CancelledError:
            stopped = True
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the client must not take half an answer for a whole one
            _log.exception("the app failed to answer a request")
        finally:
            self._connection.left(self, stopped=stopped)

    async def receive(self) -> Message:
        """As ASGI says."""
        if self.waits_for_continue:
            self.waits_for_continue = False
            if not (self.started or self.gone):
                self._connection.sending.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.gone or self.complete):
            content = self._content
            if content or (self.ended and not self._told_end):
                self._content, self.unread, self._told_end = [], 0, self.ended
                self._connection.wants_more()
                body = content[0] if len(content) == 1 else b"".join(content)
                return {"type": "http.request", "body": body, "more_body": not self.ended}
            self._connection.wants_more()
            await joining(self._waiters, self._connection.service.loop)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """As ASGI says: waits while the client takes nothing, and does nothing once it has left."""
        sending = self._connection.sending
        if sending.is_clogged:
            await sending.unclogged()
        if self.gone:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.started and not self.complete:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not self.started:
            self._begin(message["status"], list(message.get("headers", ())))
            self._connection.service.loop.call_soon(self._flush_head)
        else:
            raise RuntimeError(f"{kind} is not what an answer goes on with here")

    # Beside ASGI, for our own edge: see `ai_gateway_mw.asgi`

    def body_at_hand(self) -> bytes | None:
        """All that is left of the body, if it has come."""
        if not self.ended or self._told_end or self.gone or self.complete:
            return None
        content = self._content
        self._content, self.unread, self._told_end = [], 0, True
        self._connection.wants_more()
        return content[0] if len(content) == 1 else b"".join(content)

    def when_gone(self, call: Callable[[], None] | None) -> bool:
        """Also where it has left by now."""
        self._when_gone = call
        if self.gone and call is not None:
            self.leave()
        return True

    def write_answer(self, status: int, fields: Fields, body: bytes) -> bool:
        """A whole answer, unless the client has not taken all of the one before."""
        sending = self._connection.sending
        if self.started or sending.is_clogged:
            return False
        if self.gone:
            return True
        self._begin(status, fields)
        if self._left == len(body) <= _COPIED and not self._bodyless:  # as it is with almost every whole answer
            head, self._head = self._head, b""
            sending.write(head + body)
            self._complete()
        else:
            self._send_body(body, more=False)
        return True

    def begin_answer(self, status: int, fields: Fields, body: bytes) -> Writer | None:
        """Not before the client has taken all of the answer before."""
        sending = self._connection.sending
        if self.started or sending.is_clogged:
            return None
        if self.gone:
            return self.write_body
        self._begin(status, fields)
        self._send_body(body, more=True)
        return self.write_body

    def drop(self) -> bool:
        """No answer, and no further one on this connection."""
        if not self.unheard or self.complete:
            return False
        if not self.gone:
            self._connection.drop(self)
        return True

    def write_body(self, body: bytes) -> Written:
        """The same as `send` for a piece of the body which is not the last."""
        if self.gone:
            return None
        if not self.started or self.complete:
            raise RuntimeError("a body is not what an answer goes on with here")
        sending = self._connection.sending
        if self._chunked and body and not self._head:  # as it is with almost every event of a stream
            sending.write(_CHUNK % (len(body), body))
        else:
            self._send_body(body, more=True)
        return sending.unclogged() if sending.is_clogged else None

    def _begin(self, status: int, fields: Fields) -> None:
        service, keep_alive = self._connection.service, self.keep_alive
        # RFC 9110 10.1.1: a client that was not told to go on may send its body or not, so that nobody could say what
        # comes next.
        if self.waits_for_continue and not self.ended:
            keep_alive = False
        bodyless = self._bodyless or status in _BODYLESS
        self._head, self._left, self._chunked, self.keep_alive = service.heads.head(
            status,
            fields,
            service.state.default_headers,
            bodyless=bodyless,
            understands_chunks=self._understands_chunks,
            keep_alive=keep_alive,
        )
        self._bodyless = bodyless
        self.started = True

    def _flush_head(self) -> None:
        """A head usually goes out with what follows it at once: one write less. Where nothing does, it goes alone."""
        if self._head and not self.gone:
            self._connection.sending.write(self._head)
            self._head = b""

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if self._bodyless:
            body = b""
        elif self._chunked:
            body = _CHUNK % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        elif self._left is not None:
            left = self._left - len(body)
            if left < 0 or (left and not more):
                self._left = _BROKEN
                raise ValueError("the body of the app's answer has not the length that its head says")
            self._left = left
        if self._head:
            if len(body) > _COPIED:
                self._flush_head()
            body, self._head = self._head + body, b""
        if body:
            self._connection.sending.write(body)
        if not more:
            self._complete()

    def _complete(self) -> None:
        self.complete = True
        if self._waiters:
            wake(self._waiters)
        self._connection.answered(self)
