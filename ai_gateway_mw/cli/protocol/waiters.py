"""Coroutines that wait for the same thing, each of which may be cancelled alone."""

from __future__ import annotations

import asyncio


class Waiters:
    """What of `asyncio.Event` is needed here: there is none to make until somebody waits."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    def wait(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """To be awaited at once."""
        future = loop.create_future()
        self._futures.append(future)
        return future

    def wake(self) -> None:
        """All that wait now go on."""
        for future in self._futures:
            if not future.done():
                future.set_result(None)
        self._futures.clear()
