"""What keeps threads and processes from each other: locks that the kernel drops when their holder dies."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from typing import Final, Protocol

from ai_gateway_mw.errors import CountersUnusable, LimitsUnavailable

PROCESSES: Final = 128


class Guard(Protocol):
    """One holder at a time. `seat` is the number of this process among those that share the counters; -1 as long as it
    has not taken one."""

    seat: int

    def __enter__(self) -> object: ...
    def __exit__(self, *_: object) -> None: ...
    def take_seat(self) -> int: ...
    def is_taken(self, seat: int) -> bool: ...
    def close(self) -> None: ...


class ThreadGuard:
    """For counters of one process."""

    __slots__ = ("__weakref__", "_is_open", "_lock", "seat")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_open = True
        self.seat = -1
        _renew_after_fork(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        if not self._is_open:
            self._lock.release()
            raise LimitsUnavailable

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def take_seat(self) -> int:
        """There is only one. A child takes it too, which has none of its parent's exchanges."""
        self.seat = 0
        return self.seat

    def is_taken(self, seat: int) -> bool:
        """Nobody else counts here."""
        return seat == 0

    def close(self) -> None:
        """Let nobody in any more."""
        with self._lock:
            self._is_open = False

    def renew(self) -> None:
        """In a child, where no thread is left that could let go of the lock."""
        self._lock = threading.Lock()
        self.seat = -1


class CopiedGuard(ThreadGuard):
    """For a copy of the counters: seats are taken as they were when it was made, and stay so."""

    __slots__ = ("_free", "_taken")

    def __init__(self, of: Guard) -> None:
        super().__init__()
        self._taken = frozenset(seat for seat in range(PROCESSES) if of.is_taken(seat))
        self._free = next((seat for seat in range(PROCESSES) if seat not in self._taken), PROCESSES - 1)

    def take_seat(self) -> int:
        """One that nobody had."""
        self.seat = self._free
        return self.seat

    def is_taken(self, seat: int) -> bool:
        return seat in self._taken or seat == self._free


class FileGuard:
    """For counters that processes share.

    `flock`, because it belongs to what was opened: two gateways of one process keep each other out too, and one that
    closes its file takes no lock from the other. A child opens its own, or it would share its parent's locks and keep
    them when the parent dies.
    """

    __slots__ = ("__weakref__", "_file", "_handle", "_lock", "_seat_handle", "seat")

    def __init__(self, file: Path, handle: int) -> None:
        """`handle` is the open file; it is closed with this."""
        self._file = file
        self._handle = handle
        self._lock = threading.Lock()
        self.seat = self._seat_handle = -1
        _renew_after_fork(self)

    def __enter__(self) -> None:
        self._lock.acquire()
        try:
            flock(self._handle, LOCK_EX)
        except (OSError, ValueError):  # ValueError: closed, or lost with a fork
            self._lock.release()
            raise LimitsUnavailable from None

    def __exit__(self, *_: object) -> None:
        try:
            flock(self._handle, LOCK_UN)
        finally:
            self._lock.release()

    def take_seat(self) -> int:
        """One that no process has that lives: what its last holder left is still there."""
        for seat in range(PROCESSES):
            handle = self._try(seat)
            if handle is not None:
                self.seat, self._seat_handle = seat, handle
                return seat
        raise LimitsUnavailable

    def is_taken(self, seat: int) -> bool:
        """Whether a process that lives has it."""
        handle = None if seat == self.seat else self._try(seat)
        if handle is None:
            return True
        os.close(handle)
        return False

    def close(self) -> None:
        """Give up the seat, and close the file."""
        with self._lock:
            for handle in (self._seat_handle, self._handle):
                if handle >= 0:
                    os.close(handle)
            self.seat = self._seat_handle = self._handle = -1

    def __del__(self) -> None:
        """For counters that nobody closed, as those of a gateway without a lifespan."""
        self.close()

    def renew(self) -> None:
        """In a child: open what the parent had open, and take no seat yet."""
        self._lock = threading.Lock()
        inherited = self._handle
        if inherited < 0:
            return
        self._handle = -1
        try:
            with suppress(OSError, CountersUnusable):
                self._handle = _opened_again(self._file, inherited)
        finally:
            os.close(inherited)
            if self._seat_handle >= 0:
                os.close(self._seat_handle)
            self.seat = self._seat_handle = -1

    def _try(self, seat: int) -> int | None:
        """The seat's file, locked; None where somebody else has it."""
        path = self._file.with_name(f"{self._file.name}.{seat}")
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            raise LimitsUnavailable from None
        try:
            flock(handle, LOCK_EX | LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        return handle


def _opened_again(file: Path, inherited: int) -> int:
    handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    if os.path.samestat(os.fstat(handle), os.fstat(inherited)):
        return handle
    os.close(handle)
    raise CountersUnusable(f"{file} is no longer the file that was opened")


def _renew_after_fork(guard: ThreadGuard | FileGuard) -> None:
    """Registered for as long as the process lives, and holding on to nothing."""
    known = weakref.ref(guard)

    def renew() -> None:
        living = known()
        if living is not None:
            living.renew()

    os.register_at_fork(after_in_child=renew)
