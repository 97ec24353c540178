"""Table: rows of 64-bit cells in a buffer that processes share, found by a digest of 16 bytes.

Whoever reads or writes holds the lock of the buffer. A writer may die between any two cells: a row gets its name last,
so that one half made belongs to nobody.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ai_gateway_mw.errors import LimitsUnavailable

CELL: Final = 8
BUCKET: Final = 256  # rows that are searched at once
_DIGEST: Final = 16
_PAGE: Final = BUCKET * _DIGEST
_NOBODY: Final = bytes(_DIGEST)
_halves = struct.Struct("=qq").unpack


@dataclass(frozen=True, slots=True)
class Row:
    """Where a row is, and whose it was when it was found: as long as the bytes at `name` are this digest, it still
    is."""

    base: int  # its first cell
    name: slice
    digest: bytes


class Table:
    """Hashed into buckets of 256 rows: a name stands in one of two, so that few are full before all are."""

    __slots__ = ("_bodies", "_buckets", "_bytes", "_names", "_width", "_zeros", "cells")

    def __init__(self, buffer: memoryview, start: int, rows: int, width: int) -> None:
        """`start` counts cells from the beginning of the buffer; `rows` is a multiple of 256."""
        self._bytes = buffer
        self.cells = buffer.cast("q")
        self._names = start
        self._bodies = start + 2 * rows
        self._buckets = rows // BUCKET
        self._width = width
        self._zeros = memoryview(bytes(width * CELL)).cast("q")

    @staticmethod
    def size(rows: int, width: int) -> int:
        """How many cells a table takes."""
        return rows * (2 + width)

    def find(self, digest: bytes) -> Row | None:
        """The row of that name."""
        for bucket in self._homes(digest):
            at = self._names * CELL + bucket * _PAGE
            index = _index(bytes(self._bytes[at : at + _PAGE]), digest)
            if index is not None:
                return self._row(bucket * BUCKET + index, digest)
        return None

    def add(
        self, digest: bytes, bound: int, is_free: Callable[[int], bool], write: Callable[[int], None] | None = None
    ) -> Row:
        """A row for a name that has none: the first that is free is emptied, written and then named. No row is free
        whose first cell is above the bound. Raises `LimitsUnavailable` where all are in use, since what they count must
        not be forgotten."""
        cells = self.cells
        for row in self._candidates(digest, bound):
            if is_free(row.base):
                name = row.name.start // CELL
                cells[name] = cells[name + 1] = 0
                cells[row.base : row.base + self._width] = self._zeros
                if write is not None:
                    write(row.base)
                cells[name], cells[name + 1] = _halves(digest)
                return row
        raise LimitsUnavailable

    def bases(self) -> Iterator[int]:
        """The rows that have a name."""
        for bucket in range(self._buckets):
            at = self._names * CELL + bucket * _PAGE
            page = bytes(self._bytes[at : at + _PAGE])
            if page.strip(b"\0"):
                for index in range(BUCKET):
                    if page[index * _DIGEST : (index + 1) * _DIGEST] != _NOBODY:
                        yield self._bodies + (bucket * BUCKET + index) * self._width

    def bases_near(self, digest: bytes) -> Iterator[int]:
        """All the rows in which that name could stand."""
        for bucket in self._homes(digest):
            start = self._bodies + bucket * BUCKET * self._width
            yield from range(start, start + BUCKET * self._width, self._width)

    def release(self) -> None:
        """Let go of the buffer."""
        self.cells.release()

    def _candidates(self, digest: bytes, bound: int) -> Iterator[Row]:
        width = self._width
        for bucket in self._homes(digest):
            start = self._bodies + bucket * BUCKET * width
            for index, first in enumerate(self.cells[start : start + BUCKET * width : width].tolist()):
                if first <= bound:
                    yield self._row(bucket * BUCKET + index, digest)

    def _homes(self, digest: bytes) -> tuple[int, int]:
        return digest[0] % self._buckets, digest[1] % self._buckets

    def _row(self, number: int, digest: bytes) -> Row:
        name = self._names * CELL + number * _DIGEST
        return Row(self._bodies + number * self._width, slice(name, name + _DIGEST), digest)


def _index(page: bytes, digest: bytes) -> int | None:
    """Which of the digests of a bucket it is; what is found across two of them is chance."""
    at = page.find(digest)
    while at % _DIGEST and at >= 0:
        at = page.find(digest, at + 1)
    return at // _DIGEST if at >= 0 else None
