"""Circuits: what a policy's circuit breakers have counted, and which of them are open."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Literal, NamedTuple

from ai_gateway_mw.state.window import Clock, Window

_ALL, _FAILED = 0, 1
_SUCCESS, _FAILURE = (_ALL,), (_ALL, _FAILED)
_MOST: Final = 1_000  # circuits; the one that was not asked for longest is forgotten
_PROBE_LOST: Final = 600.0  # seconds; a probe of which nobody hears again

Decision = Literal["allow", "allow_while_open", "block"]


class Rules(NamedTuple):
    """When a circuit opens, and for how long. Times are in seconds."""

    error_threshold: float
    volume_threshold: int
    window: float
    tripped: float
    slots: int = 10


class Circuit:
    """One of them. Open, it lets one request through at a time once its time is over, until one succeeds."""

    __slots__ = ("_clock", "_probe_from", "_rules", "_until", "_window")

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._window = self._empty()
        self._until: float | None = None  # open until then, and half-open after
        self._probe_from: float | None = None

    def decision(self) -> Decision:
        """Whether a request may go on. One that may is to be recorded."""
        if self._until is None:
            return "allow"
        now = self._clock()
        if now < self._until or (self._probe_from is not None and now - self._probe_from < _PROBE_LOST):
            return "block"
        self._probe_from = now
        return "allow_while_open"

    @property
    def wait(self) -> int:
        """Seconds until the next request may be let through, at least one."""
        left = self._until - self._clock() if self._until is not None else 0.0
        return max(1, math.ceil(left))

    def record(self, decision: Decision, worked: bool | None) -> None:
        """What came of a request that this decision let through; None where that says nothing."""
        if decision == "allow_while_open":
            self._probe_from = None
            if worked is not None and self._until is not None:
                self._until = None if worked else self._clock() + self._rules.tripped
        elif worked is not None and self._until is None:  # else it was let through before it opened
            self._window.count(_SUCCESS if worked else _FAILURE)
            if self._fails_too_often():
                self._until = self._clock() + self._rules.tripped
                self._window = self._empty()  # what was counted says nothing of how it is after that

    def _fails_too_often(self) -> bool:
        counted, rules = self._window.totals(), self._rules
        return counted[_ALL] >= rules.volume_threshold and counted[_FAILED] >= rules.error_threshold * counted[_ALL]

    def _empty(self) -> Window:
        return Window(2, self._clock, span=self._rules.window, slots=self._rules.slots)


class Circuits:
    """All circuits of this process, by names; a reload of the policy keeps those whose name and rules stay."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._circuits: OrderedDict[Hashable, Circuit] = OrderedDict()

    def circuit(self, name: Hashable, rules: Rules) -> Circuit:
        """The circuit of that name and these rules."""
        key = name, rules
        circuit = self._circuits.get(key)
        if circuit is None:
            if len(self._circuits) >= _MOST:
                self._circuits.popitem(last=False)
            circuit = self._circuits[key] = Circuit(rules, self._clock)
        self._circuits.move_to_end(key)
        return circuit
