"""One connection of a client: its requests are answered one after the other, and each thing it does has its time."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING

from ai_gateway_mw.asgi import Scope
from ai_gateway_mw.cli.protocol.exchange import Exchange
from ai_gateway_mw.cli.protocol.parsing import RequestParser
from ai_gateway_mw.cli.protocol.refusals import refusal
from ai_gateway_mw.cli.protocol.sending import Sending
from ai_gateway_mw.errors import BadRequest, BodyTooLarge, GatewayError, InternalError, Overloaded, RequestTimeout

if TYPE_CHECKING:
    from ai_gateway_mw.cli.protocol.service import Service


class Connection(asyncio.Protocol):
    """uvicorn calls `shutdown`, the sweep `expire`; the rest is between the transport, the parser and the exchanges."""

    __slots__ = (
        "_answering",
        "_body_began",
        "_body_size",
        "_fault",
        "_head_began",
        "_is_closing",
        "_is_deaf",
        "_is_last",
        "_is_paused",
        "_limits",
        "_parser",
        "_queue",
        "_receiving",
        "_transport",
        "client",
        "deadline",
        "scheme",
        "sending",
        "server",
        "service",
    )

    _transport: asyncio.Transport
    client: tuple[str, int] | None
    server: tuple[str, int] | None
    scheme: str
    sending: Sending

    def __init__(self, service: Service) -> None:
        self.service = service
        self.deadline = inf  # of the loop's clock; what is to be done then, `expire` knows
        self._limits = service.limits
        self._parser = RequestParser(self, service.limits)
        self._receiving: Exchange | None = None  # the one whose body comes
        self._answering: Exchange | None = None
        self._queue: list[Exchange] = []  # pipelined ones, few
        self._fault: GatewayError | None = None  # what was sent after the requests that are still to be answered
        self._head_began = self._body_began = 0.0  # when it did, if it did not come whole
        self._body_size = 0  # bytes that have come of it since then
        self._is_last = False  # no request is taken after the present one
        self._is_deaf = False  # what comes is not looked at any more
        self._is_paused = False
        self._is_closing = False

    # From the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP, or as one
        """Time runs from here: a connection that is only opened holds a place, too."""
        service = self.service
        self._transport = transport
        self.sending = Sending(transport, service.loop, service.limits)
        self.client = _address(transport, "peername")
        self.server = _address(transport, "sockname")
        self.scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._head_began = service.loop.time()
        self.deadline = self._head_began + self._limits.head_time
        service.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        try:
            self._parser.feed(data)
        except GatewayError as fault:
            self._refuse(fault)
            return
        if self._parser.is_within_head:
            self._await_head()
        elif self._receiving is not None:
            self._await_body(self._receiving)

    def eof_received(self) -> None:
        """The client has left. One that only has no more to send looks the same until it is written to, and what is
        written to nobody is paid for."""

    def connection_lost(self, error: Exception | None) -> None:
        self._is_deaf = self._is_closing = True
        self.deadline = inf
        self.service.closed(self)
        for exchange in (self._answering, self._receiving, *self._queue):
            if exchange is not None:
                exchange.leave()
        self._answering = self._receiving = self._fault = None
        self._queue.clear()
        self.sending.unclog()
        self._parser.release()
        del self._parser

    def pause_writing(self) -> None:
        self.sending.clog()

    def resume_writing(self) -> None:
        self.sending.unclog()

    # From the parser

    def requested(
        self, scope: Scope, body: bytes | None = None, *, keep_alive: bool = True, waits_for_continue: bool = False
    ) -> None:
        """The head of a request has come; with the body, nothing else of it will be told. Raises `GatewayError` where
        it is one too many."""
        if self._is_closing:  # since what stood before it in the same packet
            raise BadRequest("This connection takes no further request.")
        if self.service.is_full:
            self.service.tell_full()
            raise Overloaded("The gateway serves too many requests at once.", fields=[("retry-after", "1")])
        if len(self._queue) == self._limits.pipelined:
            raise BadRequest("Too many requests were sent before the first of them was answered.")
        if not keep_alive:
            self._is_last = True
        exchange = Exchange(self, scope, body, keep_alive=not self._is_last, waits_for_continue=waits_for_continue)
        self._head_began = self._body_began = 0.0
        self._body_size = 0
        if body is None:
            self._receiving = exchange
        else:
            self.deadline = inf
        if self._answering is None:
            self._start(exchange)
        else:
            self._queue.append(exchange)

    def content(self, content: bytes) -> None:
        """Some of the body."""
        self._body_size += len(content)
        exchange = self._receiving
        if exchange is None or exchange.complete or exchange.gone:
            return
        exchange.content(content)
        if exchange.unread > self._limits.buffer and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def sent(self) -> None:
        """All of the request has come."""
        exchange, self._receiving = self._receiving, None
        self.deadline = inf
        if exchange is not None:
            exchange.end()
            if exchange.complete:
                self._next()

    # From an exchange

    def wants_more(self) -> None:
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

    def drop(self, exchange: Exchange) -> None:
        """End here, with nothing said in answer to it."""
        exchange.leave()
        self._close()

    def left(self, exchange: Exchange, *, stopped: bool) -> None:
        """The app is done with it. An answer that is not complete must not look as if it were."""
        self.service.state.tasks.discard(exchange.task)
        if exchange.complete or exchange.gone:
            return
        exchange.leave()
        if exchange.unheard:
            self._say(Overloaded("The gateway is stopping.") if stopped else InternalError())
        elif exchange.shows_its_end:
            self._close()
        else:
            self.sending.reset()

    # From the server

    def shutdown(self) -> None:
        """Take no further request. One whose head has begun to come is not further: it is answered."""
        self._is_last = True
        if self._answering is not None:
            self._answering.keep_alive = False
        elif not self._parser.is_within_head:
            self._close()

    def expire(self, now: float) -> None:
        """The time is up for what the client should have done, or the client may have stopped to read."""
        sending = self.sending
        if (sending.is_clogged or self._is_closing) and sending.is_stuck(now):
            self._transport.abort()
        elif self.deadline > now:
            pass
        elif self._is_closing:
            self._expire_closing(now)
        elif self._parser.is_within_head:
            self._refuse(RequestTimeout("The head of the request took too long."))
        elif self._receiving is not None:
            self._expire_body(now, self._receiving)
        else:
            self._close()

    def _expire_body(self, now: float, exchange: Exchange) -> None:
        limits = self._limits
        if self._is_paused or exchange.waits_for_continue:  # it is the app that takes its time
            self._body_began, self._body_size, self._parser.received = now, 0, 0
        due = self._body_began + limits.body_time + self._body_size / limits.body_rate
        if exchange.complete:
            self._close()
        elif due > now:
            self.deadline = due
        else:
            self._refuse(RequestTimeout("The body of the request took too long."))

    def _expire_closing(self, now: float) -> None:
        if self.sending.is_behind:
            self.deadline = now + self._limits.closing_time
        else:
            self._transport.abort()

    # Within

    def _await_head(self) -> None:
        if not self._head_began:
            self._head_began = self.service.loop.time()
            self.deadline = self._head_began + self._limits.head_time

    def _await_body(self, exchange: Exchange) -> None:
        limits, parser = self._limits, self._parser
        if exchange.complete:
            pass  # it has its own time
        elif not self._body_began:
            self._body_began, parser.received = self.service.loop.time(), 0
            self.deadline = self._body_began + limits.body_time
        # A chunk of one byte takes six; whoever needs more for long sends something else than content.
        elif parser.received - self._body_size > limits.framing + 8 * self._body_size:
            self._refuse(BodyTooLarge("The body of the request is mostly framing."))

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
        elif self._is_last:
            self._close()
        elif self._receiving is None and not self._parser.is_within_head:
            self.deadline = self.service.loop.time() + self.service.idle_time
        self._resume()

    def _refuse(self, fault: GatewayError) -> None:
        """Nothing more is read. What came before the fault is answered first."""
        if self._is_closing:
            return
        self._fault, self.deadline, self._is_deaf = fault, inf, True
        receiving, answering = self._receiving, self._answering
        if self._queue and self._queue[-1] is receiving:
            self._queue.pop()
        if receiving is not None and receiving.complete:
            self._close()
        elif answering is None:
            self._say(fault)
        elif answering is receiving:
            answering.leave()
            if answering.unheard:
                self._say(fault)
            else:
                self._transport.abort()

    def _say(self, error: GatewayError) -> None:
        self.sending.write(refusal(error, self.service.heads, self.service.state.default_headers))
        self._fault = error
        self._close()

    def _close(self) -> None:
        if self._is_closing:
            return
        self._is_deaf = self._is_closing = True
        self.deadline = self.service.loop.time() + self._limits.closing_time
        self._resume()
        self.sending.end(client_is_sending=self._fault is not None or self._receiving is not None)

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()


def _address(transport: asyncio.BaseTransport, which: str) -> tuple[str, int] | None:
    """As ASGI has it: host and port; a Unix socket has neither."""
    address = transport.get_extra_info(which)
    return (address[0], address[1]) if isinstance(address, tuple) else None
