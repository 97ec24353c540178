"""The buffer of the counters: a file that all processes of one machine map, or memory of one process."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

from ai_gateway_mw.errors import CountersUnusable
from ai_gateway_mw.limits import places, rings
from ai_gateway_mw.limits.guard import CopiedGuard, FileGuard, Guard, ThreadGuard
from ai_gateway_mw.limits.table import BUCKET, CELL, Table
from ai_gateway_mw.secrets import appearing

_MAGIC: Final = b"aigwlims"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("=8sqqq")  # magic, version, rows of counters, rows of places
_HEADER_CELLS: Final = 64
_HIGHEST: Final = 32  # the cell of the header that `Places` writes

ROWS: Final = 16_384  # 8.5 MB, for gateway keys and for all else each
PLACE_ROWS: Final = 4096


class Memory:
    """The tables in one buffer, and what guards them.

    Counters of gateway keys have a table to themselves: clients who choose what a bucket of `rate-limit` is made of can
    fill the other one, and nobody can fill this.
    """

    def __init__(self, buffer: mmap.mmap, guard: Guard, rows: int, place_rows: int) -> None:
        self.guard = guard
        self.rows, self.place_rows = rows, place_rows
        self.buffer = buffer
        self._bytes = memoryview(buffer)
        size = Table.size(rows, rings.WIDTH)
        self.keys = Table(self._bytes, _HEADER_CELLS, rows, rings.WIDTH)
        self.others = Table(self._bytes, _HEADER_CELLS + size, rows, rings.WIDTH)
        self.of_places = Table(self._bytes, _HEADER_CELLS + 2 * size, place_rows, places.WIDTH)
        self.places = places.Places(self.of_places, buffer, guard, _HIGHEST)

    def fill_from(self, other: Memory) -> None:
        """Have what the other one has, which is of the same size."""
        self._bytes[:] = other._bytes

    def close(self) -> None:
        """Give back the buffer, and close its file."""
        self.guard.close()  # first: it waits for whoever is counting, and lets nobody in any more
        for table in (self.keys, self.others, self.of_places):
            table.release()
        self._bytes.release()
        self.buffer.close()


def private(rows: int, place_rows: int, guard: Guard | None = None) -> Memory:
    """Memory of this process; a child that is forked goes on with a copy."""
    buffer = mmap.mmap(-1, _size(rows, place_rows), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return Memory(buffer, guard or ThreadGuard(), rows, place_rows)


def copied(memory: Memory) -> Memory:
    """Memory of this process with the same in it; whoever holds a place there holds it here, too."""
    made = private(memory.rows, memory.place_rows, CopiedGuard(memory.guard))
    made.fill_from(memory)
    return made


def shared(file: Path, rows: int, place_rows: int) -> Memory:
    """A file, made where there is none. Raises `CountersUnusable`."""
    try:
        if not file.exists():
            _make(file, rows, place_rows)
        handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise CountersUnusable(f"{file} cannot be opened: {error}") from None
    try:
        _check(file, handle, rows, place_rows)
        buffer = mmap.mmap(handle, _size(rows, place_rows))
    except (OSError, ValueError, CountersUnusable) as error:
        os.close(handle)
        raise CountersUnusable(str(error)) from None
    return Memory(buffer, FileGuard(file, handle), rows, place_rows)


def _size(rows: int, place_rows: int) -> int:
    if rows % BUCKET or place_rows % BUCKET or not 0 < rows <= BUCKET * BUCKET or not 0 < place_rows <= BUCKET * BUCKET:
        raise ValueError(f"a table has from {BUCKET} to {BUCKET * BUCKET} rows, a multiple of {BUCKET}")
    cells = _HEADER_CELLS + 2 * Table.size(rows, rings.WIDTH) + Table.size(place_rows, places.WIDTH)
    return cells * CELL


def _make(file: Path, rows: int, place_rows: int) -> None:
    """Of two processes that do this at once, both go on with the same file."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with appearing(file) as draft, draft.open("r+b") as opened:
        _reserve(opened.fileno(), _size(rows, place_rows))
        opened.write(_HEADER.pack(_MAGIC, _VERSION, rows, place_rows))


def _reserve(handle: int, size: int) -> None:
    """Room on the disk, not only a length: who writes to a hole of a mapped file when the disk is full is killed."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.ftruncate(handle, size)


def _check(file: Path, handle: int, rows: int, place_rows: int) -> None:
    magic, version, *there = _HEADER.unpack(os.pread(handle, _HEADER.size, 0).ljust(_HEADER.size, b"\0"))
    if magic != _MAGIC:
        raise CountersUnusable(f"{file} is no file of counters")
    if version != _VERSION or there != [rows, place_rows] or os.fstat(handle).st_size != _size(rows, place_rows):
        raise CountersUnusable(
            f"{file} has counters in the layout of another version: stop every gateway that uses it, and delete it"
        )
