"""Journal: writes to the audit log that a request goes to a provider, before it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Literal, NamedTuple

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AuditUnavailable, DatabaseUnavailable, KeyStoreUnavailable
from ai_gateway_mw.keys import without_gateway_keys

_log = logging.getLogger("ai_gateway_mw.audit")

_MOST_WAITING: Final = 10_000  # notes that wait where nothing can be written, before requests are refused
_PAUSE: Final = 1.0  # seconds until writing is tried again

Mode = Literal["off", "strict", "best-effort"]


class Note(NamedTuple):
    """What is written of a request: by which key (or none), from where, and what it is."""

    key_id: str
    address: str
    details: dict[str, Any]


Write = Callable[[Sequence[Note]], Awaitable[None]]


class Journal:
    """Notes of requests that come at once are written in one transaction, for which all of them wait.

    In the mode `strict` no request goes on before its note is there, and none at all where it cannot be written; in
    the mode `best-effort` they go on at once, and are refused only when too many notes wait.
    """

    def __init__(self, mode: Mode, write: Write) -> None:
        """`write` writes all notes or none; whatever it raises, nothing was written."""
        self._mode = mode
        self._write = write
        self._waiting: list[tuple[Note, asyncio.Future[None] | None]] = []
        self._writer: asyncio.Task[None] | None = None
        self._failing = False

    @property
    def is_on(self) -> bool:
        return self._mode != "off"

    @property
    def is_failing(self) -> bool:
        """Whether the last writing failed."""
        return self._failing

    async def note(self, ctx: Context) -> None:
        """Have it written that this request goes to a provider. Raises `AuditUnavailable`."""
        note = _note_of(ctx)
        if len(self._waiting) >= _MOST_WAITING:  # those of clients that have left wait too
            raise AuditUnavailable
        if self._mode == "best-effort":
            self._add(note, None)
            return
        written = asyncio.get_running_loop().create_future()
        self._add(note, written)
        await written

    async def aclose(self) -> None:
        """Write what waits; what cannot be written is lost, and the log says how much."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        if self._waiting and not await self._write_batch():
            _log.error("the audit notes of %d requests could not be written and are lost", len(self._waiting))
            self._waiting.clear()

    def _add(self, note: Note, written: asyncio.Future[None] | None) -> None:
        self._waiting.append((note, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_on(), name="journal")

    async def _write_on(self) -> None:
        while self._waiting:
            if not await self._write_batch():
                await asyncio.sleep(_PAUSE)

    async def _write_batch(self) -> bool:
        batch, self._waiting = self._waiting, []
        try:
            await self._write([note for note, _ in batch])
        except (DatabaseUnavailable, KeyStoreUnavailable) as error:
            self._failed(batch, error)
            return False
        except Exception:  # noqa: BLE001 - a fault of ours: nothing goes on unwritten, and closing goes on
            _log.exception("requests cannot be written to the audit log")
            self._failed(batch, None)
            return False
        except BaseException:
            self._failed(batch, None)
            raise
        if self._failing:
            self._failing = False
            _log.warning("requests are written to the audit log again")
        for _, written in batch:
            if written is not None and not written.done():
                written.set_result(None)
        return True

    def _failed(self, batch: list[tuple[Note, asyncio.Future[None] | None]], error: Exception | None) -> None:
        """Requests that wait are refused; notes of those that have gone on are kept."""
        if error is not None and not self._failing:
            _log.error("requests cannot be written to the audit log: %s", error)
        self._failing = True
        for _, written in batch:
            if written is not None and not written.done():
                written.set_exception(AuditUnavailable())
        self._waiting = [entry for entry in batch if entry[1] is None] + self._waiting


def _note_of(ctx: Context) -> Note:
    key = ctx.gateway_key
    path = ctx.route.path if ctx.route else ctx.path
    details = {"request": ctx.id, "method": ctx.method, "path": without_gateway_keys(path)}
    if ctx.selection is not None and ctx.selection.requested:
        details["models"] = without_gateway_keys(", ".join(ctx.selection.requested))
    if ctx.key_was_cached:
        details["cached_auth"] = "true"
    return Note(key.id if key is not None else "", str(ctx.client_ip or ""), details)
