"""What every measure works with: the servers that run, in turns, and how long it all may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import uvloop

from benchmarks.gateway.load import Load
from benchmarks.gateway.results import Figures, medians
from benchmarks.gateway.servers import Server

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done; `seconds` is the length of one turn of the plain measures."""

    rounds: int
    seconds: float
    streams: int
    beside: int
    """Streams that are open beside other requests."""
    held: float
    """Seconds that all streams are open."""
    overload: float
    """Seconds."""


FULL = Effort(rounds=3, seconds=2.0, streams=2000, beside=500, held=4.0, overload=10.0)
QUICK = Effort(rounds=1, seconds=1.0, streams=300, beside=100, held=2.0, overload=2.0)


@dataclass(frozen=True, slots=True)
class Bench:
    servers: Sequence[Server]
    """The provider itself first, as `direct`; the gateway last."""
    upstream: int
    effort: Effort
    say: Callable[[str], None]
    """Tells of progress."""

    @property
    def light(self) -> list[Server]:
        """Servers that can stand thousands of connections."""
        return [server for server in self.servers if server.light]

    def in_turns(
        self, servers: Sequence[Server], one: Callable[[Server], Figures], *, rounds: int | None = None
    ) -> dict[str, Figures]:
        """Medians of each server. Every second round goes the other way, so that drift meets all."""
        seen: dict[str, list[Figures]] = {server.name: [] for server in servers}
        for number in range(rounds or self.effort.rounds):
            for server in servers if number % 2 == 0 else servers[::-1]:
                self.say(f"{server.name}, round {number + 1}")
                seen[server.name].append(one(server))
        return {name: medians(rounds) for name, rounds in seen.items()}


def run(work: Coroutine[Any, Any, Found]) -> Found:
    """Run a load on an event loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def costing(server: Server, work: Callable[[], Load]) -> tuple[Load, float | None]:
    """A load, and the seconds of processor time that it took the server."""
    before = server.cpu_seconds
    load = work()
    after = server.cpu_seconds
    return load, None if before is None or after is None else after - before


def micros(cpu: float | None, count: int) -> float | None:
    """Microseconds for each."""
    return cpu / count * 1e6 if cpu is not None and count else None
