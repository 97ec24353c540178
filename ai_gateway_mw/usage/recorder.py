"""UsageRecorder: adds requests up in memory and writes the sums every second, away from the requests.

What a process that is killed has noted in its last second is lost.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final, Protocol

from ai_gateway_mw.usage.rows import Batch, Used
from ai_gateway_mw.usage.sums import MAX_ROWS, Sums

_log = logging.getLogger("ai_gateway_mw.usage")
_INTERVAL: Final = 1.0  # seconds


class UsageSink(Protocol):
    """Where the sums go."""

    async def add(self, batch: Batch) -> None:
        """Add these sums to what is stored: all of them, or none and an exception."""


class UsageRecorder:
    """Belongs to one event loop, in which requests are noted and the sums are written.

    A batch that failed is kept and added to the next one. If a connection dies while it commits, nobody can know
    whether the batch was stored; it then counts twice, since a budget had better end too early than too late.
    """

    def __init__(self, sink: UsageSink, *, interval: float = _INTERVAL) -> None:
        self._sink = sink
        self._interval = interval
        self._sums = Sums()
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._writing = asyncio.Lock()
        self._failing = self._crowded = False

    def note(self, used: Used) -> None:
        """Count a request of a key; one without a key leaves no trace. Neither waits nor fails."""
        if used.key_id:
            self._sums.add(used)

    async def start(self) -> None:
        """Begin to write."""
        if self._task is None:
            self._closing.clear()
            self._task = asyncio.create_task(self._write_on(), name="usage")

    async def aclose(self) -> None:
        """Write what is left, and stop."""
        self._closing.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task])  # which may have been cancelled with all else that the loop had to do
        await self.flush()
        if lost := self._sums.take().requests:
            _log.error("the usage of %d requests could not be stored and is lost", lost)

    async def flush(self) -> bool:
        """Write what was noted, and say whether nothing is left to write."""
        async with self._writing:
            if not len(self._sums):
                return True
            batch = self._sums.take()
            try:
                await self._sink.add(batch)
            except Exception as error:  # noqa: BLE001 - whatever it is, the sums are kept and tried again
                self._keep(batch)
                self._report(error)
                return False
            except BaseException:
                self._keep(batch)
                raise
            self._report(None)
            return True

    async def _write_on(self) -> None:
        while not self._closing.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._interval)
            await self.flush()

    def _keep(self, batch: Batch) -> None:
        if not self._sums.put_back(batch) and not self._crowded:
            self._crowded = True
            _log.error("more than %d sums of usage wait to be stored; rare callers are no longer told apart", MAX_ROWS)

    def _report(self, error: Exception | None) -> None:
        """Say once that it fails, and once that it works again."""
        if error is not None and not self._failing:
            _log.warning("usage cannot be stored, and is kept in memory: %s", error)
        elif error is None and self._failing:
            _log.warning("usage is stored again")
        self._failing = error is not None
        self._crowded = self._crowded and self._failing
