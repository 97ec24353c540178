"""Windows: over which time a limit counts. Each cuts time into numbered slots, of which the last few count.

A slot is `length` seconds long, and its number is how many were before it. Months have no one length, and that is 0:
they are numbered by their year.
"""

from __future__ import annotations

import calendar
import time
from math import inf
from typing import Final, Literal

_SLOTS: Final = 60
_DAY: Final = 86_400
_LONGEST: Final = 366 * _DAY


class Sliding:
    """The last `seconds`, in at most 60 slots and the one that is passing.

    All slots that the window touches count, the oldest as a whole: so no interval of `seconds` ever holds more than
    the limit, and a count leaves up to one slot late.
    """

    __slots__ = ("cells", "code", "length", "seconds", "span")

    def __init__(self, seconds: int) -> None:
        if not 1 <= seconds <= _LONGEST:
            raise ValueError(f"a window lasts from 1 second to 366 days, and not {seconds} seconds")
        self.seconds = self.code = seconds
        self.length = -(-seconds // _SLOTS)
        self.cells = -(-seconds // self.length) + 1
        self.span = self.cells * self.length  # how long a count stays at most

    def slot(self, now: float) -> int:
        """The number of the slot that a time is in."""
        return int(now // self.length)

    def leaves(self, slot: int) -> float:
        """The time from which on a slot no longer counts."""
        return (slot + self.cells) * self.length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sliding) and other.seconds == self.seconds

    def __hash__(self) -> int:
        return hash((Sliding, self.seconds))

    def __repr__(self) -> str:
        return f"Sliding({self.seconds})"


class Calendar:
    """The day or the month, by UTC: one slot, which starts anew at the boundary."""

    __slots__ = ("_last", "cells", "code", "length", "period", "span")

    def __init__(self, period: Literal["day", "month"]) -> None:
        self.period = period
        self.code = -1 if period == "day" else -2
        self.cells = 1
        self.length = _DAY if period == "day" else 0
        self._last = (inf, 0.0, 0)  # of a month that was asked for: its beginning, its end and its number
        self.span = _DAY if period == "day" else 31 * _DAY

    def slot(self, now: float) -> int:
        """The number of the day or month that a time is in."""
        if self.code == -1:
            return int(now // _DAY)
        begin, end, slot = self._last
        if not begin <= now < end:
            date = time.gmtime(now)
            slot = date.tm_year * 12 + date.tm_mon - 1
            self._last = (self.leaves(slot - 1), self.leaves(slot), slot)
        return slot

    def leaves(self, slot: int) -> float:
        """The time from which on it no longer counts."""
        if self.code == -1:
            return (slot + 1) * _DAY
        year, month = divmod(slot + 1, 12)
        return calendar.timegm((year, month + 1, 1, 0, 0, 0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Calendar) and other.period == self.period

    def __hash__(self) -> int:
        return hash((Calendar, self.period))

    def __repr__(self) -> str:
        return f'Calendar("{self.period}")'


Window = Sliding | Calendar
MOST_CELLS: Final = _SLOTS + 1
