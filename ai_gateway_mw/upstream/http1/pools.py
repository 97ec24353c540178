"""Pools: what a transport has in one event loop: a pool for each origin, and the sweep over all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ai_gateway_mw.errors import UpstreamInterrupted
from ai_gateway_mw.upstream.http1.dialling import TLS
from ai_gateway_mw.upstream.http1.origin import Origin
from ai_gateway_mw.upstream.http1.pool import Pool, PoolLimits
from ai_gateway_mw.upstream.http1.sweep import Sweep

_REMEMBERED = 60.0  # seconds, for an origin without connections


class Pools(dict[Origin, Pool]):
    """Pools come with the first request to their origin, and go when it is no longer asked."""

    __slots__ = ("_clock", "_limits", "_loop", "_sweep", "_tls")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, limits: PoolLimits, tls: TLS, clock: Callable[[], float]
    ) -> None:
        super().__init__()
        self._loop = loop
        self._limits = limits
        self._tls = tls
        self._clock = clock
        self._sweep = Sweep(loop, clock, self.tidy)

    def __missing__(self, origin: Origin) -> Pool:
        pool = self[origin] = Pool(origin, self._limits, self._sweep, self._tls, self._clock, self._loop)
        return pool

    @property
    def connections(self) -> int:
        return sum(pool.places_taken for pool in self.values())

    def tidy(self, now: float) -> bool:
        """Drop what has been idle for too long, and forget origins that nobody asks for; whether there are others."""
        for origin, pool in list(self.items()):
            pool.tidy(now)
            if pool.vacant(now, _REMEMBERED):
                del self[origin]
        return bool(self)

    def close(self) -> None:
        """End all connections, also those at work."""
        pools = list(self.values())
        self.clear()
        for pool in pools:
            pool.close()
        for connection in list(self._sweep):
            connection.fail(UpstreamInterrupted("The connection to the provider was closed."))
        self._sweep.stop()
