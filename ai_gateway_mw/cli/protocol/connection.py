"""One connection of a client: bytes that come become exchanges, one answered after the other, each within its time.

The only module that knows the parser. An exchange is answered by its app; what is no request is refused here.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from math import inf
from typing import TYPE_CHECKING, Final, NoReturn

import httptools

from ai_gateway_mw.cli.protocol.exchange import Exchange
from ai_gateway_mw.cli.protocol.refusals import refusal
from ai_gateway_mw.cli.protocol.request_head import Fields, target, waits_for_continue
from ai_gateway_mw.cli.protocol.waiters import Waiters
from ai_gateway_mw.errors import (
    BadRequest,
    BodyTooLarge,
    GatewayError,
    HeadTooLarge,
    Overloaded,
    RequestTimeout,
    TargetTooLong,
)

if TYPE_CHECKING:
    from ai_gateway_mw.cli.protocol.service import Service

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_NO_LINGER: Final = struct.pack("ii", 1, 0)
_HEAD_TOO_LARGE: Final = "The head of the request is too large."


# What the client is to do next. (No enumeration: in Python 3.11, looking up its members would take 1 us a request.)
_IDLE: Final = "send a request, if it likes"
_HEAD: Final = "send the rest of a head"
_BODY: Final = "send the rest of a body"
_WAITING: Final = "nothing; its request has come"
_CLOSING: Final = "take what is left for it, and go"


class Connection(asyncio.Protocol):
    """uvicorn calls `shutdown`, the sweep `expire`; the rest is between the transport, the parser and the exchanges."""

    __slots__ = (
        "_answering",
        "_fault",
        "_fields",
        "_is_last",
        "_is_paused",
        "_limits",
        "_parser",
        "_queue",
        "_received",
        "_receiving",
        "_state",
        "_stuck_at",
        "_stuck_until",
        "_target",
        "_transport",
        "_unclogging",
        "client",
        "deadline",
        "is_clogged",
        "scheme",
        "server",
        "service",
    )

    _transport: asyncio.Transport

    def __init__(self, service: Service) -> None:
        self.service = service
        self._limits = service.limits
        self.deadline = inf  # of the loop's clock; what is to be done then, `expire` knows
        self.is_clogged = False  # the client does not take what is sent
        self._unclogging = Waiters()
        self._stuck_at, self._stuck_until = 0, inf
        self._state: str = _IDLE
        self._is_last = False  # no request is taken after the present one
        self._is_paused = False
        self._fault: GatewayError | None = None  # what was sent after the requests that are still to be answered
        self._receiving: Exchange | None = None  # the one whose body comes
        self._answering: Exchange | None = None
        self._queue: list[Exchange] = []  # pipelined ones, few
        self._target = b""
        self._fields: Fields = []
        self._received = 0  # bytes: of a head about as many as it has, of a body as it has with its framing
        self._parser = httptools.HttpRequestParser(self)

    # From the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP, or as one
        """Time runs from here: a connection that is only opened holds a place, too."""
        service = self.service
        self._transport = transport
        transport.set_write_buffer_limits(high=self._limits.buffer)
        self.client = _address(transport, "peername")
        self.server = _address(transport, "sockname")
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self.deadline = service.loop.time() + self._limits.head_time
        service.opened(self)

    def data_received(self, data: bytes) -> None:
        before = self._state
        if before is _CLOSING or self._fault is not None or (self._is_last and before is _WAITING):
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(self._fault_of_parser() or BadRequest("What was sent is not a proper HTTP request."))
            return
        if self._state is _HEAD:
            self._await_head(begun=before is _HEAD)
        elif self._state is _BODY:
            self._await_body()

    def connection_lost(self, error: Exception | None) -> None:
        self._state, self.deadline = _CLOSING, inf
        self.service.closed(self)
        for exchange in (self._answering, self._receiving, *self._queue):
            if exchange is not None:
                exchange.leave()
        self._answering = self._receiving = None
        self._queue.clear()
        self.resume_writing()
        del self._parser  # which knows this connection

    def pause_writing(self) -> None:
        self.is_clogged = True
        self._stuck_at = 0

    def resume_writing(self) -> None:
        self.is_clogged = False
        self._unclogging.wake()

    # From the parser

    def on_message_begin(self) -> None:
        if self._is_last:
            self._stop(BadRequest("This connection takes no further request."))
        self._target, self._fields, self._state = b"", [], _HEAD

    def on_url(self, url: bytes) -> None:
        self._target = url if not self._target else self._target + url
        if len(self._target) > self._limits.target:
            self._stop(TargetTooLong("The request target is too long."))

    def on_header(self, name: bytes, value: bytes) -> None:
        fields = self._fields
        if len(fields) == self._limits.fields:
            self._stop(HeadTooLarge("The request has too many fields."))
        fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        fields, parser = self._fields, self._parser
        self._fields = []  # for trailers (RFC 9110 6.5), which no rule sees
        if self._received > self._limits.head:
            self._measure(fields)
        version = parser.get_http_version()
        try:
            waits = waits_for_continue(fields, version)
            path, raw_path, query = target(self._target)
        except GatewayError as error:
            self._stop(error)
        if self.service.is_full:
            self._stop(Overloaded("The gateway serves too many requests at once.", fields=[("retry-after", "1")]))
        keep_alive = version == "1.1" and parser.should_keep_alive() and not self._is_last
        self._is_last = not keep_alive
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": parser.get_method().decode(),
            "scheme": self.scheme,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": fields,
            "client": self.client,
            "server": self.server,
            "state": self.service.app_state.copy(),
        }
        exchange = Exchange(self, scope, keep_alive=keep_alive, waits_for_continue=waits)
        self._state = _BODY
        self._receiving = exchange
        if self._answering is None:
            self._start(exchange)
        elif len(self._queue) < self._limits.pipelined:
            self._queue.append(exchange)
        else:
            self._stop(BadRequest("Too many requests were sent before the first of them was answered."))

    def on_body(self, content: bytes) -> None:
        exchange = self._receiving
        if exchange is None:
            return
        exchange.size += len(content)
        if not (exchange.complete or exchange.gone):
            exchange.content(content)
            if exchange.unread > self._limits.buffer and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()

    def on_message_complete(self) -> None:
        exchange, self._receiving = self._receiving, None
        self._state, self.deadline, self._received = _WAITING, inf, 0
        if exchange is not None:
            exchange.end()
            if exchange.complete:
                self._next()

    def _stop(self, fault: GatewayError) -> NoReturn:
        """Have the parser stop; it does not hand exceptions on."""
        self._fault = fault
        raise fault

    def _fault_of_parser(self) -> GatewayError | None:
        """The one with which it was stopped, if it was."""
        return self._fault

    # From an exchange

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def unclogged(self) -> None:
        """Returns when the client has taken most of what was written, or has left."""
        await self._unclogging.wait(self.service.loop)

    def wants_more(self, exchange: Exchange) -> None:
        """The app asks for content."""
        receiving = self._receiving
        if self._is_paused and (receiving is None or receiving.unread <= self._limits.buffer):
            self._resume()

    def answered(self, exchange: Exchange) -> None:
        """Its answer is written. The rest of its request is let go by, for a while."""
        self._answering = None
        self.service.state.total_requests += 1
        if not exchange.keep_alive:
            self._close()
        elif self._receiving is exchange:
            self.deadline = self.service.loop.time() + self._limits.rest_time
            self._resume()
        else:
            self._next()

    def left(self, exchange: Exchange, *, stopped: bool) -> None:
        """The app is done with it. An answer that is not complete must not look as if it were."""
        if exchange.task is not None:
            self.service.state.tasks.discard(exchange.task)
        if exchange.complete or exchange.gone:
            return
        exchange.leave()
        if not exchange.started:
            failed = "The gateway failed to handle this request."
            self._say(Overloaded("The gateway is stopping.") if stopped else GatewayError(failed))
        elif exchange.shows_its_end:
            self._close()
        else:
            self._reset()

    # From the server

    def shutdown(self) -> None:
        """Take no further request. One whose head has begun to come is not further: it is answered."""
        self._is_last = True
        if self._answering is not None:
            self._answering.keep_alive = False
        if self._state is _IDLE:
            self._close()

    def expire(self, now: float) -> None:
        """The time is up for what the client should have done, or the client may have stopped to read."""
        if self.is_clogged and self._is_stuck(now):
            self._transport.abort()
        elif self.deadline > now:
            pass
        elif self._state is _IDLE:
            self._close()
        elif self._state is _HEAD:
            self._refuse(RequestTimeout("The head of the request took too long."))
        elif self._state is _BODY:
            self._expire_body(now)
        else:
            self._transport.abort()

    def _is_stuck(self, now: float) -> bool:
        size = self._transport.get_write_buffer_size()
        if size != self._stuck_at:
            self._stuck_at, self._stuck_until = size, now + self._limits.unread_time
        return now >= self._stuck_until

    def _expire_body(self, now: float) -> None:
        limits, exchange = self._limits, self._receiving
        assert exchange is not None
        if self._is_paused:  # it is the app that takes its time
            exchange.began, exchange.size = now, 0
        due = exchange.began + limits.body_time + exchange.size / limits.body_rate
        if exchange.complete:
            self._transport.abort()
        elif due > now:
            self.deadline = due
        else:
            self._refuse(RequestTimeout("The body of the request took too long."))

    # Steps

    def _await_head(self, *, begun: bool) -> None:
        if not begun:
            self._received = 0  # what came with it may have been the end of another request
            self.deadline = self.service.loop.time() + self._limits.head_time
        elif self._received > self._limits.head:  # one endless field, which the parser has not shown yet
            self._refuse(HeadTooLarge(_HEAD_TOO_LARGE))

    def _await_body(self) -> None:
        limits, exchange = self._limits, self._receiving
        assert exchange is not None
        if not exchange.began:
            self._received = 0
            exchange.began = self.service.loop.time()
            self.deadline = exchange.began + limits.body_time
        # A chunk of one byte takes six; whoever needs more for long sends something else than content.
        elif self._received - exchange.size > limits.framing + 8 * exchange.size:
            self._refuse(BodyTooLarge("The body of the request is mostly framing."))

    def _measure(self, fields: Fields) -> None:
        """What came may be more than the head."""
        if len(self._target) + sum(len(name) + len(value) for name, value in fields) > self._limits.head:
            self._stop(HeadTooLarge(_HEAD_TOO_LARGE))

    def _start(self, exchange: Exchange) -> None:
        service = self.service
        self._answering = exchange
        task = exchange.task = service.loop.create_task(exchange.run(service.app))
        service.state.tasks.add(task)

    def _next(self) -> None:
        if self._queue:
            self._start(self._queue.pop(0))
        elif self._fault is not None:
            self._say(self._fault)
        elif self._state is _WAITING:
            self._state = _IDLE
            self.deadline = self.service.loop.time() + self.service.idle_time
        self._resume()

    def _refuse(self, fault: GatewayError) -> None:
        """Nothing more is read. What came before the fault is answered first."""
        self._fault, self.deadline = fault, inf
        receiving, answering = self._receiving, self._answering
        if self._queue and self._queue[-1] is receiving:
            self._queue.pop()
        if receiving is not None and receiving.complete:
            self._close()
        elif answering is None:
            self._say(fault)
        elif answering is receiving:
            answering.leave()
            if answering.started:
                self._transport.abort()
            else:
                self._say(fault)

    def _say(self, error: GatewayError) -> None:
        self._transport.write(refusal(error, self.service.heads, self.service.standing_lines))
        self._fault = error
        self._close()

    def _close(self) -> None:
        """Once all is written. A client that may still be sending is let read what was said before it finds the
        connection reset (RFC 9112 9.6)."""
        limits, now = self._limits, self.service.loop.time()
        sending = self._fault is not None or self._state is _BODY
        self._state = _CLOSING
        if sending and self._transport.can_write_eof():
            self.deadline = now + limits.closing_time
            self._transport.write_eof()
            self._resume()
        else:
            self.deadline = now + limits.unread_time
            self._transport.close()

    def _reset(self) -> None:
        """Where the end of a connection is the end of an answer, only a reset says that it is not."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()


def _address(transport: asyncio.BaseTransport, which: str) -> tuple[str, int] | None:
    """As ASGI has it: host and port; a Unix socket has neither."""
    address = transport.get_extra_info(which)
    return (address[0], address[1]) if isinstance(address, tuple) else None
