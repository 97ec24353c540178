"""A request is sent again in one case only: an idle connection turned out to be closed, and the upstream cannot have
had all of it. What may have been read, and paid for, is not sent twice."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable

import pytest

from ai_gateway_mw.errors import UpstreamInterrupted
from ai_gateway_mw.upstream.http1 import HTTPTransport, Origin
from tests.upstream.http1.asking import ask, body_of, get, until

pytestmark = pytest.mark.anyio

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
LARGE = b"x" * 32_000_000


class ByHand:
    """A server whose every act is a call, so that it can act while the client's event loop stands still."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.sockets: list[socket.socket] = []

    @property
    def origin(self) -> Origin:
        return Origin.of(f"http://127.0.0.1:{self.listener.getsockname()[1]}")

    async def accepted(self) -> socket.socket:
        sock, _ = await asyncio.wait_for(asyncio.get_running_loop().sock_accept(self.listener), 5)
        self.sockets.append(sock)
        return sock

    async def answered(self, sock: socket.socket) -> bytes:
        """Read what has come of a request, and answer it."""
        loop = asyncio.get_running_loop()
        request = await loop.sock_recv(sock, 65536)
        await loop.sock_sendall(sock, PLAIN)
        return request

    def close(self) -> None:
        for sock in (self.listener, *self.sockets):
            sock.close()


@pytest.fixture
async def server() -> AsyncIterator[ByHand]:
    made = ByHand()
    yield made
    made.close()


async def connected(transport: HTTPTransport, server: ByHand) -> socket.socket:
    """An idle connection, after one good answer: its other end."""
    task = asyncio.create_task(get(transport, server.origin))
    sock = await server.accepted()
    await server.answered(sock)
    assert (await task).body == b"hello"
    return sock


def fin(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)


def rst(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


ENDS = pytest.mark.parametrize("end", [fin, rst])
End = Callable[[socket.socket], None]


@ENDS
async def test_an_end_that_the_event_loop_has_seen_costs_nothing(
    transport: HTTPTransport, server: ByHand, end: End
) -> None:
    sock = await connected(transport, server)
    end(sock)
    await until(lambda: not transport.connections)
    await connected(transport, server)


@ENDS
async def test_an_end_that_the_event_loop_has_not_seen_costs_nothing(
    transport: HTTPTransport, server: ByHand, end: End
) -> None:
    sock = await connected(transport, server)
    end(sock)  # and no turn of the event loop before the next request
    await connected(transport, server)


async def test_a_surplus_that_the_event_loop_has_not_seen_is_no_answer(
    transport: HTTPTransport, server: ByHand
) -> None:
    sock = await connected(transport, server)
    sock.send(PLAIN.replace(b"hello", b"evil!"))
    await connected(transport, server)


@ENDS
async def test_a_request_that_was_written_in_part_is_sent_again(
    transport: HTTPTransport, server: ByHand, end: End
) -> None:
    sock = await connected(transport, server)
    task = asyncio.create_task(ask(transport, server.origin, content=LARGE))
    await asyncio.sleep(0)
    end(sock)
    again = await server.accepted()
    await server.answered(again)
    assert await body_of(await task) == b"hello"


@ENDS
async def test_a_request_that_was_read_is_not_sent_again(transport: HTTPTransport, server: ByHand, end: End) -> None:
    sock = await connected(transport, server)
    task = asyncio.create_task(ask(transport, server.origin))
    await asyncio.get_running_loop().sock_recv(sock, 65536)
    end(sock)
    with pytest.raises(UpstreamInterrupted):
        await task


@ENDS
async def test_a_request_that_an_answer_has_begun_to_is_not_sent_again(
    transport: HTTPTransport, server: ByHand, end: End
) -> None:
    sock = await connected(transport, server)
    task = asyncio.create_task(ask(transport, server.origin, content=LARGE))
    await asyncio.get_running_loop().sock_recv(sock, 65536)
    await asyncio.get_running_loop().sock_sendall(sock, b"HTTP/1.1 100 Continue\r\n\r\n")
    for _ in range(10):
        await asyncio.sleep(0.001)
    end(sock)
    with pytest.raises(UpstreamInterrupted):
        await task


@ENDS
async def test_a_new_connection_that_ends_is_not_tried_again(
    transport: HTTPTransport, server: ByHand, end: End
) -> None:
    task = asyncio.create_task(ask(transport, server.origin, content=LARGE))
    sock = await server.accepted()
    await asyncio.get_running_loop().sock_recv(sock, 65536)
    end(sock)
    with pytest.raises(UpstreamInterrupted):
        await task


@ENDS
async def test_it_is_sent_again_once(transport: HTTPTransport, server: ByHand, end: End) -> None:
    """And then on a connection that has not been idle with the first."""
    idle = [asyncio.create_task(get(transport, server.origin)) for _ in range(2)]
    socks = [await server.accepted(), await server.accepted()]
    for sock in socks:
        await server.answered(sock)
    await asyncio.gather(*idle)
    task = asyncio.create_task(ask(transport, server.origin, content=LARGE))
    await asyncio.sleep(0)
    for sock in socks:
        end(sock)
    fresh = await server.accepted()
    await asyncio.get_running_loop().sock_recv(fresh, 65536)
    end(fresh)
    with pytest.raises(UpstreamInterrupted):
        await task
    assert transport.connections == 0
