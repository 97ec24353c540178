"""UpstreamResponse: what all answers of upstreams have in common, over our own transport or any other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from ai_gateway_mw.headers import Field

if TYPE_CHECKING:
    from ai_gateway_mw.upstream.events import ArrayWatcher, EventWatcher

Pour = Callable[[bytes], Awaitable[None] | None]

_PLAIN = frozenset({b"", b"identity"})


class UpstreamResponse:
    """An answer whose head has arrived: `read` its body to the end, and `aclose` it on every path.

    Names of fields are in lower case. `held` was taken from the body to look at it, and comes before what is read next;
    `watcher` has seen it where the body is a stream that is watched.
    """

    __slots__ = ("complete", "encoded", "fields", "held", "media_type", "named", "on_close", "status", "watcher")

    complete: bool
    """Whether all of the body has arrived: what is left of it can be taken at once."""
    encoded: bool
    """Whether the body is compressed, although we asked for plain text: nothing can be seen in it then."""
    media_type: bytes
    named: dict[bytes, bytes]

    def begin(self, status: int, fields: list[Field], named: dict[bytes, bytes]) -> None:
        """The head is here; `named` has the first value of each field."""
        self.fields = fields
        self.named = named
        self.media_type = _media_type(named.get(b"content-type", b""))
        coding = named.get(b"content-encoding")
        self.encoded = coding is not None and not _is_plain(coding)
        self.held = b""
        self.watcher: EventWatcher | ArrayWatcher | None = None
        self.on_close: Callable[[], None] | None = None
        self.status = status

    def field(self, name: bytes) -> bytes:
        """The first value of a field, empty where there is none."""
        return self.named.get(name, b"")

    def take(self) -> bytes:
        """What of the body has arrived and was not taken yet; empty if nothing. Never waits."""
        raise NotImplementedError

    async def read(self) -> bytes:
        """The next bytes of the body, as many as have arrived; waits only where there are none. Empty at the end."""
        raise NotImplementedError

    async def pour(self, into: Pour) -> None:
        """Hand every piece that is still to come to `into`; what that gives back is awaited before the next one."""
        raise NotImplementedError

    async def news(self, seconds: float) -> bool:
        """Whether there is something to `read`, or the end, within so many seconds."""
        raise NotImplementedError

    def close(self) -> Awaitable[None] | None:
        """Let go of the connection, read or not, and tell nobody: see `aclose`. Harmless when repeated. What it gives
        back is to be awaited."""
        raise NotImplementedError

    async def buffered(self, limit: int) -> bytes:
        """The body up to about `limit` bytes, to look at."""
        while len(self.held) < limit and (piece := await self.read()):
            self.held += piece
        return self.held

    async def aclose(self) -> None:
        """Tell `on_close`, once, and let go of the connection."""
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close()
        closing = self.close()
        if closing is not None:
            await closing


@lru_cache(maxsize=128)
def _media_type(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


def _is_plain(coding: bytes) -> bool:
    return _PLAIN.issuperset(coding.lower().replace(b" ", b"").split(b","))
