"""Circuit breakers: which origins are passed over for a while because attempts at them fail."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Literal

from ai_gateway_mw.state.window import Clock, Window

_IN_A_ROW = 5
_ENOUGH, _TOO_MANY = 20, 0.5  # attempts within the span, and the part of them that fails
_SPAN, _SLOTS = 30.0, 15
_OPEN, _OPEN_MAX, _JITTER = 10.0, 120.0, 0.3
_TO_CLOSE = 3
_PROBE_LOST = 600.0  # seconds; a probe that nobody recorded does not keep an origin shut for ever
_MAX_ORIGINS = 1_000
_ALL, _FAILED = 0, 1


class _Breaker:
    """One origin. It is shut where `until` is not 0: passed over until then.

    It was `tripped` by failures, and then is half-open until enough probes succeed; else it only rests. A success ends
    the row of failures; which one did, and how long the row was, is kept: it may be taken back.
    """

    __slots__ = (
        "ended_by",
        "ended_row",
        "fails_in_a_row",
        "open_for",
        "origin",
        "probe_from",
        "shut_from",
        "successes",
        "tripped",
        "until",
        "window",
    )

    def __init__(self, origin: Hashable, clock: Clock) -> None:
        self.origin = origin
        self.window = Window(2, clock, span=_SPAN, slots=_SLOTS)
        self.fails_in_a_row = 0
        self.ended_row = 0
        self.ended_by: float | None = None
        self.until = 0.0
        self.shut_from = 0.0
        self.tripped = False
        self.open_for = 0.0
        self.probe_from: float | None = None
        self.successes = 0


class Breakers:
    """The breakers of all origins of this process. Whoever asks whether an origin allows an attempt then sends it, and
    says what came of it by `record`, or by `release` where that says nothing of the origin. `shut` are those that may
    not allow one: where there are none, which is nearly always, nobody has to ask."""

    def __init__(self, clock: Clock = time.monotonic, jitter: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._jitter = jitter
        self._breakers: OrderedDict[Hashable, _Breaker] = OrderedDict()
        self.shut: set[Hashable] = set()

    def allows(self, origin: Hashable, *, last: bool = False) -> bool:
        """Whether an attempt may be sent there. An origin that is shut is passed over while another candidate exists.
        One that rests is asked as the `last` one; one that was tripped then lets one attempt through at a time, and so
        it does when its time is over."""
        breaker = self._breakers.get(origin)
        if breaker is None or not breaker.until:
            return True
        now = self._clock()
        over = now >= breaker.until
        if not breaker.tripped:
            if over:
                self._close(breaker)
            return over or last
        if not (over or last):
            return False
        if breaker.probe_from is not None and now - breaker.probe_from < _PROBE_LOST:
            return False
        breaker.probe_from = now
        return True

    def record(self, origin: Hashable, ok: bool, *, started: float | None = None) -> None:
        """Note whether an attempt, begun at `started` (by this clock), found the origin working."""
        breaker = self._breakers.get(origin) or self._made(origin)
        if breaker.tripped:
            self._record_probe(breaker, ok, started)
        elif ok:
            breaker.ended_row, breaker.ended_by = breaker.fails_in_a_row, started
            breaker.fails_in_a_row = 0
            breaker.window.count_one(_ALL)
            if breaker.until and (started is None or started >= breaker.shut_from):
                self._close(breaker)
        else:
            breaker.window.count_one(_ALL)
            self._count_failure(breaker)

    def take_back(self, origin: Hashable, *, started: float) -> None:
        """An attempt that was recorded as a success, begun at `started`, has failed after all."""
        breaker = self._breakers.get(origin)
        if breaker is None:
            return
        if not breaker.tripped:
            if started == breaker.ended_by:
                breaker.fails_in_a_row += breaker.ended_row
            self._count_failure(breaker)
        elif started >= breaker.shut_from:  # a probe
            self._fail_probe(breaker)

    def release(self, origin: Hashable, *, started: float | None = None) -> None:
        """An attempt that was allowed ended without a word about the origin: another may take its place."""
        breaker = self._breakers.get(origin)
        if breaker is not None and _is_probe(breaker, started):
            breaker.probe_from = None

    def rest(self, origin: Hashable, least: float, most: float) -> None:
        """Pass over an origin for a time between these: by its own word, or because it will not change soon."""
        breaker = self._breakers.get(origin) or self._made(origin)
        breaker.shut_from = self._clock()
        breaker.until = max(breaker.until, breaker.shut_from + least + (most - least) * self._jitter())
        self.shut.add(origin)

    def state(self, origin: Hashable) -> Literal["closed", "resting", "open", "half-open"]:
        breaker = self._breakers.get(origin)
        if breaker is None or not breaker.until:
            return "closed"
        if self._clock() < breaker.until:
            return "open" if breaker.tripped else "resting"
        return "half-open" if breaker.tripped else "closed"

    def _record_probe(self, breaker: _Breaker, ok: bool, started: float | None) -> None:
        """Attempts from before the probe are no news: it takes those that were made to find out."""
        if not _is_probe(breaker, started):
            return
        breaker.probe_from = None
        if ok:
            breaker.successes += 1
            if breaker.successes >= _TO_CLOSE:
                self._close(breaker)
        else:
            self._fail_probe(breaker)

    def _fail_probe(self, breaker: _Breaker) -> None:
        breaker.successes = 0
        if self._clock() >= breaker.until:
            self._open(breaker, min(breaker.open_for * 2, _OPEN_MAX))

    def _count_failure(self, breaker: _Breaker) -> None:
        breaker.fails_in_a_row += 1
        breaker.window.count_one(_FAILED)
        if self._fails_too_often(breaker):
            self._open(breaker, _OPEN)

    def _fails_too_often(self, breaker: _Breaker) -> bool:
        counted = breaker.window.totals()
        often = counted[_ALL] >= _ENOUGH and counted[_FAILED] >= _TOO_MANY * counted[_ALL]
        return often or breaker.fails_in_a_row >= _IN_A_ROW

    def _open(self, breaker: _Breaker, seconds: float) -> None:
        breaker.tripped = True
        breaker.open_for = seconds
        breaker.shut_from = self._clock()
        breaker.until = max(breaker.until, breaker.shut_from + seconds * (1 + _JITTER * (2 * self._jitter() - 1)))
        self.shut.add(breaker.origin)
        breaker.probe_from = None
        breaker.successes = 0

    def _close(self, breaker: _Breaker) -> None:
        if breaker.tripped:  # what was counted before says nothing of how it is now
            breaker.window = Window(2, self._clock, span=_SPAN, slots=_SLOTS)
            breaker.fails_in_a_row = breaker.ended_row = 0
        breaker.until = 0.0
        self.shut.discard(breaker.origin)
        breaker.tripped = False
        breaker.probe_from = None
        breaker.successes = 0

    def _made(self, origin: Hashable) -> _Breaker:
        if len(self._breakers) >= _MAX_ORIGINS:
            forgotten, _ = self._breakers.popitem(last=False)
            self.shut.discard(forgotten)
        made = self._breakers[origin] = _Breaker(origin, self._clock)
        return made


def _is_probe(breaker: _Breaker, started: float | None) -> bool:
    return breaker.probe_from is not None and (started is None or started >= breaker.probe_from)
