"""Sliding window: counters of the last minute or so, kept in a ring of slots that are made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

Clock = Callable[[], float]


class Window:
    """`kinds` counters over the last `span` seconds, exact to one slot.

    Slots are emptied when time comes round to them, so neither counting nor reading looks at all of them.
    """

    __slots__ = ("_clock", "_counts", "_kinds", "_now", "_per_slot", "_slots", "_totals")

    def __init__(self, kinds: int, clock: Clock, *, span: float = 60.0, slots: int = 30) -> None:
        self._kinds = kinds
        self._slots = slots
        self._per_slot = span / slots
        self._clock = clock
        self._counts = [0] * (kinds * slots)
        self._totals = [0] * kinds
        self._now = int(clock() / self._per_slot)

    def count(self, kinds: Iterable[int]) -> None:
        """Add one to each of these counters."""
        base = self._advanced()
        for kind in kinds:
            self._counts[base + kind] += 1
            self._totals[kind] += 1

    def total(self, kind: int) -> int:
        """How often this counter moved within the span."""
        self._advanced()
        return self._totals[kind]

    def _advanced(self) -> int:
        """Where the present slot begins, once those that have passed out of the span are empty."""
        now = int(self._clock() / self._per_slot)
        for step in range(self._now + 1, min(now, self._now + self._slots) + 1):
            base = step % self._slots * self._kinds
            for kind in range(self._kinds):
                self._totals[kind] -= self._counts[base + kind]
                self._counts[base + kind] = 0
        self._now = max(self._now, now)
        return self._now % self._slots * self._kinds
