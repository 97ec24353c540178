"""What is known of each provider key: error rates, quota, attempts under way, and whether it is better left alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Literal, Protocol

from ai_gateway_mw.state.quota import Quota
from ai_gateway_mw.state.results import COUNTS, Count, Result, rate
from ai_gateway_mw.state.window import Clock, Window

State = Literal["ok", "cooling", "quota_exhausted", "rejected"]

_MAX_KEYS = 10_000
_RETRY_AFTER_MAX = 600.0
_COOLING_MAX = 60.0
_QUOTA_EXHAUSTED = 900.0
_REJECTED, _REJECTED_MAX = 300.0, 3600.0


class ErrorRates:
    """Fractions of a key's attempts of the last minute, 0.0 to 1.0; 0.0 as long as there are few."""

    __slots__ = ("_window",)

    def __init__(self, clock: Clock) -> None:
        self._window = Window(len(Count), clock)

    def count(self, result: Result) -> None:
        self._window.count(COUNTS[result])

    @property
    def samples(self) -> int:
        return self._window.total(Count.SAMPLE)

    @property
    def total(self) -> float:
        return rate(self._window.total(Count.TOTAL), self.samples)

    @property
    def rate_limit(self) -> float:
        return rate(self._window.total(Count.RATE_LIMIT), self.samples)

    @property
    def timeout(self) -> float:
        return rate(self._window.total(Count.TIMEOUT), self.samples)

    @property
    def server(self) -> float:
        return rate(self._window.total(Count.SERVER), self.samples)

    @property
    def client(self) -> float:
        """Requests that the provider refused as wrong, as a fraction of all; no other rate counts them."""
        faults = self._window.total(Count.CLIENT)
        return rate(faults, self.samples + faults)


class KeyState:
    """One provider key. `in_flight` is counted up and down by whoever sends attempts."""

    __slots__ = (
        "_clock",
        "_kind",
        "_rejections",
        "_since",
        "_strikes",
        "cooling_until",
        "error_rate",
        "id",
        "in_flight",
        "quota",
    )

    def __init__(self, key_id: str, clock: Clock, wall: Clock) -> None:
        self.id = key_id
        self.quota = Quota(clock, wall)
        self.error_rate = ErrorRates(clock)
        self.in_flight = 0
        self.cooling_until = 0.0
        self._clock = clock
        self._kind: State = "ok"
        self._since = 0.0
        self._strikes = 0
        self._rejections = 0

    @property
    def samples(self) -> int:
        """How many attempts the error rates rest on."""
        return self.error_rate.samples

    @property
    def cooling(self) -> bool:
        """True while the key is better left alone, for whatever reason."""
        return self._clock() < self.cooling_until

    @property
    def state(self) -> State:
        return self._kind if self.cooling else "ok"

    def record(self, result: Result, *, retry_after: float | None = None, started: float | None = None) -> None:
        """Count an attempt that began at `started` (by the store's clock) and has ended.

        One that began before the key was set aside neither brings it back nor makes it worse: fifty requests that
        meet the same limit at once are one event.
        """
        self.error_rate.count(result)
        news = started >= self._since if started is not None else result is Result.OK or not self.cooling
        if result is Result.OK:
            if news:
                self._clear()
        elif result is Result.RATE_LIMITED:
            self._strikes += news
            backoff = min(2.0 ** max(self._strikes - 1, 0), _COOLING_MAX) if self._strikes < 8 else _COOLING_MAX
            self._set_aside("cooling", min(retry_after, _RETRY_AFTER_MAX) if retry_after else backoff)
        elif result is Result.QUOTA_EXHAUSTED:
            self._set_aside("quota_exhausted", _QUOTA_EXHAUSTED)
        elif result is Result.KEY_REJECTED:
            self._rejections += news
            self._set_aside("rejected", min(_REJECTED * 2 ** min(max(self._rejections - 1, 0), 4), _REJECTED_MAX))

    def _set_aside(self, kind: State, seconds: float) -> None:
        """Leave the key alone for so long, unless it is left alone for longer anyway."""
        now = self._clock()
        if not self.cooling:
            self._since = now
        if now + seconds >= self.cooling_until:
            self._kind = kind
            self.cooling_until = now + seconds

    def _clear(self) -> None:
        self._kind = "ok"
        self.cooling_until = 0.0
        self._strikes = self._rejections = 0


class ProviderKeys(Protocol):
    """The record of provider keys, by a safe id. Synchronous, since expressions read it."""

    def state(self, key_id: str) -> KeyState:
        """The record of this key, a new one if it was never seen."""

    def record(
        self, key_id: str, result: Result, *, retry_after: float | None = None, started: float | None = None
    ) -> None:
        """Count a finished attempt against this key."""


class MemoryProviderKeys:
    """`ProviderKeys` of one process; the keys that were not used for longest go when there are too many."""

    def __init__(self, clock: Clock = time.monotonic, wall: Clock = time.time, *, max_keys: int = _MAX_KEYS) -> None:
        self._clock = clock
        self._wall = wall
        self._max_keys = max_keys
        self._states: OrderedDict[str, KeyState] = OrderedDict()

    def state(self, key_id: str) -> KeyState:
        found = self._states.get(key_id)
        if found is not None:
            self._states.move_to_end(key_id)
            return found
        made = self._states[key_id] = KeyState(key_id, self._clock, self._wall)
        if len(self._states) > self._max_keys:
            self._states.popitem(last=False)
        return made

    def record(
        self, key_id: str, result: Result, *, retry_after: float | None = None, started: float | None = None
    ) -> None:
        self.state(key_id).record(result, retry_after=retry_after, started=started)
