"""Coroutines that wait for the same thing, each of which may be cancelled alone.

What of `asyncio.Event` is needed here, over a plain list: there is nothing to make, or to call, until somebody waits.
"""

from __future__ import annotations

import asyncio

Waiters = list[asyncio.Future[None]]


def joining(waiters: Waiters, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
    """To be awaited at once."""
    while waiters and waiters[-1].done():  # was cancelled; one that waits for a moment, again and again, adds nothing
        waiters.pop()
    future = loop.create_future()
    waiters.append(future)
    return future


def wake(waiters: Waiters) -> None:
    """All that wait now go on."""
    for future in waiters:
        if not future.done():
            future.set_result(None)
    waiters.clear()
