"""Operations on the audit log. Going through all of it takes its time, and not many may do so at once."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, aclosing, contextmanager
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from ai_gateway_mw.admin.inputs import Input
from ai_gateway_mw.admin.operations import Call
from ai_gateway_mw.admin.parameters import KeyID, Limit, Seq, Since
from ai_gateway_mw.admin.refusals import busy, json_answer
from ai_gateway_mw.asgi import ASGIApp, Receive, Scope, Send
from ai_gateway_mw.audit import AuditLog, Entry, Event, Filter, Head, events_of
from ai_gateway_mw.replies import Reply

_AT_ONCE: Final = 2
_PIECE: Final = 64 * 1024
_GROUPS: Final = sorted({event.partition(".")[0] for event in Event})
LINES: Final = "application/jsonl"


def _events(value: Any) -> Any:
    return events_of(value) if isinstance(value, str) else value


def _head(value: Any) -> Any:
    return Head.parse(value) if isinstance(value, str) else value


Events = Annotated[
    frozenset[Event],
    BeforeValidator(_events),
    WithJsonSchema({"type": "string", "enum": sorted({*(event.value for event in Event), *_GROUPS})}),
]
SavedHead = Annotated[
    Any, BeforeValidator(_head), WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,18}:[0-9a-f]{64}$"})
]


class AuditExport(Input):
    """Which entries."""

    event: Events | None = Field(None, description="Only this event, or all of its group.")
    key: KeyID | None = Field(None, description="Only what happened to this key.")
    since: Since | None = Field(None, description="Only what happened since then.")

    @property
    def filter(self) -> Filter:
        return Filter(self.event, self.key, self.since)


class AuditListing(AuditExport):
    """Which entries, page by page."""

    before: Seq | None = Field(None, description="The number of the last entry of the page before.")
    limit: Limit = Field(100, description="How many at most.")


class Saved(Input):
    """What the log is held to."""

    head: SavedHead | None = Field(None, description="A head that was saved: the log must hold it.")


async def listed(call: Call) -> Reply:
    query: AuditListing = call.query
    services = await call.services()
    found = await services.audit.latest(query.filter, limit=query.limit + 1, before=query.before)
    page = found[: query.limit]
    more = len(found) > len(page)
    entries = [entry.as_json() for entry in page]
    return json_answer(200, {"entries": entries, "next": page[-1].seq if more else None})


class Walks:
    """The two operations that go through the whole log, counted together."""

    def __init__(self) -> None:
        self._running = 0

    async def verified(self, call: Call) -> Reply:
        query: Saved = call.query
        services = await call.services()
        with self._one_more():
            verdict = await services.audit.verify(query.head)
        faults = [{"seq": fault.seq, "text": fault.text} for fault in verdict.faults]
        return json_answer(200, {"whole": verdict.whole, "head": str(verdict.head), "faults": faults})

    async def exported(self, call: Call) -> ASGIApp:
        query: AuditExport = call.query
        services = await call.services()

        return _Export(services.audit, query.filter, self._one_more)

    @contextmanager
    def _one_more(self) -> Iterator[None]:
        if self._running >= _AT_ONCE:
            raise busy()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


class _Export:
    """The answer that holds the log, piece by piece."""

    def __init__(self, log: AuditLog, wanted: Filter, one_more: Callable[[], AbstractContextManager[None]]) -> None:
        self._log = log
        self._wanted = wanted
        self._one_more = one_more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._one_more():
            # Both are closed by hand: a generator that is only left behind keeps its connection for a while.
            async with aclosing(self._log.all(self._wanted)) as entries, aclosing(_pieces(entries)) as pieces:
                await _stream(pieces, scope, send)


async def _pieces(entries: AsyncIterator[Entry]) -> AsyncGenerator[bytes]:
    """Lines of JSON, many at a time, and none where there are none."""
    piece = bytearray()
    async for entry in entries:
        piece += json.dumps(entry.as_json(), separators=(",", ":")).encode() + b"\n"
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


async def _stream(pieces: AsyncIterator[bytes], scope: Scope, send: Send) -> None:
    """The head goes out with the first piece: until then a failure can still be told."""
    started = False
    async for piece in pieces:
        if not started:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", LINES.encode())]})
            started = True
            if scope["method"] == "HEAD":
                break
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
