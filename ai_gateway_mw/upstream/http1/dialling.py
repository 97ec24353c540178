"""Dialling: names become addresses, addresses connections, and TLS is verified on them."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from itertools import chain, zip_longest
from typing import Any

import httpx

from ai_gateway_mw.errors import ConnectTimeout, Overloaded, UpstreamTLSFailed, UpstreamUnreachable
from ai_gateway_mw.upstream.http1.connection import Connection
from ai_gateway_mw.upstream.http1.origin import Origin

_STAGGER = 0.25  # seconds; RFC 8305 5
# What is short at our end when one of these comes.
_OUT_OF_RESOURCES = frozenset([errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL])

_Address = tuple[int, Any]  # family, and what `connect` takes


class TLS:
    """The context that certificates are verified with; reading the bundle waits for the first https:// origin."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._given = context

    @cached_property
    def context(self) -> ssl.SSLContext:
        if self._given is not None:
            return self._given
        context = httpx.create_ssl_context(trust_env=False)
        context.set_alpn_protocols(["http/1.1"])
        return context


async def dial(origin: Origin, tls: TLS, make: Callable[[], Connection], patience: float) -> Connection:
    """A new connection, verified. Raises `ConnectTimeout`, `UpstreamTLSFailed`, `UpstreamUnreachable` or
    `Overloaded`, which say nothing of what the operating system or OpenSSL said."""
    try:
        async with asyncio.timeout(patience):
            return await _connection(origin, tls, make)
    except TimeoutError:
        raise ConnectTimeout("The provider could not be reached in time.") from None
    except ssl.SSLCertVerificationError:
        raise UpstreamTLSFailed("The provider's certificate was not accepted.") from None
    except ssl.SSLError:
        raise UpstreamTLSFailed("No TLS connection to the provider could be made.") from None
    except OSError as error:
        if error.errno in _OUT_OF_RESOURCES:
            raise Overloaded("No further connection could be opened.") from None
        raise UpstreamUnreachable("The provider could not be reached.") from None
    except UnicodeError:  # a name that cannot be looked up
        raise UpstreamUnreachable("The provider could not be reached.") from None


async def _connection(origin: Origin, tls: TLS, make: Callable[[], Connection]) -> Connection:
    loop = asyncio.get_running_loop()
    context, name = (tls.context, origin.host) if origin.scheme == "https" else (None, None)
    addresses = await _addresses(origin.address, origin.port)
    sock = await (_connected(addresses[0]) if len(addresses) == 1 else first_connected(addresses))
    try:
        _, connection = await loop.create_connection(make, sock=sock, ssl=context, server_hostname=name)
    except BaseException:
        if isinstance(loop, asyncio.BaseEventLoop):
            sock.close()
        else:  # uvloop closes the descriptor behind the socket's back: its number may be another's by now
            sock.detach()
        raise
    return connection


async def _addresses(host: str, port: int) -> Sequence[_Address]:
    """Where a host may be reached, its families in turns (RFC 8305 4)."""
    try:  # a literal address does not wait behind names that take long to resolve
        return (_literal(host, port) if "%" not in host else _numeric(host, port),)  # interfaces get other numbers
    except socket.gaierror:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    by_family: dict[int, list[_Address]] = {}
    for family, _, _, _, address in found:
        by_family.setdefault(family, []).append((family, address))
    return [address for address in chain.from_iterable(zip_longest(*by_family.values())) if address is not None]


def _numeric(host: str, port: int) -> _Address:
    """The address that a host is. Raises `gaierror` for a name."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return found[0][0], found[0][4]


_literal = lru_cache(maxsize=256)(_numeric)  # a name is not remembered


async def _connected(address: _Address) -> socket.socket:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # uvloop's `sock_connect` waits for the threads that resolve names, whatever the address: other providers would
        # wait behind a name that takes long to resolve.
        failed = sock.connect_ex(address[1])
        if failed == errno.EINPROGRESS:
            await _writable(sock)
            failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, os.strerror(failed))
    except BaseException:
        sock.close()
        raise
    return sock


async def _writable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(sock, _tell, ready)
    try:
        await ready
    finally:
        loop.remove_writer(sock)


def _tell(ready: asyncio.Future[None]) -> None:
    if not ready.done():  # the socket may be reported again, or the wait given up, before the waiter's turn
        ready.set_result(None)


async def first_connected(addresses: Sequence[_Address]) -> socket.socket:
    """Each address is tried as soon as the one before has failed, or has taken long (RFC 8305 5)."""
    untried = deque(addresses)
    tries: list[asyncio.Task[socket.socket]] = []
    winner: asyncio.Task[socket.socket] | None = None
    try:
        while untried or not all(attempt.done() for attempt in tries):
            if untried:
                tries.append(asyncio.create_task(_connected(untried.popleft())))
            running = [attempt for attempt in tries if not attempt.done()]
            await asyncio.wait(running, timeout=_STAGGER if untried else None, return_when=asyncio.FIRST_COMPLETED)
            winner = next((attempt for attempt in tries if _succeeded(attempt)), None)
            if winner is not None:
                return winner.result()
        return tries[0].result()  # which raises, as all of them
    finally:
        for attempt in tries:
            if attempt is not winner:
                attempt.add_done_callback(_close)
                attempt.cancel()


def _succeeded(attempt: asyncio.Task[socket.socket]) -> bool:
    return attempt.done() and not attempt.cancelled() and attempt.exception() is None


def _close(attempt: asyncio.Task[socket.socket]) -> None:
    if _succeeded(attempt):
        attempt.result().close()
