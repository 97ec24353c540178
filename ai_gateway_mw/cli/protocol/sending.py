"""The way to one client: what is written to it, whether it takes that, and how the way ends."""

from __future__ import annotations

import asyncio
import socket
import struct
from math import inf
from typing import Final

from ai_gateway_mw.cli.protocol.limits import Limits
from ai_gateway_mw.cli.protocol.waiters import Waiters, joining, wake

_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Sending:
    """`write` is that of the transport; whoever has much to say waits until `is_clogged` is over."""

    __slots__ = ("_limits", "_loop", "_stuck_at", "_stuck_until", "_transport", "_waiters", "is_clogged", "write")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        transport.set_write_buffer_limits(high=limits.buffer)
        self.write = transport.write
        self.is_clogged = False  # the client does not take what is sent
        self._transport = transport
        self._loop = loop
        self._limits = limits
        self._waiters: Waiters = []
        self._stuck_at, self._stuck_until = 0, inf

    def clog(self) -> None:
        self.is_clogged = True
        self._stuck_at = 0

    def unclog(self) -> None:
        self.is_clogged = False
        wake(self._waiters)

    async def unclogged(self) -> None:
        """Returns when the client has taken most of what was written, or has left."""
        while self.is_clogged:  # no longer, perhaps, by the time that this begins
            await joining(self._waiters, self._loop)

    @property
    def is_behind(self) -> bool:
        """Whether the client has not taken all that was written."""
        return self._transport.get_write_buffer_size() > 0

    def is_stuck(self, now: float) -> bool:
        """Whether the client has taken nothing for too long, as far as those have seen who asked."""
        size = self._transport.get_write_buffer_size()
        if not size:
            return False
        if size != self._stuck_at:
            self._stuck_at, self._stuck_until = size, now + self._limits.unread_time
        return now >= self._stuck_until

    def end(self, *, client_is_sending: bool) -> None:
        """Once all is written. A client that may still be sending is let read what was said before it finds the
        connection reset (RFC 9112 9.6): then only our side ends, and the caller is to see to the rest."""
        if client_is_sending and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def reset(self) -> None:
        """Where the end of a connection is the end of an answer, only a reset says that it is not."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()
