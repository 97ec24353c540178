"""Measures of many connections: thousands of streams, requests beside them, slow readers, and an overload."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from benchmarks.gateway import load
from benchmarks.gateway.bench import Bench, Effort, micros, run
from benchmarks.gateway.load import Connection, Streams, percentile
from benchmarks.gateway.requests import CONNECTIONS, CPU, FAILED, of_closed
from benchmarks.gateway.results import Column, Figures, Result
from benchmarks.gateway.servers import Server
from benchmarks.gateway.wire import Stream, chat

_PATIENCE: Final = 10.0  # seconds for streams to end after their last event is due
_EVERY: Final = 0.5
_RAMP: Final = 500  # streams opened in a second
_TIMES: Final = 4
_WAITING: Final = 1000  # connections of an overload
_PROBED: Final = 3.0  # seconds to recover in
_PROBES: Final = 0.02  # seconds between two
_ROW: Final = 5  # probes that show that a server is its old self
_SLOW: Final = Stream(events=4096, size=2048)


def streams(bench: Bench) -> Result:
    """Many at once: whether all are served, what each takes, and whether those that come last must wait."""
    count = bench.effort.streams
    idle = {server.name: server.memory_kib for server in bench.light}  # in later rounds they hold what they had

    def one(server: Server) -> Figures:
        return run(_streams(server, count, bench.effort.held, idle[server.name]))

    rows = bench.in_turns(bench.light, one)
    columns = (
        Column("served"),
        Column("cut"),
        Column("KiB/stream", 1, ratio=True),
        Column("first p50 ms", 2),
        Column("first p99 ms", 2, ratio=True),
        Column("event p99 ms", 2),
        Column("CPU us/event", 1, ratio=True),
    )
    return Result(f"Streams: {count} at once, opened at {_RAMP}/s, an event every {_EVERY} s", columns, rows)


async def _streams(server: Server, count: int, held: float, before: float | None) -> Figures:
    ramp = count / _RAMP
    stream = Stream(events=int((ramp + held) / _EVERY) + 1, every=_EVERY)
    crowd = Streams(server.port, chat(stream=stream))
    try:
        await crowd.open(count, ramp=ramp)
        await asyncio.sleep(_EVERY)
        cpu, events = server.cpu_seconds, crowd.events
        await asyncio.sleep(held - 2 * _EVERY)
        cpu_after, events_after = server.cpu_seconds, crowd.events
        after = server.memory_kib
        await crowd.ended(ramp + held + _PATIENCE)
    finally:
        crowd.close()
    firsts = [answer.first_after for answer in crowd.answers if answer.first]
    delays = [delay for answer in crowd.answers for delay in answer.delays]
    used = None if cpu is None or cpu_after is None else cpu_after - cpu
    return {
        "served": float(sum(answer.whole for answer in crowd.answers)),
        "cut": float(sum(answer.first > 0 and not answer.whole for answer in crowd.answers)),
        "KiB/stream": None if before is None or after is None else (after - before) / count,
        "first p50 ms": _ms(percentile(firsts, 0.5)),
        "first p99 ms": _ms(percentile(firsts, 0.99)),
        "event p99 ms": _ms(percentile(delays, 0.99)),
        "CPU us/event": micros(used, events_after - events),
    }


def beside(bench: Bench) -> Result:
    """JSON requests while streams are open."""
    count = bench.effort.beside

    def one(server: Server) -> Figures:
        alone = of_closed(server, chat(), connections=CONNECTIONS, seconds=bench.effort.seconds)
        return run(_beside(server, count, bench.effort.seconds, alone["requests/s"] or 0))

    rows = bench.in_turns(bench.light, one)
    columns = (
        Column("alone requests/s"),
        Column("beside requests/s", ratio=True),
        Column("of alone %"),
        Column("cut"),
        Column("event p99 ms", 2),
        Column(FAILED),
    )
    return Result(f"Beside: JSON throughput with {count} open streams, an event every 0.1 s", columns, rows)


async def _beside(server: Server, count: int, seconds: float, alone: float) -> Figures:
    ramp = count / _RAMP
    stream = Stream(events=int((ramp + seconds + 1) / 0.1), every=0.1)
    crowd = Streams(server.port, chat(stream=stream))
    try:
        await crowd.open(count, ramp=ramp)
        seen = await load.closed(server.port, chat(), connections=CONNECTIONS, seconds=seconds)
        await crowd.ended(ramp + _PATIENCE)
    finally:
        crowd.close()
    delays = [delay for answer in crowd.answers for delay in answer.delays]
    return {
        "alone requests/s": alone,
        "beside requests/s": seen.rate,
        "of alone %": 100 * seen.rate / alone if alone else None,
        "cut": float(sum(not answer.whole for answer in crowd.answers)),
        "event p99 ms": _ms(percentile(delays, 0.99)),
        FAILED: float(seen.failed),
    }


def slow(bench: Bench) -> Result:
    """Clients that do not read what comes fast: what a server holds for each of them."""
    readers, seconds = bench.effort.beside // 10, bench.effort.held / 2
    rows = bench.in_turns(bench.light[1:], lambda server: run(_slow(server, readers, seconds)), rounds=1)
    columns = (Column("KiB/reader"), Column("served"), Column("read after s", 2))
    megabytes = _SLOW.events * _SLOW.size / 1e6
    return Result(
        f"Slow readers: {readers} streams of {megabytes:.0f} MB that nobody reads for {seconds:g} s", columns, rows
    )


async def _slow(server: Server, readers: int, seconds: float) -> Figures:
    crowd = Streams(server.port, chat(stream=_SLOW))
    before = server.memory_kib
    try:
        await crowd.open(readers, ramp=0.1, slowly_read=True)
        await asyncio.sleep(seconds)
        after = server.memory_kib
        begun = time.monotonic()
        crowd.read()
        await crowd.ended(3 * _PATIENCE)
        took = time.monotonic() - begun
    finally:
        crowd.close()
    return {
        "KiB/reader": None if before is None or after is None else (after - before) / readers,
        "served": float(sum(answer.whole for answer in crowd.answers)),
        "read after s": took,
    }


def overload(bench: Bench) -> Result:
    """Four times as many requests as the server can take; how soon it is its old self when they stop."""
    rows = bench.in_turns(bench.light[1:], lambda server: run(_overload(server, bench.effort)), rounds=1)
    columns = (
        Column("offered/s"),
        Column("served/s", ratio=True),
        Column("of capacity %"),
        Column(CPU, 1),
        Column(FAILED),
        Column("before ms", 2),
        Column("recovered after s", 2),
    )
    notes = [
        f"{_WAITING} connections wait; what is due while all of them do is not sent",
        f"recovered: {_ROW} requests in a row, {_PROBES * 1e3:.0f} ms apart, took at most 3 times the time before",
    ]
    title = f"Overload: {_TIMES} times the capacity for {bench.effort.overload:.0f} s"
    return Result(title, columns, rows, notes)


async def _overload(server: Server, effort: Effort) -> Figures:
    seconds = effort.overload
    capacity = (await load.closed(server.port, chat(), connections=64, seconds=effort.seconds)).rate
    probes = Probes()
    before = percentile([took for _, took in await probes.ask(server.port, 0.5)], 0.5) or 0.0
    probing: list[asyncio.Task[list[tuple[float, float]]]] = []

    def sent_all() -> None:
        probing.append(asyncio.create_task(probes.ask(server.port, min(_PROBED, seconds))))

    cpu = server.cpu_seconds
    crowd = await load.paced(
        server.port,
        chat(),
        rate=_TIMES * capacity,
        seconds=seconds,
        connections=_WAITING,
        sent_all=sent_all,
        patience=_PATIENCE,
    )
    cpu_after = server.cpu_seconds
    seen = await probing[0]
    return {
        "offered/s": (len(crowd.answers) + crowd.unsent) / seconds,
        "served/s": crowd.rate,
        "of capacity %": 100 * crowd.rate / capacity,
        CPU: micros(None if cpu is None or cpu_after is None else cpu_after - cpu, len(crowd.served)),
        FAILED: float(crowd.failed),
        "before ms": _ms(before),
        "recovered after s": recovered(seen, max(3 * before, before + 0.001)),
    }


def recovered(probes: list[tuple[float, float]], limit: float) -> float | None:
    """The end of the last probe before several in a row that did not take too long; None if there is no such row."""
    begun, row = 0.0, 0
    for at, took in probes:
        row = row + 1 if took <= limit else 0
        if row == _ROW:
            return begun
        if not row:
            begun = at + took
    return None


class Probes:
    """A client that asks one thing after the other, and keeps when and how long."""

    def __init__(self) -> None:
        self._answered = asyncio.Event()

    async def ask(self, port: int, seconds: float) -> list[tuple[float, float]]:
        begun = time.monotonic()
        seen = []
        connection = await load.connect(port, self._finished)
        try:
            while (at := time.monotonic() - begun) < seconds and connection.open:
                self._answered.clear()
                connection.send(chat())
                await self._answered.wait()
                seen.append((at, time.monotonic() - begun - at))
                await asyncio.sleep(_PROBES)
        finally:
            load.close([connection])
        return seen

    def _finished(self, connection: Connection) -> None:
        self._answered.set()


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
