"""Pool: the connections to one origin. The one used last is taken first; who finds none free waits in line."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ai_gateway_mw.errors import Overloaded, UpstreamUnreachable
from ai_gateway_mw.upstream.http1.connection import Connection, Timeouts
from ai_gateway_mw.upstream.http1.dialling import TLS, dial
from ai_gateway_mw.upstream.http1.origin import Origin
from ai_gateway_mw.upstream.http1.sweep import Sweep


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """For each origin, so that one that hangs takes nothing from the others."""

    connections: int = 2500
    idle: int = 256
    keepalive: float = 55.0  # seconds; usual load balancers close an idle connection after 60


class Pool:
    """Counts places: a connection takes one from before it is dialled until it is gone."""

    __slots__ = (
        "_clock",
        "_closed",
        "_idle",
        "_limits",
        "_loop",
        "_make",
        "_origin",
        "_sweep",
        "_taken",
        "_tls",
        "_vacant_since",
        "_waiters",
    )

    def __init__(
        self,
        origin: Origin,
        limits: PoolLimits,
        sweep: Sweep,
        tls: TLS,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._origin = origin
        self._tls = tls
        self._clock = clock
        self._closed = False
        self._taken = 0
        self._vacant_since = clock()
        self._idle: dict[Connection, None] = {}  # the one used last comes last
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._limits = limits
        self._loop = loop
        self._make = partial(Connection, loop, clock, limits.keepalive)
        self._sweep = sweep

    def idle(self) -> Connection | None:
        """A connection that is free."""
        idle = self._idle
        now = self._clock()
        while idle:
            connection, _ = idle.popitem()
            if connection.usable(now):
                self._sweep.watch(connection)
                return connection
            connection.drop()
        return None

    async def connection(self, timeouts: Timeouts) -> Connection:
        """A connection that is free, or a new one; in line, if there are too many. Raises `Overloaded`, or what
        dialling raises."""
        while True:
            if (connection := self.idle()) is not None:
                return connection
            if self._taken < self._limits.connections:
                self._taken += 1
            elif (connection := await self._turn(min(timeouts.pool, timeouts.deadline - self._clock()))) is not None:
                if connection.usable(self._clock()):
                    return connection
                connection.drop()
                continue
            return await self._dialled(timeouts)

    def release(self, connection: Connection) -> None:
        """Take back a connection that has done its work."""
        connection.idle_since = self._clock()
        if self._waiters and self._hand_on(connection):
            return
        self._sweep.discard(connection)
        if self._closed or len(self._idle) >= self._limits.idle:
            connection.drop()
        else:
            self._idle[connection] = None

    def gone(self, connection: Connection) -> None:
        """A connection has ended: its place is free."""
        self._sweep.discard(connection)
        self._idle.pop(connection, None)
        self._vacate()

    def drop_idle(self) -> None:
        while self._idle:
            self._idle.popitem()[0].drop()

    def close(self) -> None:
        """Nobody waits any more, and no connection is kept."""
        self._closed = True
        while self._waiters:
            waiter, _ = self._waiters.popitem()
            if not waiter.done():
                waiter.set_exception(Overloaded("The gateway is closing its connections."))
        self.drop_idle()

    def tidy(self, now: float) -> None:
        """Drop connections that have been idle for too long."""
        while self._idle and not (oldest := next(iter(self._idle))).usable(now):
            oldest.drop()

    def vacant(self, now: float, seconds: float) -> bool:
        """Whether there has been no connection for so long."""
        return not self._taken and now - self._vacant_since > seconds

    @property
    def places_taken(self) -> int:
        return self._taken

    async def _turn(self, patience: float) -> Connection | None:
        """Wait in line for what somebody gives up: a connection, or only its place."""
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters[waiter] = None
        try:
            async with asyncio.timeout(patience):
                return await waiter
        except BaseException as error:
            self._waiters.pop(waiter, None)
            if waiter.done() and not waiter.cancelled() and not waiter.exception():  # our turn came too late
                self._give_up(waiter.result())
            if isinstance(error, TimeoutError):
                raise Overloaded("No connection to the provider was free in time.") from None
            raise

    def _give_up(self, turn: Connection | None) -> None:
        if turn is None:
            self._vacate()
        elif turn.usable(self._clock()):
            self.release(turn)
        else:
            turn.drop()

    async def _dialled(self, timeouts: Timeouts) -> Connection:
        """A new connection in a place that was taken for it, and that is free again if this fails."""
        try:
            patience = min(timeouts.connect, timeouts.deadline - self._clock())
            connection = await dial(self._origin, self._tls, self._make, patience)
            if not connection.join(self):
                raise UpstreamUnreachable("The provider ended the connection at once.")
        except BaseException:
            self._vacate()
            raise
        self._sweep.watch(connection)
        return connection

    def _vacate(self) -> None:
        if not self._hand_on(None):
            self._taken -= 1
            self._vacant_since = self._clock()

    def _hand_on(self, turn: Connection | None) -> bool:
        """Give it to who has waited longest."""
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(turn)
                return True
        return False
