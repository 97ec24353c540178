"""Counters: what is used of limits, exact in one process and across all processes of one machine."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from ai_gateway_mw.clocks import Seldom
from ai_gateway_mw.errors import LimitsUnavailable
from ai_gateway_mw.limits import memory, rings
from ai_gateway_mw.limits.places import Place
from ai_gateway_mw.limits.rings import Standing
from ai_gateway_mw.limits.rows import CounterName, Rows, digest_of
from ai_gateway_mw.limits.table import Row, Table
from ai_gateway_mw.limits.windows import Window

_log = logging.getLogger("ai_gateway_mw.limits")
KEY_PREFIX: Final = "key:"  # of the names of counters that gateway keys have
CROWDED: Final = -1  # refused for want of a free place

Claim = tuple[CounterName, Window, int, int]
"""A counter, its window, how much it allows, and which of the amounts that go with the claims counts in it."""
ONE: Final = (1,)  # the amounts of claims that want one each


def claim_of(name: str, window: Window, limit: int, part: int = 0) -> Claim:
    return (name, window.code), window, limit, part


class Taken(NamedTuple):
    """What `take` says: of each claim how its counter stands now, and of a refusal which claim has to wait longest."""

    at: float  # when; `correct` wants to know
    standings: Sequence[Standing]
    refused: int | None = None  # the number of that claim, or `CROWDED`
    retry_after: int = 0

    @property
    def granted(self) -> bool:
        return self.refused is None


class Counters:
    """Every method but `close` raises `LimitsUnavailable` where nothing can be counted, and then nothing was."""

    def __init__(self, of: memory.Memory, clock: Callable[[], float]) -> None:
        self._memory = of
        self._guard = of.guard
        self._cells = of.keys.cells
        self._buffer = of.buffer
        self._places = of.places
        self._clock = clock
        self._rows = Rows(of.buffer)
        self._closed = False
        self._fullness = Seldom()

    @classmethod
    def shared(
        cls,
        file: Path,
        *,
        clock: Callable[[], float] = time.time,
        rows: int = memory.ROWS,
        place_rows: int = memory.PLACE_ROWS,
    ) -> Self:
        """Counters in a file, made on first use. Raises `CountersUnusable`. Each process opens its own, or goes on with
        what it was forked with."""
        return cls(memory.shared(file, rows, place_rows), clock)

    @classmethod
    def in_memory(
        cls,
        *,
        clock: Callable[[], float] = time.time,
        rows: int = memory.ROWS,
        place_rows: int = memory.PLACE_ROWS,
    ) -> Self:
        """Counters of this process alone."""
        return cls(memory.private(rows, place_rows), clock)

    def copied(self) -> Counters:
        """What is counted now, to go on with apart: what is taken there is not taken here."""
        with self._guard:
            return Counters(memory.copied(self._memory), self._clock)

    def take(self, claims: Sequence[Claim], wanted: Sequence[int] = ONE, place: Place | None = None) -> Taken:
        """Take what all claims want (0 to look only) and a place, or nothing of any of them. Where no place is free,
        the claims are not looked at. The place is to be given back by `correct`, and is when this process dies."""
        cells, buffer, rows = self._cells, self._buffer, self._rows
        standings: list[Standing] = []
        waits: dict[int, int] = {}  # of claims that do not fit in, by their numbers
        with self._guard:
            now = self._clock()
            if place is not None and not self._places.enter(place):
                return Taken(now, (), CROWDED)
            try:
                for counter, window, limit, part in claims:
                    # `found` of the rows, written out: each request asks it of every counter.
                    row = rows[counter]
                    if buffer[row.name] != row.digest:
                        row = self._found(counter) or self._new_row(counter, window, now)
                    standing = rings.take(cells, row.base, window, now, limit, wanted[part])
                    if standing[1] < 0:
                        waits[len(standings)] = rings.wait(cells, row.base, window, now, -standing[1])
                    standings.append(standing)
                if not waits:
                    return Taken(now, standings)
            except BaseException:
                self._undo(claims[: len(standings)], wanted, waits, place)
                raise
            self._undo(claims, wanted, waits, place)
            standings = [self._standing(counter, window, limit, now) for counter, window, limit, _ in claims]
        refused = max(waits, key=waits.__getitem__)
        return Taken(now, standings, refused, waits[refused])

    def correct(
        self, claims: Sequence[Claim], differences: Sequence[int], at: float, place: Place | None = None
    ) -> None:
        """Change what was taken at that time by these differences, whatever the limits say, and give the place back.
        What has left its window cannot be less any more; what it should have been more counts now."""
        cells, buffer, rows = self._cells, self._buffer, self._rows
        with self._guard:
            now = self._clock()
            try:
                for counter, window, _, part in claims:
                    difference = differences[part]
                    if not difference:
                        continue
                    # `found` of the rows, written out: each request asks it of every counter.
                    row = rows[counter]
                    if buffer[row.name] != row.digest:
                        found = self._found(counter)
                        if found is None and difference < 0:
                            continue
                        row = found or self._new_row(counter, window, now)
                    rings.correct(cells, row.base, window, now, at, difference)
            finally:
                if place is not None:
                    self._places.leave(place)

    def value(self, name: str, window: Window) -> int:
        """How much is used."""
        with self._guard:
            row = self._found((name, window.code))
            if row is None:
                return 0
            rings.advanced(self._cells, row.base, window, self._clock())
            return rings.total(self._cells, row.base, window)

    def raise_to(self, name: str, window: Window, value: int) -> None:
        """Count at least so much as used: for what is known from elsewhere, after a start."""
        with self._guard:
            now = self._clock()
            counter = name, window.code
            row = self._found(counter) or self._new_row(counter, window, now)
            head = rings.advanced(self._cells, row.base, window, now)
            missing = value - rings.total(self._cells, row.base, window)
            if missing > 0:
                rings.add(self._cells, row.base, window, head, missing)

    def entered(self, name: str) -> int:
        """How many places are taken."""
        with self._guard:
            return self._places.taken(name)

    def close(self) -> None:
        """Let go of the file; places of this process are given back with it."""
        if not self._closed:
            self._closed = True
            self._memory.close()

    def _found(self, counter: CounterName) -> Row | None:
        return self._rows.found(counter, self._table(counter))

    def _new_row(self, counter: CounterName, window: Window, now: float) -> Row:
        table, cells = self._table(counter), self._cells
        try:
            row = table.add(
                digest_of(counter),
                int(now),
                lambda base: rings.is_over(cells, base, now),
                lambda base: rings.begin(cells, base, window, now),
            )
        except LimitsUnavailable:
            for base in table.bases_near(digest_of(counter)):
                rings.bring_near(cells, base, now)
            self._tell_full(counter, now)
            raise
        return self._rows.remembered(counter, row)

    def _tell_full(self, counter: CounterName, now: float) -> None:
        """Log it, at most once a minute."""
        if self._fullness.is_due(now):
            of_key = counter[0].startswith(KEY_PREFIX)
            hint = "limits of fewer gateway keys" if of_key else "a `bucket_key` with fewer values"
            _log.warning(
                "all counters are in use, and who needs one more gets 503 until a window ends: %s would do", hint
            )

    def _table(self, counter: CounterName) -> Table:
        return self._memory.keys if counter[0].startswith(KEY_PREFIX) else self._memory.others

    def _standing(self, counter: CounterName, window: Window, limit: int, now: float) -> Standing:
        base = (self._found(counter) or self._new_row(counter, window, now)).base
        rings.advanced(self._cells, base, window, now)
        used = rings.total(self._cells, base, window)
        return limit, max(0, limit - used), rings.reset(self._cells, base, window, now, used)

    def _undo(
        self, claims: Sequence[Claim], wanted: Sequence[int], misfits: Container[int], place: Place | None
    ) -> None:
        """Give back what was taken just now: what these claims want, but for those that did not fit in."""
        for number, (counter, window, _, part) in enumerate(claims):
            row = self._found(counter)
            if row is not None and number not in misfits:
                rings.give_back(self._cells, row.base, window, wanted[part])
        if place is not None:
            self._places.leave(place)
