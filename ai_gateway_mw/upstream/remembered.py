"""Remembered: a document of another server that is asked for again when it is old, and kept while it cannot be had."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """One document. Whoever needs it while it is asked for waits for the same answer."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[T | None]],
        *,
        ttl: float,
        stale: float,
        gap: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask` gives None where it cannot be had. Times are seconds: it is asked for again after `ttl`, good until
        `stale`, and not asked for twice within `gap`."""
        self.value: T | None = None  # the last, however old
        self._ask = ask
        self._ttl, self._stale, self._gap = ttl, stale, gap
        self._clock = clock
        self._fetched = self._asked = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def get(self) -> T | None:
        """The document, not much older than its time unless its server cannot be reached; None where there is none."""
        if self.value is None or self._clock() - self._fetched >= self._ttl:
            await self.refresh()
        return None if self._clock() - self._fetched >= self._stale else self.value

    async def refresh(self) -> None:
        """Ask again, unless that was done a moment ago."""
        asking = self._asking
        if asking is None or asking.done():
            if self._clock() - self._asked < self._gap:
                return
            self._asked = self._clock()
            asking = self._asking = asyncio.create_task(self._take())
        await asyncio.shield(asking)  # a client that leaves takes nobody's answer away

    async def _take(self) -> None:
        found = await self._ask()
        if found is not None:
            self.value, self._fetched = found, self._clock()
