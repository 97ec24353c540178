"""The transport as httpx sees it: its requests become bytes, and our answers and errors become its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx

from ai_gateway_mw.errors import (
    ConnectTimeout,
    GatewayError,
    Overloaded,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamTLSFailed,
    UpstreamUnreachable,
)
from ai_gateway_mw.upstream.http1.answer import Answer
from ai_gateway_mw.upstream.http1.connection import Timeouts
from ai_gateway_mw.upstream.http1.origin import Origin

_NO_LIMIT = 1e6  # seconds
_TOKEN = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_TARGET = re.compile(rb"[!-~]+")
_VALUE = re.compile(rb"[\t -~\x80-\xff]*")  # RFC 9110 5.5
_LENGTHS = frozenset([b"content-length", b"transfer-encoding"])

# The first that fits is what the error is called in httpx.
_NAMES: tuple[tuple[type[GatewayError], type[httpx.TransportError]], ...] = (
    (ConnectTimeout, httpx.ConnectTimeout),
    (UpstreamUnreachable, httpx.ConnectError),
    (UpstreamTLSFailed, httpx.ConnectError),
    (UpstreamTimeout, httpx.ReadTimeout),
    (UpstreamInterrupted, httpx.RemoteProtocolError),
    (Overloaded, httpx.PoolTimeout),
)


async def prepared(request: httpx.Request) -> tuple[Origin, bytes, bytes, Timeouts]:
    """What `exchange` takes. A body that comes in pieces is read first, and goes out in one."""
    origin = _origin(request)
    assert isinstance(request.stream, httpx.AsyncByteStream)
    content = b"".join([piece async for piece in request.stream])
    return origin, _head(request, content), content, _timeouts(request)


def response_of(answer: Answer) -> httpx.Response:
    version = b"HTTP/" + answer.version.encode("ascii")
    return httpx.Response(
        answer.status, headers=answer.fields, stream=_Body(answer), extensions={"http_version": version}
    )


def as_httpx(error: GatewayError) -> httpx.TransportError:
    """The exception of httpx that says the same."""
    kind = next((name for ours, name in _NAMES if isinstance(error, ours)), httpx.TransportError)
    return kind(error.message)


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while data := await self._answer.read():
                yield data
        except UpstreamError as error:
            raise as_httpx(error) from error

    async def aclose(self) -> None:
        self._answer.close()


def _origin(request: httpx.Request) -> Origin:
    try:
        origin = Origin.of(request.url)
    except ValueError as error:
        raise httpx.UnsupportedProtocol(str(error)) from None
    name = request.extensions.get("sni_hostname")
    if not name:
        return origin
    return Origin(origin.scheme, str(name), origin.port, origin.address, origin.authority)


def _head(request: httpx.Request, content: bytes) -> bytes:
    """The head as httpx wrote it, but for the length, which is known by now. Raises without a field's value: it may be
    a key."""
    method: bytes = request.method.encode("ascii", "replace")
    target: bytes = request.extensions.get("target", request.url.raw_path)
    fields = [(name, value) for name, value in request.headers.raw if name.lower() not in _LENGTHS]
    if content or len(fields) < len(request.headers.raw):
        fields.append((b"Content-Length", b"%d" % len(content)))
    if not _TOKEN.fullmatch(method) or method == b"CONNECT" or not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("This method or target cannot be sent.")
    if not all(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value) for name, value in fields):
        raise httpx.LocalProtocolError("A header field has a name or a value that cannot be sent.")
    lines = [b"%b %b HTTP/1.1" % (method, target), *(b"%b: %b" % field for field in fields), b"", b""]
    return b"\r\n".join(lines)


def _timeouts(request: httpx.Request) -> Timeouts:
    given = request.extensions.get("timeout", {})

    def seconds(name: str) -> float:
        value = given.get(name)
        return _NO_LIMIT if value is None else float(value)

    return Timeouts(seconds("connect"), seconds("read"), seconds("read"), seconds("pool"))
