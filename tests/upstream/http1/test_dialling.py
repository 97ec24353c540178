"""How names become connections, and what is said when they do not."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from ai_gateway_mw.errors import (
    ConnectTimeout,
    Overloaded,
    UpstreamInterrupted,
    UpstreamTLSFailed,
    UpstreamUnreachable,
)
from ai_gateway_mw.hosts import HostAddress
from ai_gateway_mw.upstream.http1 import HTTPTransport, Origin, Timeouts
from ai_gateway_mw.upstream.http1.dialling import first_connected
from tests.fake_upstream import closed_port
from tests.upstream.http1.asking import get, until
from tests.upstream.http1.raw_server import RawServer

pytestmark = pytest.mark.anyio

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
SHORT = Timeouts(connect=0.05)

linux = pytest.mark.skipif(sys.platform != "linux", reason="how a full queue of connections looks differs elsewhere")


@contextmanager
def silent_port() -> Iterator[int]:
    """A port where connecting takes forever: its queue of connections is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            yield port


@contextmanager
def listening_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@contextmanager
def resetting_port() -> Iterator[int]:
    """A port where every connection is reset as soon as it is there."""

    def reset() -> None:
        with suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                accepted.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=reset)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def free_descriptor() -> int:
    """The lowest number that is free, which goes up with every descriptor that is left open."""
    with Path(os.devnull).open() as file:
        return file.fileno()


def address(port: int) -> tuple[int, tuple[str, int]]:
    return socket.AF_INET, ("127.0.0.1", port)


async def test_a_name_is_looked_up(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        assert (await get(transport, Origin.of(f"http://localhost:{server.port}"))).body == b"hello"


async def test_a_literal_address_is_read_once_and_a_name_is_looked_up_each_time(
    transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    numeric = socket.getaddrinfo

    def counted(host: str, *rest: Any, **more: Any) -> Any:
        if more.get("flags") == socket.AI_NUMERICHOST:
            asked.append(host)
        return numeric(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", counted)
    last = PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    async with RawServer([last], [last], [last], [last]) as server:
        for host in ("127.0.0.1", "127.0.0.1", "localhost", "localhost"):
            assert (await get(transport, Origin.of(f"http://{host}:{server.port}"))).body == b"hello"
    assert asked == ["127.0.0.1", "localhost", "localhost"]


async def test_a_mapped_name_leads_to_its_address(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        origin = Origin.of("http://models.internal", {"models.internal": HostAddress("127.0.0.1", server.port)})
        assert (await get(transport, origin)).body == b"hello"


@pytest.mark.parametrize(
    "host",
    ["no-such-host.invalid", "a" * 64 + ".invalid", "xn--a.invalid", "0.0.0.0.0"],
    ids=["unknown", "label-too-long", "not-idna", "no-address"],
)
async def test_a_name_that_leads_nowhere_is_unreachable(transport: HTTPTransport, host: str) -> None:
    origin = Origin("http", host, 80, host, host.encode())
    with pytest.raises(UpstreamUnreachable) as failure:
        await get(transport, origin)
    assert failure.value.message == "ERR_NGROK_3800: The provider could not be reached."
    assert failure.value.__cause__ is None
    assert transport.connections == 0


async def test_a_port_that_refuses_is_unreachable(transport: HTTPTransport) -> None:
    with closed_port() as port, pytest.raises(UpstreamUnreachable):
        await get(transport, Origin.of(f"http://127.0.0.1:{port}"))


@linux
async def test_a_port_that_says_nothing_is_a_timeout(transport: HTTPTransport) -> None:
    with silent_port() as port, pytest.raises(ConnectTimeout):
        await get(transport, Origin.of(f"http://127.0.0.1:{port}"), timeouts=SHORT)
    assert transport.connections == 0


@linux
async def test_no_further_sockets_is_our_own_fault(transport: HTTPTransport) -> None:
    """And no reason to think ill of the provider."""
    async with RawServer([PLAIN]) as server:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        highest = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
        fillers = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
            with pytest.raises(OSError, match="Too many open files"):
                while True:
                    fillers.append(socket.socket())
            with pytest.raises(Overloaded):
                await get(transport, server.origin)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for filler in fillers:
                filler.close()
        assert (await get(transport, server.origin)).body == b"hello"


async def test_the_next_address_is_tried_when_one_refuses() -> None:
    with closed_port() as closed, listening_port() as port:
        sock = await first_connected([address(closed), address(closed), address(port)])
        assert sock.getpeername()[1] == port
        sock.close()


@linux
async def test_the_next_address_is_tried_when_one_takes_long() -> None:
    with silent_port() as silent, listening_port() as port:
        sock = await first_connected([address(silent), address(port)])
        assert sock.getpeername()[1] == port
        sock.close()


async def test_when_all_addresses_fail_the_first_failure_counts() -> None:
    with closed_port() as closed, pytest.raises(ConnectionRefusedError):
        await first_connected([address(closed), (socket.AF_INET6, ("::1", closed, 0, 0))])


@linux
async def test_to_be_cancelled_ends_all_tries() -> None:
    tasks = asyncio.all_tasks()
    with silent_port() as silent:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await first_connected([address(silent), address(silent)])
        await until(lambda: asyncio.all_tasks() == tasks)


@pytest.mark.parametrize("words", [b"", b"220 mail.test ESMTP\r\n", PLAIN], ids=["hangs-up", "greets", "answers"])
async def test_a_server_that_does_not_wait_to_be_asked_is_an_error(transport: HTTPTransport, words: bytes) -> None:
    """What it says may come before the request is out, or after it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    origin = Origin.of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    for _ in range(10):
        with suppress(UpstreamUnreachable, UpstreamInterrupted):
            assert (await get(transport, origin)).body == b"hello"
        await until(lambda: not transport.connections)
    server.close()


async def test_a_handshake_that_is_reset_closes_no_descriptor_of_anybody_else(transport: HTTPTransport) -> None:
    """The loop closes a connection that fails at its beginning; its number may be another's by the next moment."""
    with resetting_port() as port:
        for _ in range(10):
            with pytest.raises((UpstreamTLSFailed, UpstreamUnreachable)):
                await get(transport, Origin.of(f"https://127.0.0.1:{port}"))
            ours = os.pipe()
            gc.collect()
            await asyncio.sleep(0)
            for descriptor in ours:
                os.close(descriptor)


async def test_certificates_that_cannot_be_read_leave_no_connection_open(transport: HTTPTransport) -> None:
    def unreadable(*_: Any, **__: Any) -> ssl.SSLContext:
        raise OSError(errno.EMFILE, "Too many open files")

    with pytest.MonkeyPatch.context() as patched, listening_port() as port:
        patched.setattr(httpx, "create_ssl_context", unreadable)
        with pytest.raises(Overloaded):
            await get(transport, Origin.of(f"https://127.0.0.1:{port}"))
        before = free_descriptor()
        for _ in range(3):
            with pytest.raises(Overloaded):
                await get(transport, Origin.of(f"https://127.0.0.1:{port}"))
        assert free_descriptor() == before
