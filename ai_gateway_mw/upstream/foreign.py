"""Any other transport than ours: a user's own (proxies, HTTP/2), or one that tests hand in. Its errors become ours."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import httpx

from ai_gateway_mw.errors import (
    ConnectTimeout,
    Overloaded,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamTLSFailed,
    UpstreamUnreachable,
)
from ai_gateway_mw.headers import Field
from ai_gateway_mw.upstream.http1 import Origin, Pour, Timeouts, UpstreamResponse


async def handled(
    transport: httpx.AsyncBaseTransport,
    method: str,
    origin: Origin,
    target: bytes,
    fields: Sequence[Field],
    content: bytes,
    timeouts: Timeouts,
) -> ForeignAnswer:
    """Have the transport send a request, and wait for its answer to begin. Raises `UpstreamError` or `Overloaded`."""
    limits = {
        "connect": timeouts.connect,
        "read": timeouts.first_byte,
        "write": timeouts.first_byte,
        "pool": timeouts.pool,
    }
    extensions: dict[str, object] = {"timeout": limits}
    if origin.address != origin.host:
        extensions["sni_hostname"] = origin.host
    with _errors_as_ours():  # an address may be too long for httpx, or no address
        url = httpx.URL(scheme=origin.scheme, host=origin.address, port=origin.port, raw_path=target)
    sent = httpx.Request(
        method, url, headers=[(b"host", origin.authority), *fields], content=content, extensions=extensions
    )
    with _errors_as_ours():
        async with asyncio.timeout(timeouts.first_byte):
            return ForeignAnswer(await transport.handle_async_request(sent))


class ForeignAnswer(UpstreamResponse):
    """An httpx response in the shape of our own transport's answers: nothing is known of it that was not awaited."""

    __slots__ = ("_chunks", "_reading", "_response")

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._chunks = _chunks(response)
        self._reading: asyncio.Task[bytes] | None = None  # where somebody waited, and went on before it came
        self.complete = False
        fields = [(name.lower(), value) for name, value in response.headers.raw]
        self.begin(response.status_code, fields, dict(reversed(fields)))

    def take(self) -> bytes:
        return b""

    async def news(self, seconds: float) -> bool:
        if self._reading is None:
            self._reading = asyncio.create_task(self._next())
        done, _ = await asyncio.wait([self._reading], timeout=max(0.0, seconds))
        return bool(done)

    async def read(self) -> bytes:
        reading, self._reading = self._reading, None
        piece = await (reading or self._next())
        self.complete = not piece
        return piece

    async def pour(self, into: Pour) -> None:
        while piece := await self.read():
            wait = into(piece)
            if wait is not None:
                await wait

    async def close(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await self._response.aclose()

    async def _next(self) -> bytes:
        return await anext(self._chunks, b"")


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    with _errors_as_ours():
        async for chunk in response.stream:
            if chunk:
                yield chunk


@contextmanager
def _errors_as_ours() -> Iterator[None]:
    """Foreign errors become ours here, without their text: h11 puts a bad field's value, a key, into its message."""
    try:
        yield
    except httpx.ConnectTimeout:
        raise ConnectTimeout("The provider could not be reached in time.") from None
    except httpx.PoolTimeout:
        raise Overloaded("No connection to the provider was free in time.") from None
    except (httpx.TimeoutException, TimeoutError):
        raise UpstreamTimeout("The provider did not answer in time.") from None
    except httpx.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLError | UpstreamTLSFailed) or "SSL" in type(error.__cause__).__name__:
            raise UpstreamTLSFailed("The provider's certificate was not accepted.") from None
        raise UpstreamUnreachable("The provider could not be reached.") from None
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        raise UpstreamInterrupted("The provider ended the connection before its answer was complete.") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
        raise UpstreamError("The request to the provider failed.") from None
