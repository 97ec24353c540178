"""HTTP/1.1 by hand: reads requests strictly, and writes a `Reply` with whatever fault it asks for."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Gate:
    """Holds a reply's pieces back until the test lets them pass, from whatever thread."""

    def __init__(self) -> None:
        self._permits = 0
        self._lock = threading.Lock()
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def release(self, pieces: int = 1) -> None:
        with self._lock:
            self._permits += pieces
            if self._waiting is not None:
                loop, event = self._waiting
                loop.call_soon_threadsafe(event.set)

    async def passed(self) -> None:
        event = asyncio.Event()
        while True:
            with self._lock:
                if self._permits:
                    self._permits -= 1
                    self._waiting = None
                    return
                event.clear()
                self._waiting = asyncio.get_running_loop(), event
            await event.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes over the wire. A *piece* is one write; in a stream one piece is one event."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[bytes, ...] = ()
    framing: Literal["length", "chunked", "close"] = "length"
    delay: float = 0.0  # seconds before the head
    gap: float = 0.0  # seconds before every piece but the first
    gate: Gate | None = None  # asked before every piece
    cut_after: int | None = None  # the connection ends after so many pieces
    cut_at: int | None = None  # the connection ends after so many bytes of the body
    stall_after: int | None = None  # after so many pieces nothing more comes
    reset: bool = False  # a cut is a reset (RST), not a close (FIN)
    declared_length: int | None = None  # a Content-Length that is wrong
    surplus: bytes = b""  # what comes after the end of the response
    informational: tuple[int, ...] = ()  # 1xx responses that come first
    no_head: bool = False  # the connection ends, or stalls, before the head
    raw: bytes | None = None  # written in place of everything else

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


class Cut(Exception):
    """The connection ends here."""


class BadRequest(Exception):
    """The client broke the rules of HTTP/1.1."""


class Source:
    """What the client sends, with a look ahead."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._buffer = bytearray()

    async def more(self) -> bool:
        """Wait for further bytes; False when the client is gone."""
        try:
            data = await self._reader.read(65_536)
        except ConnectionError:
            return False
        self._buffer += data
        return bool(data)

    async def until(self, separator: bytes) -> bytes:
        while (end := self._buffer.find(separator)) < 0:
            if not await self.more():
                raise EOFError
        return self._take(end + len(separator))[:end]

    async def exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not await self.more():
                raise EOFError
        return self._take(size)

    def _take(self, size: int) -> bytes:
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


async def read_head(source: Source) -> tuple[str, str, list[tuple[bytes, bytes]]]:
    """Method, target and fields. Raises `EOFError` where the client closes instead, `BadRequest` where it is wrong."""
    lines = (await source.until(b"\r\n\r\n")).split(b"\r\n")
    match lines[0].split(b" "):
        case [method, target, b"HTTP/1.1"] if method and target:
            return method.decode("latin-1"), target.decode("latin-1"), [_field(line) for line in lines[1:]]
    raise BadRequest(f"request line {lines[0]!r}")


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name or not TOKEN.issuperset(name) or b"\n" in value or b"\r" in value:
        raise BadRequest(f"field line {line!r}")
    return name, value.strip(b" \t")


async def read_body(source: Source, fields: list[tuple[bytes, bytes]]) -> bytes:
    def values(name: bytes) -> list[bytes]:
        return [value for found, value in fields if found.lower() == name]

    lengths, codings = values(b"content-length"), values(b"transfer-encoding")
    if len(values(b"host")) != 1:
        raise BadRequest("not exactly one Host")
    if len(lengths) + len(codings) > 1:  # RFC 9112 6.3: the way to smuggle a request
        raise BadRequest(f"lengths {lengths} beside codings {codings}")
    if codings:
        return b"".join([chunk async for chunk in _chunks(source)])
    return await source.exactly(int(lengths[0])) if lengths else b""


async def _chunks(source: Source) -> AsyncIterator[bytes]:
    while size := int(await source.until(b"\r\n"), 16):
        yield await source.exactly(size)
        await source.until(b"\r\n")
    await source.until(b"\r\n")


async def write_reply(writer: asyncio.StreamWriter, reply: Reply) -> None:
    """Write all of it. Raises `Cut` where the connection shall end."""
    await asyncio.sleep(reply.delay)
    if reply.no_head:
        await _stop(reply)
    if reply.raw is not None:
        writer.write(reply.raw)
        await writer.drain()
        raise Cut
    writer.write(_head(reply))
    await writer.drain()
    for number, piece in enumerate(_cut_pieces(reply)):
        if number in (reply.cut_after, reply.stall_after):
            await _stop(reply)
        if number:
            await asyncio.sleep(reply.gap)
        if reply.gate is not None:
            await reply.gate.passed()
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.framing == "chunked" and piece else piece)
        await writer.drain()
    if reply.cut_at is not None or reply.cut_after is not None:
        raise Cut
    if reply.stall_after is not None:
        await _stop(reply)
    writer.write((b"0\r\n\r\n" if reply.framing == "chunked" else b"") + reply.surplus)
    await writer.drain()
    if reply.framing == "close" or (reply.declared_length or 0) > len(reply.body):
        raise Cut


async def _stop(reply: Reply) -> None:
    if reply.stall_after is not None:
        await asyncio.Event().wait()  # until the client has had enough
    raise Cut


def _cut_pieces(reply: Reply) -> Iterator[bytes]:
    left = len(reply.body) if reply.cut_at is None else reply.cut_at
    for piece in reply.pieces:
        if left <= 0:
            return
        yield piece[:left]
        left -= len(piece)


def _head(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {status} \r\n\r\n" for status in reply.informational]
    lines.append(f"HTTP/1.1 {reply.status} {_phrase(reply.status)}\r\n")
    lines += [f"{name}: {value}\r\n" for name, value in reply.headers]
    if reply.framing == "chunked":
        lines.append("Transfer-Encoding: chunked\r\n")
    elif reply.framing == "length":
        length = len(reply.body) if reply.declared_length is None else reply.declared_length
        lines.append(f"Content-Length: {length}\r\n")
    else:
        lines.append("Connection: close\r\n")
    return "".join([*lines, "\r\n"]).encode("latin-1")


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown"


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection with RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
