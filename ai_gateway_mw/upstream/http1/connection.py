"""Connection: one TCP or TLS connection to an upstream, with one exchange at a time on it (RFC 9112).

What an upstream sends is not trusted: framing that is in doubt, or a byte that nobody asked for, ends the connection.
"""

from __future__ import annotations

import asyncio
import math
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ai_gateway_mw.errors import UpstreamError, UpstreamInterrupted, UpstreamTimeout
from ai_gateway_mw.upstream.http1.answer import TOO_LATE, Answer
from ai_gateway_mw.upstream.http1.parsing import AnswerParser, Malformed
from ai_gateway_mw.upstream.http1.response import Pour

if TYPE_CHECKING:
    from ai_gateway_mw.upstream.http1.pool import Pool

_HIGH_WATER = 64 * 1024  # of a body that nobody takes: reading pauses above it
_MAX_PIECES = 64
_NEVER = math.inf
_SMALL = 64 * 1024  # a request's body up to here is sent in one piece with its head


class Timeouts(NamedTuple):
    """Seconds: to connect, until the head of the answer is in, between two pieces of its body, for a place in the
    pool. A request that cannot be written at once has `first_byte` for that, and again for its answer.

    `deadline` is a time (by the transport's clock) that all of this together has until the head is in."""

    connect: float = 10.0
    first_byte: float = 180.0
    idle: float = 180.0
    pool: float = 10.0
    deadline: float = math.inf


class Unsent(UpstreamInterrupted):
    """An idle connection that was taken up again turned out to be closed: the upstream never had the whole request,
    so that it can be sent once more without being answered, and paid for, twice."""


class Connection(asyncio.Protocol):
    """Belongs to a pool, which is told when it is free again and when it is gone."""

    __slots__ = (
        "_answer",
        "_clock",
        "_ended",
        "_ends_in_time",
        "_into",
        "_loop",
        "_news",
        "_parser",
        "_pool",
        "_reused",
        "_transport",
        "_unwritten",
        "_waiter",
        "deadline",
        "idle_since",
        "is_paused",
        "timeouts",
    )

    timeouts: Timeouts
    _news: Callable[[float], list[tuple[int, int]]]
    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], keepalive: float) -> None:
        self._loop = loop
        self._clock = clock
        self._parser = AnswerParser(keepalive)
        self._pool: Pool | None = None
        self._answer: Answer | None = None  # while one is coming
        self._waiter: asyncio.Future[Any] | None = None
        self._into: Pour | None = None  # what takes the pieces as they come
        self._ended = self._reused = self.is_paused = self._unwritten = False
        self._ends_in_time = True
        self.deadline = math.inf
        self.idle_since = 0.0

    # For those who use it ---------------------------------------------------------------------------------------------

    def join(self, pool: Pool) -> bool:
        """Belong to this pool from now on; false if the upstream has ended the connection already."""
        if not self._ended:
            self._pool = pool
        return not self._ended

    def send(self, head: bytes, content: bytes, timeouts: Timeouts) -> Answer:
        """Write a request. The answer fills as it comes."""
        answer = self._answer = Answer(self)
        self.timeouts = timeouts
        self._parser.begin(answer, bodiless=head.startswith(b"HEAD "))
        if len(content) <= _SMALL:
            self._transport.write(head + content)
        else:
            self._transport.writelines((head, content))
        return answer

    def arrival(self, patience: float, until: float = math.inf, *, ends: bool = True) -> asyncio.Future[Any]:
        """Done once there is more of the answer, or its end. When the time is up, that is the end, unless `ends` is
        false: then this is `TOO_LATE`. Whoever is cancelled while waiting for it calls `give_up`."""
        due = self._clock() + patience
        self.deadline = min(until, due)
        self._ends_in_time = ends
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def poured(self, into: Pour) -> asyncio.Future[Any]:
        """What comes goes to `into` at once, until the answer ends, or until that asks for a pause: then this is what
        is to be awaited. Whoever is cancelled while waiting for it calls `give_up`."""
        waiter = self.arrival(self.timeouts.idle)
        self._into = into
        return waiter

    def resume(self) -> None:
        """What had arrived was taken: more may come."""
        self.is_paused = False
        self._transport.resume_reading()

    def usable(self, now: float) -> bool:
        """Whether an idle connection is good for another request. If something has come that the event loop has not
        handed over yet, it is the connection's end, or bytes that would pass for the next answer."""
        return not self._ended and now - self.idle_since < self._parser.keep_for and not self._news(0)

    def time_out(self) -> None:
        if self._ends_in_time:
            self.fail(UpstreamTimeout("The provider did not answer in time."))
        else:
            self._wake(TOO_LATE)

    def give_up(self) -> None:
        self.fail(UpstreamInterrupted("The request to the provider was given up."))

    def fail(self, error: UpstreamError) -> None:
        """End the answer that is coming, if any, and the connection."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.error, answer.connection = error, None
        self.drop()
        self._wake()

    def drop(self) -> None:
        """End the connection, at once and without ceremony; harmless when repeated."""
        if self._ended:
            return
        self._ended = True
        self._transport.abort()
        if self._pool is not None:
            self._pool.gone(self)

    # For the event loop -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being an instance
        # With these limits the loop calls `pause_writing` exactly if it could not write all at once.
        self._transport.set_write_buffer_limits(high=1, low=0)
        poll = select.poll()
        poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._news = poll.poll

    def pause_writing(self) -> None:
        self._unwritten = True

    def resume_writing(self) -> None:
        self._unwritten = False
        if self._answer is not None and not self._answer.status:
            self.deadline = min(self._clock() + self.timeouts.first_byte, self.timeouts.deadline)

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nobody asked
            self.drop()
            return
        has_begun = answer.status
        try:
            self._parser.feed(data)
        except Malformed:
            self.fail(UpstreamInterrupted("The provider's answer was not valid HTTP."))
            return
        if answer.complete:
            self._end(answer, reusable=self._parser.keep_alive)
        elif has_begun and not answer.chunks:
            pass  # nothing but framing: no reason to wait any longer
        elif self._into is not None and self._waiter is not None and not self._waiter.done():
            self._pour(answer, self._into, self._waiter)
        elif answer.status:
            self._hold_back(answer)
            self._wake()

    def eof_received(self) -> None:
        answer = self._answer
        if answer is not None and answer.status and not self._parser.framed:
            answer.complete = True
            self._end(answer)
        else:
            self._lost()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()
        self._parser.release()

    # Within -----------------------------------------------------------------------------------------------------------

    def _lost(self) -> None:
        answer = self._answer
        unheard = answer is not None and not answer.status and not self._parser.overhead
        if self._reused and self._unwritten and unheard:
            self.fail(Unsent("The provider closed the connection before the request was sent."))
        else:
            self.fail(UpstreamInterrupted("The provider ended the connection before its answer was complete."))

    def _pour(self, answer: Answer, into: Pour, waiter: asyncio.Future[Any]) -> None:
        try:
            wait = into(answer.take())
        except Exception as error:  # noqa: BLE001 - it belongs to whoever waits
            if not waiter.done():
                waiter.set_exception(error)
            self._wake()
            return
        if wait is None:
            self.deadline = self._clock() + self.timeouts.idle
        else:
            self._wake(wait)

    def _hold_back(self, answer: Answer) -> None:
        if len(answer.chunks) > _MAX_PIECES:
            answer.compact()
        if not self.is_paused and answer.size > _HIGH_WATER:
            self.is_paused = True
            self._transport.pause_reading()

    def _end(self, answer: Answer, *, reusable: bool = False) -> None:
        """All of the answer has arrived: the connection is done with it."""
        self._answer = answer.connection = None
        self._wake()
        if reusable and self._pool is not None and not self._unwritten and not self.is_paused:
            self._reused = True
            self._pool.release(self)
        else:
            self.drop()

    def _wake(self, news: object = None) -> None:
        waiter = self._waiter
        self._waiter = self._into = None
        self.deadline = _NEVER
        if waiter is not None and not waiter.done():
            waiter.set_result(news)
