"""Which worker of a gateway serves a connection: the kernel tells, by the socket that both have (Linux only)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from benchmarks.contract.client import Connection, connect, get

_ESTABLISHED = "01"
_BURST = 16
_ATTEMPTS = 60


class Pinned:
    """Connections to every worker of a gateway, opened until all of them are held by one or another.

    Each comes from an address of its own: what is done to one that brings too many dead keys is done to no other.
    """

    def __init__(self, port: int, supervisor: int, workers: int) -> None:
        self._port = port
        self._supervisor = supervisor
        self._workers = workers
        self._sources = (f"127.77.{number // 200 % 200}.{1 + number % 200}" for number in count())
        self._free: defaultdict[int, list[Connection]] = defaultdict(list)

    async def of_each(self) -> dict[int, Connection]:
        """A connection to each worker, for the caller alone."""
        for _ in range(_ATTEMPTS):
            held = {worker: found for worker in list(self._free) if (found := self._taken(worker)) is not None}
            if len(held) == self._workers:
                return held
            for worker, connection in held.items():
                self._free[worker].append(connection)
            await self._more()
        raise AssertionError(f"{_ATTEMPTS * _BURST} connections have not reached all {self._workers} workers")

    def give_back(self, worker: int, connection: Connection) -> None:
        """What is open can be used again."""
        if connection.open and connection.answer.whole:
            self._free[worker].append(connection)
        else:
            connection.leave()

    def close(self) -> None:
        for connections in self._free.values():
            for connection in connections:
                connection.leave()

    def _taken(self, worker: int) -> Connection | None:
        while self._free[worker]:
            connection = self._free[worker].pop(0)  # all of them in turn
            if connection.open:
                return connection
        return None

    async def _more(self) -> None:
        """At one go: workers that are busy leave connections to others."""
        opened = await asyncio.gather(*(connect(self._port, source=next(self._sources)) for _ in range(_BURST)))
        for connection in opened:
            connection.send(get("/healthz"))
        for connection in opened:
            await connection.ended()
        inodes = _inodes(self._port)
        owners = {inode: pid for pid in processes_below(self._supervisor) for inode in _sockets(pid)}
        for connection in opened:
            owner = owners.get(inodes.get(connection.port, "")) if connection.open else None
            if owner is None:
                connection.leave()
            else:
                self._free[owner].append(connection)


def processes_below(pid: int) -> list[int]:
    """A process and all that it has started, and what those have."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended meanwhile
        return []
    return [pid, *(below for child in children for below in processes_below(int(child)))]


def _inodes(port: int) -> dict[int, str]:
    """Of each connection to this port, by its client's port, the socket at our end."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_rest = line.split()
        if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == port:
            found[int(remote.rpartition(":")[2], 16)] = line.split()[9]
    return found


def _sockets(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                name = str(file.readlink())
                if name.startswith("socket:["):
                    yield name[8:-1]
