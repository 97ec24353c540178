from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from ai_gateway_mw.cli.collecting import Collector
from tests.state.conftest import Clock

pytestmark = pytest.mark.anyio


class Cyclic:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


async def test_looks_once_a_minute_where_nothing_is_under_way(clock: Clock) -> None:
    busy, collected = True, 0

    def collect() -> None:
        nonlocal collected
        collected += 1

    collector = Collector(lambda: not busy, collect=collect, clock=clock, tick=0)
    collector.start()

    async def seen() -> int:
        await asyncio.sleep(0.01)
        return collected

    busy = False
    clock.advance(59)
    assert await seen() == 0, "too early"
    clock.advance(1)
    assert await seen() == 1
    busy = True
    clock.advance(899)
    assert await seen() == 1, "something is under way"
    clock.advance(1)
    assert await seen() == 2, "something always is"
    collector.stop()
    clock.advance(10_000)
    assert await seen() == 2


async def test_finds_what_python_does_not_look_for(clock: Clock) -> None:
    collector = Collector(lambda: True, clock=clock, tick=0)
    collector.start()
    old = Cyclic()
    gc.collect(1)  # it outlives a look among new objects
    gone = weakref.ref(old)
    del old
    assert len([[] for _ in range(100_000)]) == 100_000
    assert gone() is not None, "Python looks among new objects only"
    clock.advance(60)
    await asyncio.sleep(0.01)
    assert gone() is None
    collector.stop()
