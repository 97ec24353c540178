"""The only door through which anything is sent to a provider: one request, over our own transport or any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache

import httpx

from ai_gateway_mw.errors import BadRequest
from ai_gateway_mw.headers import Field
from ai_gateway_mw.upstream.events import ArrayWatcher, EventWatcher
from ai_gateway_mw.upstream.foreign import ForeignAnswer, handled
from ai_gateway_mw.upstream.http1 import Answer, HTTPTransport, Origin, Pour, Timeouts

# RFC 9112 5: nothing of what a head is made of may hold one of these; a tab may stand in a field's value.
_CONTROLS = bytes(byte for byte in range(32) if byte != 9) + b"\x7f"
_PLAIN = frozenset({b"", b"identity"})
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


class UpstreamResponse:
    """An answer whose head has arrived: `read` its body to the end, and `aclose` it on every path.

    Names of fields are in lower case. `held` was taken from the body to look at it, and comes before what is read next;
    `watcher` has seen it where the body is a stream that is watched.
    """

    __slots__ = ("_answer", "_named", "fields", "held", "media_type", "on_close", "status", "watcher")

    def __init__(self, answer: Answer | ForeignAnswer) -> None:
        self._answer = answer
        self.status = answer.status
        self.fields = answer.fields
        self._named = dict(reversed(answer.fields))  # where a name is there twice, the first counts
        self.media_type = _media_type(self._named.get(b"content-type", b""))
        self.held = b""
        self.watcher: EventWatcher | ArrayWatcher | None = None
        self.on_close: Callable[[], None] | None = None

    def field(self, name: bytes) -> bytes:
        """The first value of a field, empty where there is none."""
        return self._named.get(name, b"")

    @property
    def encoded(self) -> bool:
        """Whether the body is compressed, although we asked for plain text: nothing can be seen in it then."""
        coding = self._named.get(b"content-encoding", b"")
        return coding not in (b"", b"identity") and not _PLAIN.issuperset(coding.lower().replace(b" ", b"").split(b","))

    @property
    def complete(self) -> bool:
        """Whether all of the body has arrived: what is left of it can be taken at once."""
        return self._answer.complete

    def take(self) -> bytes:
        """What has arrived of the body and was not taken yet."""
        return self._answer.take()

    def read(self) -> Awaitable[bytes]:
        """The next bytes of the body, as many as have arrived; waits only where there are none. Empty at the end."""
        return self._answer.read()

    def pour(self, into: Pour) -> Awaitable[None]:
        """Hand every piece that is still to come to `into`; what that gives back is awaited before the next one."""
        return self._answer.pour(into)

    def news(self, seconds: float) -> Awaitable[bool]:
        """Whether there is something to `read`, or the end, within so many seconds."""
        return self._answer.news(seconds)

    async def buffered(self, limit: int) -> bytes:
        """The body up to about `limit` bytes, to look at."""
        while len(self.held) < limit and (piece := await self.read()):
            self.held += piece
        return self.held

    async def aclose(self) -> None:
        """Let go of the connection; harmless when repeated."""
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
        closing = self._answer.close()
        if closing is not None:
            await closing


@lru_cache(maxsize=128)
def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


async def send(transport: httpx.AsyncBaseTransport, request: UpstreamRequest, timeouts: Timeouts) -> UpstreamResponse:
    """Send one request and wait for the head of its answer. Raises `UpstreamError` or `Overloaded`."""
    head = request.head()
    if isinstance(transport, HTTPTransport):
        return UpstreamResponse(await transport.exchange(request.origin, head, request.content, timeouts))
    answer = await handled(
        transport, request.method, request.origin, request.target, request.fields, request.content, timeouts
    )
    return UpstreamResponse(answer)
