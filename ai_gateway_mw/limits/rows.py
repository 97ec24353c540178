"""Rows: where the counters of names stand, remembered by each process for itself."""

from __future__ import annotations

import mmap
import struct
from hashlib import blake2b
from typing import Final

from ai_gateway_mw.limits.table import Row, Table

CounterName = tuple[str, int]
"""A name, and the code of the window over which it counts."""

_MOST: Final = 65_536
_NOWHERE: Final = Row(0, slice(0, 0), bytes(16))
_code = struct.Struct("=q").pack


class Rows(dict[CounterName, Row]):
    """Where rows were found last. A row may have become another's since, so whoever asks compares the name that stands
    there; for what was never found there is a row whose name is never right."""

    def __init__(self, buffer: mmap.mmap) -> None:
        super().__init__()
        self._buffer = buffer

    def __missing__(self, _: CounterName) -> Row:
        return _NOWHERE

    def found(self, counter: CounterName, table: Table) -> Row | None:
        """The row of a counter: where it was found last, as long as it stands there, or wherever it stands."""
        row = self[counter]
        if self._buffer[row.name] == row.digest:
            return row
        found = table.find(digest_of(counter))
        return None if found is None else self.remembered(counter, found)

    def remembered(self, counter: CounterName, row: Row) -> Row:
        if len(self) >= _MOST:
            self.clear()
        self[counter] = row
        return row


def digest_of(counter: CounterName) -> bytes:
    """What a counter is found by."""
    name, code = counter
    return blake2b(name.encode(), digest_size=16, salt=_code(code)).digest()
