"""A connection without a network: what is fed to it is one packet, what it writes is kept, time is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import uvicorn
from uvicorn.server import ServerState

from ai_gateway_mw.cli.protocol import Limits
from ai_gateway_mw.cli.protocol.connection import Connection
from ai_gateway_mw.cli.protocol.service import Service


class HandMovedLoop:
    """The running loop, but for its clock and its timers."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timers: list[tuple[float, Callable[[], object]]] = []
        self.now = 1000.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[[], object]) -> None:
        self._timers.append((self.now + delay, call))

    async def passes(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timers and self._timers[0][0] <= until:
            self.now, call = self._timers.pop(0)
            call()
            await turns()
        self.now = until


class Kept(asyncio.Transport):
    """Keeps what is written; `waiting` of its bytes have not been taken by the client."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.end = ""  # how it did: "half-closed", "closed", "cut"
        self.waiting = 0
        self.is_reading_paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 2)}.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: Any) -> None:
        assert not self.end, "written after the end"
        self.writes.append(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        assert not self.end
        self.end = "half-closed"

    def close(self) -> None:
        self.end = "closed"

    def abort(self) -> None:
        self.end = "cut"

    def pause_reading(self) -> None:
        assert not self.is_reading_paused
        assert self.end in ("", "half-closed")
        self.is_reading_paused = True

    def resume_reading(self) -> None:
        assert self.is_reading_paused
        self.is_reading_paused = False


class Wire:
    """async with Wire(app) as wire:
    await wire.hear(b"GET / HTTP/1.1 ...")
    assert wire.said == b"HTTP/1.1 200 OK ..."

    Afterwards nothing may be left of it.
    """

    def __init__(self, app: Any, limits: Limits | None = None, **config: Any) -> None:
        self.config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", proxy_headers=False, **config)
        self.limits = limits or Limits()
        self.transport = Kept()
        self.state = ServerState()

    @property
    def said(self) -> bytes:
        return b"".join(self.transport.writes)

    @property
    def end(self) -> str:
        return self.transport.end

    async def hear(self, *packets: bytes) -> None:
        for packet in packets:
            self.connection.data_received(packet)
            await turns()

    async def lose(self, error: Exception | None = None) -> None:
        """The connection is gone; whatever ran for it must end."""
        if self._is_open:
            self._is_open = False
            self.connection.connection_lost(error)
            await turns(20)

    async def __aenter__(self) -> Self:
        self.config.load()
        self.loop = HandMovedLoop()
        service = Service(self.config, self.state, {}, self.loop, self.limits)  # type: ignore[arg-type]
        self.connection = Connection(service)
        self.connection.connection_made(self.transport)
        self._is_open = True
        return self

    async def __aexit__(self, kind: object, *failure: object) -> None:
        await self.lose()
        if kind is None:
            assert not self.state.tasks
            assert not self.state.connections


async def turns(number: int = 5) -> None:
    """Let the event loop go round."""
    for _ in range(number):
        await asyncio.sleep(0)
