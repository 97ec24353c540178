"""Sweep: the one timer of a transport. It looks at the deadlines of all connections that are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ai_gateway_mw.upstream.http1.connection import Connection

_INTERVAL = 0.1  # seconds: how late a timeout may come


class Sweep:
    """Ends what is overdue. Nothing is scheduled while no connection is busy."""

    __slots__ = ("_busy", "_clock", "_loop", "_scheduled", "_tidy")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], tidy: Callable[[float], None]
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._tidy = tidy  # called with the time at each round
        self._busy: set[Connection] = set()
        self._scheduled: asyncio.TimerHandle | None = None

    def add(self, connection: Connection) -> None:
        self._busy.add(connection)
        if self._scheduled is None:
            self._scheduled = self._loop.call_later(_INTERVAL, self._round)

    def discard(self, connection: Connection) -> None:
        self._busy.discard(connection)

    def stop(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    @property
    def busy(self) -> frozenset[Connection]:
        return frozenset(self._busy)

    def _round(self) -> None:
        now = self._clock()
        for connection in [connection for connection in self._busy if connection.deadline <= now]:
            connection.time_out()
        self._tidy(now)
        self._scheduled = self._loop.call_later(_INTERVAL, self._round) if self._busy else None
