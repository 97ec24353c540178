"""The only door through which anything is sent to a provider: one request, over our own transport or any other."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from ai_gateway_mw.errors import BadRequest
from ai_gateway_mw.headers import Field
from ai_gateway_mw.upstream.foreign import handled
from ai_gateway_mw.upstream.http1 import HTTPTransport, Origin, Timeouts, UpstreamResponse

# RFC 9112 5: nothing of what a head is made of may hold one of these; a tab may stand in a field's value.
_CONTROLS = bytes(byte for byte in range(32) if byte != 9) + b"\x7f"
_WITH_CONTENT = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110 8.6: these say their length also where it is zero


@dataclass(slots=True)
class UpstreamRequest:
    """What goes to one upstream. Its origin comes from configuration only; `target` is path and query."""

    method: str
    origin: Origin
    target: bytes
    fields: list[Field] = field(repr=False)  # the credential among them
    content: bytes = field(repr=False)

    def head(self) -> bytes:
        """Request line and fields as HTTP/1.1 writes them. Raises `BadRequest` rather than write a line too many."""
        lines = [
            b"%b %b HTTP/1.1" % (self.method.encode(), self.target),
            b"host: " + self.origin.authority,
            *map(b": ".join, self.fields),
        ]
        if self.content or self.method in _WITH_CONTENT:
            lines.append(b"content-length: %d" % len(self.content))
        head = b"\r\n".join(lines) + b"\r\n\r\n"
        # Every part was checked where it came in; this is the last door before the wire.
        if len(head) - len(head.translate(None, _CONTROLS)) != 2 * len(lines) + 2:
            raise BadRequest("The request holds characters that cannot be sent on.")
        return head


async def send(transport: httpx.AsyncBaseTransport, request: UpstreamRequest, timeouts: Timeouts) -> UpstreamResponse:
    """Send one request and wait for the head of its answer. Raises `UpstreamError` or `Overloaded`."""
    head = request.head()
    if isinstance(transport, HTTPTransport):
        return await transport.exchange(request.origin, head, request.content, timeouts)
    return await handled(
        transport, request.method, request.origin, request.target, request.fields, request.content, timeouts
    )
