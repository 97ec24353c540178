"""Places: how many exchanges are under way by a name, over all processes; those of a dead process do not count."""

from __future__ import annotations

import mmap
from typing import Final

from ai_gateway_mw.errors import LimitsUnavailable
from ai_gateway_mw.limits.guard import PROCESSES, Guard
from ai_gateway_mw.limits.rows import CounterName, Rows, digest_of
from ai_gateway_mw.limits.table import Row, Table

WIDTH: Final = PROCESSES
Place = tuple[CounterName, int]
"""A name, and how many places there are by it."""

_CODE: Final = 0  # no window has it


def place_of(name: str, most: int) -> Place:
    return (name, _CODE), most


class Places:
    """A row for a name, in which each process has the cell of its seat. The caller holds the lock."""

    __slots__ = ("_buffer", "_cells", "_guard", "_highest", "_rows", "_table", "_zeros")

    def __init__(self, table: Table, buffer: mmap.mmap, guard: Guard, highest: int) -> None:
        """`highest` is the cell that tells how many seats were ever taken: the others are not looked at."""
        self._table = table
        self._buffer = buffer
        self._cells = table.cells
        self._rows = Rows(buffer)
        self._guard = guard
        self._highest = highest
        self._zeros = memoryview(bytes(8 * WIDTH)).cast("q")

    def enter(self, place: Place) -> bool:
        """Take one more, if there is one that is not taken."""
        counter, limit = place
        rows, cells = self._rows, self._cells
        row = rows.found(counter, self._table) or rows.remembered(counter, self._added(counter))
        base = row.base
        seat = self._guard.seat
        if seat < 0:
            seat = self._sit_down()
        end = base + cells[self._highest]
        if sum(cells[base:end]) >= limit and (limit < 1 or self._living(base, end) >= limit):
            return False
        cells[base + seat] += 1
        return True

    def leave(self, place: Place) -> None:
        """Give back one of this process."""
        row, cells = self._rows.found(place[0], self._table), self._cells
        if row is None:
            return
        seat = self._guard.seat
        if seat < 0:
            seat = self._sit_down()
        if cells[row.base + seat] > 0:
            cells[row.base + seat] -= 1

    def taken(self, name: str) -> int:
        """How many places are taken by processes that live."""
        row = self._rows.found((name, _CODE), self._table)
        return 0 if row is None else self._living(row.base, row.base + self._cells[self._highest])

    def _living(self, base: int, end: int) -> int:
        """The same, after cells of the dead are emptied."""
        cells = self._cells
        for cell in range(base, end):
            if cells[cell] and not self._guard.is_taken(cell - base):
                cells[cell] = 0
        return sum(cells[base:end])

    def _added(self, counter: CounterName) -> Row:
        """A row for a name that has none; where there is no room, places of dead processes are given up first."""
        digest = digest_of(counter)
        try:
            return self._table.add(digest, 0, self._is_free)
        except LimitsUnavailable:
            self._sweep()
        return self._table.add(digest, 0, self._is_free)

    def _sit_down(self) -> int:
        """Take a seat, and empty its cells: its last holder died."""
        seat = self._guard.take_seat()
        for base in self._table.bases():
            self._cells[base + seat] = 0
        self._cells[self._highest] = max(self._cells[self._highest], seat + 1)
        return seat

    def _sweep(self) -> None:
        seats = self._cells[self._highest]
        dead = [seat for seat in range(seats) if not self._guard.is_taken(seat)]
        for base in self._table.bases():
            for seat in dead:
                self._cells[base + seat] = 0

    def _is_free(self, base: int) -> bool:
        return bool(self._cells[base : base + WIDTH] == self._zeros)
