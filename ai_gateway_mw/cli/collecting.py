"""When a serving process looks for garbage that refers to itself: everything else waits for that.

Where thousands of streams are open, to go through all objects takes a tenth of a second, and Python does it by how many
were made: while streams begin, one after the other. Exchanges leave no such garbage, but what is around them may, such
as connections with TLS.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Final

_YOUNG: Final = 10_000  # objects; what dies young is found among them, in a millisecond
_NEVER: Final = 1_000_000
_TICK: Final = 5.0  # seconds, as all that follow
_DUE: Final = 60.0
_OVERDUE: Final = 900.0


class Collector:
    """Has Python look among new objects only, and goes through all of them itself: once a minute, when nothing is under
    way; after a quarter of an hour in which something always was, even so."""

    def __init__(
        self,
        is_idle: Callable[[], bool],
        *,
        collect: Callable[[], object] = gc.collect,
        clock: Callable[[], float] = time.monotonic,
        tick: float = _TICK,
    ) -> None:
        self._is_idle = is_idle
        self._collect = collect
        self._clock = clock
        self._tick = tick
        self._latest = clock()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """What there is now stays: some 75,000 objects that need not be gone through. In the event loop that serves."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(_YOUNG, _NEVER, _NEVER)
        self._set_timer()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._tick, self._look)

    def _look(self) -> None:
        passed = self._clock() - self._latest
        if passed >= _OVERDUE or (passed >= _DUE and self._is_idle()):
            self._collect()
            self._latest = self._clock()
        self._set_timer()
