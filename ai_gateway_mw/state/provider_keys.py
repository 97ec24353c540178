"""What is known of each provider key: error rates, quota, attempts under way, and whether it is better left alone."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, Protocol

from ai_gateway_mw.state.latency import Latency
from ai_gateway_mw.state.quota import Quota
from ai_gateway_mw.state.results import (
    CLIENT,
    COUNTS,
    KINDS,
    RATE_LIMIT,
    SAMPLE,
    SERVER,
    TIMEOUT,
    TOTAL,
    Result,
    rate,
)
from ai_gateway_mw.state.window import Clock, Window

State = Literal["ok", "cooling", "quota_exhausted", "rejected"]

_MAX_KEYS = 10_000
_RETRY_AFTER_MAX = 600.0
_COOLING_MAX = 60.0
_QUOTA_EXHAUSTED = 900.0
_QUOTA_EXHAUSTED_MAX = 86_400.0
_REJECTED, _REJECTED_MAX = 300.0, 3600.0
_JITTER = 0.1
_MAX_PAIRS = 256
_OK = Result.OK


def _middle() -> float:
    """No chance at all: what is told is what is waited."""
    return 0.5


class ErrorRates(Window):
    """Fractions of a key's attempts of the last minute, 0.0 to 1.0; 0.0 as long as there are few."""

    __slots__ = ()

    def __init__(self, clock: Clock) -> None:
        super().__init__(KINDS, clock)

    @property
    def samples(self) -> int:
        return self.totals()[SAMPLE]

    @property
    def total(self) -> float:
        if not self._totals[TOTAL]:  # time takes away only; strategies ask this of every key, and few of them fail
            return 0.0
        totals = self.totals()
        return rate(totals[TOTAL], totals[SAMPLE])

    @property
    def rate_limit(self) -> float:
        totals = self.totals()
        return rate(totals[RATE_LIMIT], totals[SAMPLE])

    @property
    def timeout(self) -> float:
        totals = self.totals()
        return rate(totals[TIMEOUT], totals[SAMPLE])

    @property
    def server(self) -> float:
        totals = self.totals()
        return rate(totals[SERVER], totals[SAMPLE])

    @property
    def client(self) -> float:
        """Requests that the provider refused as wrong, as a fraction of all; no other rate counts them."""
        totals = self.totals()
        return rate(totals[CLIENT], totals[SAMPLE] + totals[CLIENT])


class KeyState:
    """One provider key. `in_flight` is counted up and down by whoever sends attempts."""

    __slots__ = (
        "_clock",
        "_jitter",
        "_kind",
        "_rejections",
        "_since",
        "_strikes",
        "cooling_until",
        "error_rate",
        "id",
        "in_flight",
        "latency",
        "quota",
        "unfit_until",
    )

    def __init__(self, key_id: str, clock: Clock, wall: Clock, jitter: Callable[[], float] = _middle) -> None:
        self.id = key_id
        self.quota = Quota(clock, wall)
        self.error_rate = ErrorRates(clock)
        self.latency = Latency(clock)
        self.in_flight = 0
        self.cooling_until = 0.0
        self.unfit_until: dict[str, float] = {}  # models that this key is no good for, and until when
        self._clock = clock
        self._jitter = jitter
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
        return bool(self.cooling_until) and self._clock() < self.cooling_until

    @property
    def cooling_left(self) -> float:
        """Seconds until then."""
        return max(0.0, self.cooling_until - self._clock())

    @property
    def state(self) -> State:
        return self._kind if self._kind != "ok" and self.cooling else "ok"

    def record(self, result: Result, *, retry_after: float | None = None, started: float | None = None) -> None:
        """Count an attempt that began at `started` (by the store's clock) and has ended.

        One that began before the key was set aside does not bring it back, and one that began before its time was over
        does not make it worse: fifty requests that meet the same limit at once are one event.
        """
        if result is _OK and not self.cooling_until:  # as nearly always: there is nothing to take back
            self.error_rate.count_one(SAMPLE)
            return
        self.error_rate.count(COUNTS[result])
        if result is _OK:
            if started is None or started >= self._since:
                self._clear()
            return
        news = not self.cooling if started is None else started >= self.cooling_until
        if result is Result.RATE_LIMITED:
            self._strikes += news
            backoff = min(2.0 ** max(self._strikes - 1, 0), _COOLING_MAX) if self._strikes < 8 else _COOLING_MAX
            self._set_aside("cooling", retry_after or backoff, _RETRY_AFTER_MAX)
        elif result is Result.QUOTA_EXHAUSTED:
            # What a provider says of a used-up quota is often the wait for its rate limit: it counts if it is longer.
            self._set_aside("quota_exhausted", max(retry_after or 0.0, _QUOTA_EXHAUSTED), _QUOTA_EXHAUSTED_MAX)
        elif result is Result.KEY_REJECTED:
            self._rejections += news
            self._set_aside("rejected", _REJECTED * 2 ** min(max(self._rejections - 1, 0), 4), _REJECTED_MAX)

    def unfit_for(self, model_id: str) -> bool:
        """Whether the key was refused for this model (which it may have no access to) a short while ago."""
        return bool(self.unfit_until) and self._clock() < self.unfit_until.get(model_id, 0.0)

    def set_unfit_for(self, model_id: str, seconds: float) -> None:
        """Leave the key alone for this model, so long."""
        now = self._clock()
        if len(self.unfit_until) >= _MAX_PAIRS:  # clients name models at will
            self.unfit_until = {model: until for model, until in self.unfit_until.items() if until > now}
        if len(self.unfit_until) < _MAX_PAIRS:
            self.unfit_until[model_id] = now + seconds

    def _set_aside(self, kind: State, seconds: float, most: float) -> None:
        """Leave the key alone for about so long, unless it is left alone for longer anyway."""
        now = self._clock()
        seconds = min(seconds * (1 + _JITTER * (2 * self._jitter() - 1)), most)
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

    def __init__(
        self,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        *,
        jitter: Callable[[], float] = random.random,
        max_keys: int = _MAX_KEYS,
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._jitter = jitter
        self._max_keys = max_keys
        self._states: OrderedDict[str, KeyState] = OrderedDict()

    def state(self, key_id: str) -> KeyState:
        found = self._states.get(key_id)
        if found is not None:
            self._states.move_to_end(key_id)
            return found
        made = self._states[key_id] = KeyState(key_id, self._clock, self._wall, self._jitter)
        if len(self._states) > self._max_keys:
            self._states.popitem(last=False)
        return made

    def record(
        self, key_id: str, result: Result, *, retry_after: float | None = None, started: float | None = None
    ) -> None:
        self.state(key_id).record(result, retry_after=retry_after, started=started)
