"""A server that says exactly the bytes it is told to: it reads one request, plays a script, and reads the next.

    async with RawServer([b"HTTP/1.1 200 OK\\r\\n", b"content-length: 0\\r\\n\\r\\n"], [RST]) as server:
        ...                                           # the first request gets the first script, all later ones the last

A script is a list of bytes and of what to do between them. One piece is one `send`, and a moment passes after it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Self

from ai_gateway_mw.upstream.http1 import Origin


class Do(Enum):
    """What a script may ask for besides sending bytes."""

    FIN = "end the connection"
    RST = "tear the connection down"
    HANG = "say nothing more, and keep the connection"


FIN, RST, HANG = Do
Script = Sequence[bytes | Do]
MOMENT = 0.002  # in which what was sent arrives on its own


@dataclass(eq=False)
class Peer:
    """One connection as the server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[bytes] = field(default_factory=list)

    def socket(self) -> socket.socket:
        """What lies below it, to be closed by the caller."""
        return socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno()))


class RawServer:
    """Counts connections and keeps requests; `answer` may choose the script by the request instead."""

    def __init__(
        self,
        *scripts: Script,
        answer: Callable[[bytes], Script] | None = None,
        tls: ssl.SSLContext | None = None,
        reads: bool = True,
    ) -> None:
        self._scripts = list(scripts)
        self._answer = answer or self._next_script
        self._tls = tls
        self._reads = reads  # whether requests are read at all
        self.peers: list[Peer] = []
        self._open: set[asyncio.Task[None]] = set()
        self._change = asyncio.Event()

    @property
    def origin(self) -> Origin:
        return Origin.of(self.url)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self.peers)

    @property
    def open(self) -> int:
        return len(self._open)

    @property
    def requests(self) -> list[bytes]:
        return [request for peer in self.peers for request in peer.requests]

    async def until(self, condition: Callable[[Self], bool]) -> None:
        """Wait for something to happen here."""
        async with asyncio.timeout(5):
            while not condition(self):
                self._change.clear()
                await self._change.wait()

    async def asked(self, times: int) -> None:
        await self.until(lambda server: len(server.requests) >= times)

    async def left_alone(self) -> None:
        """Wait until nobody is connected."""
        await self.until(lambda server: not server.open)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls, backlog=1000)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await asyncio.sleep(0)

    def _next_script(self, request: bytes) -> Script:
        return self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self._change.set()
        try:
            await self._converse(peer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, as some tests want it, or the test is over
        finally:
            writer.transport.abort()
            self._open.discard(task)
            self._change.set()

    async def _converse(self, peer: Peer) -> None:
        if not self._reads:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()
        while True:
            request = await _request(peer.reader)
            peer.requests.append(request)
            self._change.set()
            await self._play(peer, self._answer(request))

    async def _play(self, peer: Peer, script: Script) -> None:
        for number, piece in enumerate(script):
            if isinstance(piece, bytes):
                if peer.writer.is_closing():  # which uvloop takes for a mistake
                    raise ConnectionError
                peer.writer.write(piece)
                await peer.writer.drain()
                if number + 1 < len(script):
                    await asyncio.sleep(MOMENT)
            elif piece is HANG:
                await peer.reader.read()
                raise ConnectionError
            elif piece is RST:
                with peer.socket() as sock:  # one that does not linger closes with RST
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise ConnectionError
            else:
                peer.writer.close()
                await peer.writer.wait_closed()
                raise ConnectionError


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    return head + await reader.readexactly(length)
