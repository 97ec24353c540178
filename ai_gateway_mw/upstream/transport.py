"""The only door through which anything is sent to a provider: one request, over our own transport or any other."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field

import httpx

from ai_gateway_mw.errors import BadRequest
from ai_gateway_mw.headers import CONTROLS, Field
from ai_gateway_mw.upstream.foreign import handled
from ai_gateway_mw.upstream.http1 import HTTPTransport, Origin, Timeouts, UpstreamResponse

_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110 8.6: these say their length also where it is zero


@dataclass(slots=True)
class UpstreamRequest:
    """What goes to one upstream. Its origin comes from configuration only; `target` is path and query.

    `lines` are those of its head as far as `content` has no part in them, where somebody has `written` them already.
    """

    method: str
    origin: Origin
    target: bytes
    fields: Sequence[Field] = field(repr=False)  # the credential among them
    content: bytes = field(repr=False)
    lines: bytes = field(default=b"", repr=False)

    def head(self) -> bytes:
        """Request line and fields as HTTP/1.1 writes them. Raises as `written` does."""
        lines = self.lines or first_lines(self.method, self.origin, self.target, self.fields)
        if self.content or self.method in _WITH_CONTENT:
            return b"%bcontent-length: %d\r\n\r\n" % (lines, len(self.content))
        return lines + b"\r\n"


def first_lines(method: str, origin: Origin, target: bytes, fields: Iterable[Field]) -> bytes:
    """The request line and these fields. Raises as `written` does."""
    request_line = b"%b %b HTTP/1.1" % (method.encode(), target)
    return written([request_line, b"host: " + origin.authority, *map(b": ".join, fields)])


def written(lines: Sequence[bytes]) -> bytes:
    """Lines of a head, each with its end. Raises `BadRequest` rather than write one too many."""
    text = b"\r\n".join([*lines, b""])
    # Every part was checked where it came in; this is the last door before the wire.
    if len(text) - len(text.translate(None, CONTROLS)) != 2 * len(lines):
        raise BadRequest("The request holds characters that cannot be sent on.")
    return text


def send(
    transport: httpx.AsyncBaseTransport, request: UpstreamRequest, timeouts: Timeouts
) -> Awaitable[UpstreamResponse]:
    """Send one request and wait for the head of its answer. Raises `UpstreamError` or `Overloaded`."""
    head = request.head()
    if isinstance(transport, HTTPTransport):
        return transport.exchange(request.origin, head, request.content, timeouts)
    return handled(transport, request.method, request.origin, request.target, request.fields, request.content, timeouts)
