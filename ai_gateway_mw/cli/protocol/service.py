"""What all connections of one server share, and the sweep that keeps their times."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.cli.protocol.connection import Connection
from ai_gateway_mw.cli.protocol.head import Heads
from ai_gateway_mw.cli.protocol.limits import Limits
from ai_gateway_mw.clocks import Seldom

_log = logging.getLogger("ai_gateway_mw.server")
_FULL: Final = (
    "there are %d connections and %d requests, and who asks gets 503 (overloaded): more than %d, half of the files "
    "that this process may open, are not served; let it open more (ulimit -n), or start more workers"
)


class HttpProtocol:
    """Makes the connections of a server; what uvicorn takes as `http`. A copy for another process starts anew."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._service: Service | None = None

    def __call__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> Connection:
        service = self._service
        if service is None or service.state is not server_state:
            loop = _loop or asyncio.get_running_loop()
            service = self._service = Service(config, server_state, app_state, loop, self._limits)
        return Connection(service)

    def __getstate__(self) -> dict[str, Any]:
        return {"_limits": self._limits, "_service": None}


class Service:
    """What connections read of their server. There is one for each server, in its event loop."""

    def __init__(
        self,
        config: uvicorn.Config,
        state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
    ) -> None:
        self.app: ASGIApp = config.loaded_app
        self.state = state
        self.app_state = app_state
        self.loop = loop
        self.limits = limits
        self.idle_time = config.timeout_keep_alive
        self.heads = Heads()
        self._most = config.limit_concurrency  # None: no limit
        self._sweep: asyncio.TimerHandle | None = None
        self._fullness = Seldom()

    @property
    def is_full(self) -> bool:
        """Whether there are as many connections or exchanges as there may be."""
        most = self._most
        return most is not None and (len(self.state.connections) > most or len(self.state.tasks) >= most)

    def tell_full(self) -> None:
        """Log it, at most once a minute."""
        if self._fullness.is_due(self.loop.time()):
            _log.warning(_FULL, len(self.state.connections), len(self.state.tasks), self._most)

    def opened(self, connection: Connection) -> None:
        """There is one more connection: times are kept from now on, until none is left."""
        self.state.connections.add(connection)  # type: ignore[arg-type]
        if self._sweep is None:
            self._sweep = self.loop.call_later(self.limits.sweep, self._look)

    def closed(self, connection: Connection) -> None:
        self.state.connections.discard(connection)

    def _look(self) -> None:
        """One timer for all: most requests come whole, and would only set one to cancel it."""
        now = self.loop.time()
        connections: list[Connection] = list(self.state.connections)  # type: ignore[arg-type]
        for connection in connections:
            if connection.deadline <= now or connection.sending.is_clogged:
                connection.expire(now)
        self._sweep = self.loop.call_later(self.limits.sweep, self._look) if connections else None
