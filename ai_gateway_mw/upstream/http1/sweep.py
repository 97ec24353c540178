"""Sweep: the one timer of a transport. It looks at the deadlines of all connections that are waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ai_gateway_mw.upstream.http1.connection import Connection

_INTERVAL = 0.1  # seconds: how late a timeout may come
_LEISURE = 5.0  # seconds: how late an idle connection may be closed


class Sweep(set["Connection"]):
    """The connections that are busy. Ends those that are overdue; while there are none it takes its time, and with no
    connection at all, nothing is scheduled."""

    __slots__ = ("_clock", "_is_at_leisure", "_loop", "_scheduled", "_tidy")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], tidy: Callable[[float], bool]
    ) -> None:
        super().__init__()
        self._loop = loop
        self._clock = clock
        self._tidy = tidy  # called with the time at each round; says whether anything is left to tidy
        self._scheduled: asyncio.TimerHandle | None = None
        self._is_at_leisure = False

    def watch(self, connection: Connection) -> None:
        """Have it ended when it is overdue, until it is discarded. `add` alone would see to no round."""
        self.add(connection)
        if self._scheduled is None or self._is_at_leisure:
            self._schedule(_INTERVAL)

    def stop(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None

    def _round(self) -> None:
        self._scheduled = None
        now = self._clock()
        for connection in [connection for connection in self if connection.deadline <= now]:
            connection.time_out()
        left = self._tidy(now)
        if self or left:
            self._schedule(_INTERVAL if self else _LEISURE)

    def _schedule(self, seconds: float) -> None:
        self.stop()
        self._is_at_leisure = seconds == _LEISURE
        self._scheduled = self._loop.call_later(seconds, self._round)
