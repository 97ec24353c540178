"""HTTPTransport: a request out, the answer in. Its connections belong to the event loop that they were opened in."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable

import httpx

from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.upstream.http1.answer import Answer
from ai_gateway_mw.upstream.http1.as_httpx import as_httpx, prepared, response_of
from ai_gateway_mw.upstream.http1.connection import Timeouts, Unsent
from ai_gateway_mw.upstream.http1.dialling import TLS
from ai_gateway_mw.upstream.http1.origin import Origin
from ai_gateway_mw.upstream.http1.pool import PoolLimits
from ai_gateway_mw.upstream.http1.pools import Pools


class HTTPTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 to any origin. It knows no proxies, no cookies, no redirects, and nothing of the environment.

    `tls` is what to verify with in place of the certificates that come with httpx; it should offer ALPN `http/1.1`.
    """

    def __init__(
        self,
        limits: PoolLimits | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits or PoolLimits()
        self._tls = TLS(tls)
        self._clock = clock
        self._pools: dict[asyncio.AbstractEventLoop, Pools] = {}

    async def exchange(self, origin: Origin, head: bytes, content: bytes, timeouts: Timeouts) -> Answer:
        """Send a request and wait for the head of its answer. `head` is all from the request line to the blank line.

        Raises `ConnectTimeout`, `UpstreamUnreachable`, `UpstreamTLSFailed`, `UpstreamTimeout`, `UpstreamInterrupted`
        or `Overloaded`.
        """
        pools = self._pools.get(asyncio.get_running_loop())
        pool = (self._opened() if pools is None else pools)[origin]
        repeats = False
        while True:
            connection = pool.idle() or await pool.connection(timeouts)
            answer = connection.send(head, content, timeouts)
            try:
                await connection.arrival(timeouts.first_byte, timeouts.deadline)
            except asyncio.CancelledError:
                answer.close()
                raise
            if answer.status:
                return answer
            assert answer.error is not None
            if repeats or not isinstance(answer.error, Unsent):
                raise answer.error
            repeats = True
            pool.drop_idle()  # those are no younger, and no better

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The same for users of httpx: in its words, and with its exceptions."""
        sent = await prepared(request)
        try:
            return response_of(await self.exchange(*sent))
        except GatewayError as error:
            raise as_httpx(error) from error

    @property
    def connections(self) -> int:
        """How many are open, or being opened, in this event loop."""
        pools = self._pools.get(asyncio.get_running_loop())
        return pools.connections if pools is not None else 0

    async def aclose(self) -> None:
        """End all connections. The transport may be used again."""
        here = asyncio.get_running_loop()
        for loop, pools in list(self._pools.items()):
            if loop is here:
                pools.close()
            elif not loop.is_closed():
                loop.call_soon_threadsafe(pools.close)
        self._pools.clear()
        await asyncio.sleep(0)  # the loop closes the sockets in its next round

    def _opened(self) -> Pools:
        """Those of this event loop, which has had none so far."""
        loop = asyncio.get_running_loop()
        self._pools = {other: kept for other, kept in self._pools.items() if not other.is_closed()}
        pools = self._pools[loop] = Pools(loop, self._limits, self._tls, self._clock)
        return pools
