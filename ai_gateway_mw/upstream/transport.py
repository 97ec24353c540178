"""The only module that sends: one request over an `httpx.AsyncBaseTransport`, whose errors become ours."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from ai_gateway_mw.errors import (
    Overloaded,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamTLSFailed,
    UpstreamUnreachable,
)
from ai_gateway_mw.headers import Field
from ai_gateway_mw.hosts import HostAddress


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What goes to one upstream. `url` is absolute and was built from configuration only."""

    method: str
    url: str
    fields: list[Field]
    content: bytes


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect, for the first byte and between two chunks, and for a place in the pool."""

    connect: float = 10.0
    read: float = 180.0
    pool: float = 10.0

    def as_extension(self) -> dict[str, float]:
        return {"connect": self.connect, "read": self.read, "write": self.read, "pool": self.pool}


class ConnectTimeout(UpstreamUnreachable):
    """No connection in time: nothing was sent, and this host's other keys would meet the same."""

    status, code, kind, anthropic_kind = 504, "upstream_timeout", "timeout_error", "timeout_error"


class UpstreamResponse:
    """An answer whose head has arrived; iterate it for the raw body, once, and `aclose` it on every path."""

    __slots__ = ("_chunks", "_first", "_response", "fields", "on_break", "on_close", "status")

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.on_close: Callable[[], None] | None = None
        self.on_break: Callable[[UpstreamError], None] | None = None  # told of a body that breaks off on its way
        self._chunks: AsyncIterator[bytes] | None = None
        self._first: bytes | None = None
        self.status = response.status_code
        self.fields: list[Field] = [(name.lower(), value) for name, value in response.headers.raw]

    def field(self, name: bytes) -> bytes:
        return next((value for key, value in self.fields if key == name), b"")

    @property
    def is_event_stream(self) -> bool:
        return self.field(b"content-type").partition(b";")[0].strip().lower() == b"text/event-stream"

    async def first_chunk(self) -> bytes:
        """The first bytes of the body, which iteration will hand out again; empty for an empty body."""
        if self._first is None:
            self._first = await anext(self._raw(), b"")
        return self._first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._first is not None:
            yield self._first
            if not self._first:
                return
        try:
            async for chunk in self._raw():
                yield chunk
        except UpstreamError as error:
            if self.on_break is not None:
                self.on_break(error)
            raise

    async def buffered(self, limit: int, enough: Callable[[bytes], bool] = lambda _: False) -> bytes:
        """The body up to about `limit` bytes, or until it is `enough`; iteration will hand it out again, also where
        it broke off meanwhile."""
        body = await self.first_chunk()
        while body and len(body) < limit and not enough(body) and (chunk := await anext(self._raw(), b"")):
            body = self._first = body + chunk
        return body

    @property
    def collected(self) -> bytes:
        """What has been read so far to look at it."""
        return self._first or b""

    async def aclose(self) -> None:
        """Let go of the connection; harmless when repeated."""
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
        await self._response.aclose()

    def _raw(self) -> AsyncIterator[bytes]:
        if self._chunks is None:
            self._chunks = _chunks(self._response)
        return self._chunks


async def send(
    transport: httpx.AsyncBaseTransport, request: UpstreamRequest, timeouts: Timeouts, hosts: Mapping[str, HostAddress]
) -> UpstreamResponse:
    """Send one request and wait for the head of its answer. Raises `UpstreamError` or `Overloaded`."""
    with _errors_as_ours():  # an address may be too long for httpx, or no address
        url = httpx.URL(request.url)
    extensions: dict[str, object] = {"timeout": timeouts.as_extension()}
    fields = [(b"host", url.netloc), *request.fields]
    mapped = hosts.get(url.host)
    if mapped:
        extensions["sni_hostname"] = url.host
        url = url.copy_with(host=mapped.address, port=mapped.port or url.port)
    sent = httpx.Request(request.method, url, headers=fields, content=request.content, extensions=extensions)
    with _errors_as_ours():
        return UpstreamResponse(await transport.handle_async_request(sent))


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
    except httpx.TimeoutException:
        raise UpstreamTimeout("The provider did not answer in time.") from None
    except httpx.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLError) or "SSL" in type(error.__cause__).__name__:
            raise UpstreamTLSFailed("The provider's certificate was not accepted.") from None
        raise UpstreamUnreachable("The provider could not be reached.") from None
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        raise UpstreamInterrupted("The provider ended the connection before its answer was complete.") from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
        raise UpstreamError("The request to the provider failed.") from None
