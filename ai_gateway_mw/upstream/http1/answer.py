"""Answer: the head of a response and as much of its body as has arrived; raw bytes, nothing decoded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from ai_gateway_mw.errors import UpstreamError, UpstreamInterrupted
from ai_gateway_mw.upstream.http1.response import Pour, UpstreamResponse

if TYPE_CHECKING:
    from ai_gateway_mw.upstream.http1.connection import Connection

TOO_LATE: Final = object()


class Answer(UpstreamResponse):
    """What came back for one request. Read it to its end or `close` it.

    Its connection fills it from outside, and lets go of it as soon as all has arrived: a complete answer holds bytes
    only.
    """

    __slots__ = ("chunks", "connection", "error", "version")

    def __init__(self, connection: Connection) -> None:
        self.connection: Connection | None = connection  # while more may come
        self.status = 0  # until its head is here
        self.version = ""
        self.complete = False
        self.error: UpstreamError | None = None  # why no more will come
        self.chunks: list[bytes] = []  # of the body: what has arrived and was not taken

    @property
    def size(self) -> int:
        """How much of the body has arrived and was not taken."""
        return sum(map(len, self.chunks))

    def take(self) -> bytes:
        chunks = self.chunks
        if not chunks:
            return b""
        if len(chunks) == 1:
            data = chunks.pop()
        else:
            data = b"".join(chunks)
            chunks.clear()
        if self.connection is not None and self.connection.is_paused:
            self.connection.resume()
        return data

    async def read(self) -> bytes:
        """Some of the body, waited for; empty at its end. Raises `UpstreamInterrupted` or `UpstreamTimeout`, though
        not before what had arrived was handed out."""
        while not self.chunks:
            connection = self.connection
            if connection is None:
                self._check_end()
                return b""
            try:
                await connection.arrival(connection.timeouts.idle)
            except asyncio.CancelledError:
                self._give_up()
                raise
        return self.take()

    async def pour(self, into: Pour) -> None:
        """Hand all of the body to `into`, each piece when it arrives and before the event loop's next turn; what it
        gives back is awaited before the next piece. Raises as `read` does, and what `into` raises."""
        while True:
            if self.chunks:
                wait = into(self.take())
            elif (connection := self.connection) is not None:
                waiter = connection.poured(into)
                try:
                    wait = await waiter
                except asyncio.CancelledError:
                    self._give_up()
                    await _what_was_begun(waiter)
                    raise
            else:
                self._check_end()
                return
            if wait is not None:
                await wait

    async def news(self, seconds: float) -> bool:
        """Whether some of the body, or its end, was there within so many seconds. It stays to be read."""
        connection = self.connection
        if self.chunks or connection is None:
            return True
        if seconds <= 0:
            return False
        try:
            return await connection.arrival(seconds, ends=False) is not TOO_LATE
        except asyncio.CancelledError:
            self._give_up()
            raise

    def close(self) -> None:
        """Let go of it, read or not; harmless when repeated."""
        self.chunks.clear()
        if self.connection is not None:
            self.connection.fail(UpstreamInterrupted("The answer was closed."))
        self.error = None  # one that was raised knows its frames, and they know this

    def _check_end(self) -> None:
        """Raise, unless all has arrived: no more will come."""
        if not self.complete:
            raise self.error or UpstreamInterrupted("The answer was closed.")

    def _give_up(self) -> None:
        """End the connection, unless the answer is complete by now: it may be another's already."""
        if self.connection is not None:
            self.connection.give_up()

    def compact(self) -> None:
        """Many small pieces become one: each costs more than its bytes."""
        self.chunks[:] = [b"".join(self.chunks)]


async def _what_was_begun(waiter: asyncio.Future[Any]) -> None:
    """A piece that was handed over in the very moment in which its reader was cancelled counts as sent: so it is."""
    if not waiter.done() or waiter.cancelled() or waiter.exception() is not None:
        return
    if (wait := waiter.result()) is not None:
        await wait
