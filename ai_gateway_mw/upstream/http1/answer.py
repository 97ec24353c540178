"""Answer: the head of a response and as much of its body as has arrived; raw bytes, nothing decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_gateway_mw.errors import UpstreamError, UpstreamInterrupted

if TYPE_CHECKING:
    from ai_gateway_mw.upstream.http1.connection import Connection


class Answer:
    """What came back for one request. Read it to its end or `close` it.

    Its connection fills it from outside, and lets go of it as soon as all has arrived: a complete answer holds bytes
    only.
    """

    __slots__ = ("_chunks", "complete", "connection", "error", "fields", "size", "status", "version")

    def __init__(self, connection: Connection) -> None:
        self.connection: Connection | None = connection  # while more may come
        self.status = 0
        self.version = ""
        self.fields: list[tuple[bytes, bytes]] = []  # names in lower case
        self.complete = False
        self.error: UpstreamError | None = None  # why no more will come
        self._chunks: list[bytes] = []
        self.size = 0  # of what has arrived and was not taken

    def add(self, data: bytes) -> None:
        """Takes in some of the body."""
        self._chunks.append(data)
        self.size += len(data)

    def take(self) -> bytes:
        """What of the body has arrived and was not taken yet; empty if nothing. Never waits."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.size = 0
        if self.connection is not None:
            self.connection.resume()
        return data

    async def read(self) -> bytes:
        """Some of the body, waited for; empty at its end. Raises `UpstreamInterrupted` or `UpstreamTimeout`, though
        not before what had arrived was handed out."""
        while not self._chunks:
            if self.complete:
                return b""
            if self.connection is None:
                raise self.error or UpstreamInterrupted("The answer was closed.")
            await self.connection.arrival(self.connection.timeouts.idle)
        return self.take()

    async def news(self, seconds: float) -> bool:
        """Whether some of the body, or its end, was there within so many seconds. It stays to be read."""
        if self._chunks or self.connection is None:
            return True
        return await self.connection.news(seconds)

    def close(self) -> None:
        """Let go of it, read or not; harmless when repeated."""
        self._chunks.clear()
        if self.connection is not None:
            self.connection.fail(UpstreamInterrupted("The answer was closed."))

    def compact(self) -> None:
        """Many small pieces become one: each costs more than its bytes."""
        self._chunks[:] = [b"".join(self._chunks)]

    @property
    def pieces(self) -> int:
        return len(self._chunks)
