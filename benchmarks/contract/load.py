"""A steady load beside a campaign: so many requests a second, whatever becomes of them; and waiting for what comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

from benchmarks.contract.client import Answer, Client

Taken = Callable[[Answer, float], None]
"""What to do with an answer, and the seconds it took."""


@asynccontextmanager
async def steady(client: Client, make: Callable[[int], bytes], rate: float, taken: Taken) -> AsyncIterator[None]:
    """As long as the block runs, and until the last of the requests has ended."""

    async def one(number: int) -> None:
        begun = time.monotonic()
        answer = await client.ask(make(number))
        taken(answer, time.monotonic() - begun)

    async with at_rate(rate, one):
        yield


@asynccontextmanager
async def at_rate(rate: float, one: Callable[[int], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """The same for whatever is to be done so many times a second; it gets the number of its turn."""
    asked: set[asyncio.Task[None]] = set()
    stopping = False

    async def run() -> None:
        begun, number = time.monotonic(), 0
        while not stopping:
            task = asyncio.create_task(one(number))
            asked.add(task)
            task.add_done_callback(asked.discard)
            number += 1
            await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))

    running = asyncio.create_task(run())
    try:
        yield
    finally:
        stopping = True
        await running
        await asyncio.gather(*asked)


async def until(condition: Callable[[], bool], patience: float, *, every: float = 0.01) -> bool:
    """Wait for a condition that nobody tells of; whether it came in time."""
    deadline = time.monotonic() + patience
    while not (holds := condition()):
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(every)
    return holds
