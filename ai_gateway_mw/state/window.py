"""Sliding window: counters of the last minute or so, kept in a ring of slots that are made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import sub

Clock = Callable[[], float]


class Window:
    """`kinds` counters over the last `span` seconds, exact to one slot.

    Slots are emptied when time comes round to them, so neither counting nor reading looks at all of them; within a
    slot's time both cost a look at the clock. What the present slot has counted is the difference to `_before`; of one
    in which nothing happened, nothing is kept.
    """

    __slots__ = ("_before", "_clock", "_counts", "_number", "_per_slot", "_totals", "_until")

    def __init__(self, kinds: int, clock: Clock, *, span: float = 60.0, slots: int = 30) -> None:
        self._per_slot = span / slots
        self._clock = clock
        self._counts: list[Sequence[int] | None] = [None] * slots
        self._totals = [0] * kinds
        self._begin(int(clock() / self._per_slot))

    def count(self, kinds: Iterable[int]) -> None:
        """Add one to each of these counters."""
        now = self._clock()
        if now >= self._until:
            self._advance(now)
        totals = self._totals
        for kind in kinds:
            totals[kind] += 1

    def count_one(self, kind: int) -> None:
        """The same for a single counter: that of successes, which nearly all attempts are."""
        now = self._clock()
        if now >= self._until:
            self._advance(now)
        self._totals[kind] += 1

    def totals(self) -> Sequence[int]:
        """How often each counter moved within the span; to be read at once, since it goes on counting."""
        now = self._clock()
        if now >= self._until:
            self._advance(now)
        return self._totals

    def _advance(self, now: float) -> None:
        """Go on to the slot of this time, and empty those that have passed out of the span."""
        number, last = int(now / self._per_slot), self._number
        if number <= last:  # by rounding
            return
        counts, totals = self._counts, self._totals
        slots = len(counts)
        if totals != self._before:
            counts[last % slots] = list(map(sub, totals, self._before))
        for step in range(last + 1, min(number, last + slots) + 1):
            passed = counts[step % slots]
            if passed is not None:
                totals[:] = map(sub, totals, passed)
                counts[step % slots] = None
        self._begin(number)

    def _begin(self, number: int) -> None:
        """Make this the present slot."""
        self._number = number
        self._before = list(self._totals)
        self._until = (number + 1) * self._per_slot
