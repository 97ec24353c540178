"""Measures of plain requests: throughput, latency added at a moderate rate, long prompts, many connections, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from benchmarks.gateway import load
from benchmarks.gateway.bench import Bench, costing, micros, run
from benchmarks.gateway.load import Load, percentile
from benchmarks.gateway.results import Column, Figures, Result
from benchmarks.gateway.servers import Server
from benchmarks.gateway.wire import Stream, chat

CONNECTIONS: Final = 32
_RATE: Final = 100.0
_STREAM_RATE: Final = 20.0
_LONG: Final = 64 * 1024

CPU: Final = "CPU us/request"
PER_CORE: Final = "requests/s and core"
FAILED: Final = "failed"


def throughput(bench: Bench) -> Result:
    """As many requests as the server takes, over 32 connections."""

    def one(server: Server) -> Figures:
        return of_closed(server, chat(), connections=CONNECTIONS, seconds=bench.effort.seconds)

    rows = bench.in_turns(bench.servers, one)
    columns = (
        Column("requests/s"),
        Column(PER_CORE, ratio=True),
        Column(CPU, 1, ratio=True),
        Column("busy %"),
        Column("p50 ms", 2),
        Column("p99 ms", 2),
        Column(FAILED),
    )
    note = "requests/s and core = 1 / CPU: a server that is not 100 % busy was not asked for more by this load"
    return Result(f"Throughput: JSON of 1 KiB, {CONNECTIONS} connections", columns, rows, [note])


def of_closed(server: Server, message: bytes, *, connections: int, seconds: float) -> Figures:
    """One turn of a server that gets the next request as soon as it has answered one."""
    seen, cpu = costing(
        server, lambda: run(load.closed(server.port, message, connections=connections, seconds=seconds))
    )
    each = micros(cpu, len(seen.served))
    return {
        "requests/s": seen.rate,
        PER_CORE: 1e6 / each if each else None,
        CPU: each,
        "busy %": None if cpu is None else 100 * cpu / seen.elapsed,
        "p50 ms": _milliseconds(seen, 0.5),
        "p99 ms": _milliseconds(seen, 0.99),
        FAILED: float(seen.failed),
    }


def latency(bench: Bench) -> Result:
    """What a request waits longer than without the server, when the server is not busy."""
    seconds = 1.5 * bench.effort.seconds

    def one(server: Server) -> Figures:
        paced = load.paced(server.port, chat(), rate=_RATE, seconds=seconds, connections=16)
        seen, cpu = costing(server, lambda: run(paced))
        times = {"p50 ms": _milliseconds(seen, 0.5), "p99 ms": _milliseconds(seen, 0.99)}
        return {**times, CPU: micros(cpu, len(seen.served)), FAILED: float(seen.failed)}

    rows = _with_added(bench.in_turns(bench.servers, one, rounds=_fewer(bench)), ("p50 ms", "p99 ms"))
    columns = (
        Column("p50 ms", 3),
        Column("p99 ms", 3),
        Column("added p50 ms", 3, ratio=True),
        Column("added p99 ms", 3, ratio=True),
        Column(CPU, ratio=True),
        Column(FAILED),
    )
    return Result(f"Latency: JSON of 1 KiB, {_RATE:.0f} requests/s", columns, rows)


def events(bench: Bench) -> Result:
    """How soon the first event of a stream is there, and how much later than sent the others."""
    stream = Stream(events=100, every=0.005)

    def one(server: Server) -> Figures:
        paced = load.paced(
            server.port, chat(stream=stream), rate=_STREAM_RATE, seconds=bench.effort.seconds, connections=64
        )
        seen, cpu = costing(server, lambda: run(paced))
        firsts = [answer.first_after for answer in seen.served]
        delays = [delay for answer in seen.served for delay in answer.delays]
        return {
            "first p50 ms": _ms(percentile(firsts, 0.5)),
            "first p99 ms": _ms(percentile(firsts, 0.99)),
            "event p50 ms": _ms(percentile(delays, 0.5)),
            "event p99 ms": _ms(percentile(delays, 0.99)),
            "CPU us/event": micros(cpu, sum(answer.events for answer in seen.served)),
            FAILED: float(seen.failed),
        }

    rows = _with_added(bench.in_turns(bench.servers, one, rounds=_fewer(bench)), ("first p50 ms",))
    columns = (
        Column("first p50 ms", 3),
        Column("added first p50 ms", 3, ratio=True),
        Column("first p99 ms", 3, ratio=True),
        Column("event p50 ms", 3, ratio=True),
        Column("event p99 ms", 3),
        Column("CPU us/event", 1, ratio=True),
        Column(FAILED),
    )
    title = f"Events: {_STREAM_RATE:.0f} streams/s of 100 events, 5 ms apart"
    return Result(title, columns, rows, ["CPU us/event has its share of the request in it"])


def prompts(bench: Bench) -> Result:
    """What a prompt of 64 KiB costs more than one of 1 KiB."""
    turns = {"1 KiB us": (chat(), 8), "64 KiB us": (chat(prompt=_LONG), 8)}
    servers = [server for server in bench.servers if server.pid is not None]
    return _compared(bench, servers, turns, "Prompts: CPU per request with a long one and a short one")


def connections(bench: Bench) -> Result:
    """What a request costs more where many connections ask: each of them has left the processor's caches by then."""
    crowd = 2 * bench.effort.beside
    turns = {f"{count} us": (chat(), count) for count in (16, crowd)}
    servers = [server for server in bench.light if server.pid is not None]
    return _compared(bench, servers, turns, "Connections: CPU per request over few and over many that ask")


def _compared(bench: Bench, servers: Sequence[Server], turns: Mapping[str, tuple[bytes, int]], title: str) -> Result:
    """Two kinds of turn of each server, by what is asked and over how many connections."""
    short, long = turns

    def one(server: Server) -> Figures:
        seen = {
            name: of_closed(server, message, connections=count, seconds=bench.effort.seconds / 2)
            for name, (message, count) in turns.items()
        }
        return {name: turn[CPU] for name, turn in seen.items()} | {
            FAILED: sum(turn[FAILED] or 0 for turn in seen.values())
        }

    rows = {
        name: {**row, "more us": _less(row[long], row[short]), "times": _times(row[long], row[short])}
        for name, row in bench.in_turns(servers, one, rounds=_fewer(bench)).items()
    }
    columns = (Column(short), Column(long), Column("more us", ratio=True), Column("times", 2), Column(FAILED))
    return Result(title, columns, rows)


def memory(bench: Bench) -> Result:
    """What a server takes when nothing is asked of it, and how long it took to its first answer."""
    rows = {
        server.name: {
            "idle MiB": None if server.memory_kib is None else server.memory_kib / 1024,
            "first answer after s": server.seconds_to_start,
        }
        for server in bench.servers
        if server.pid is not None
    }
    columns = (Column("idle MiB", 1, ratio=True), Column("first answer after s", 2))
    return Result("Memory and start", columns, rows)


def _fewer(bench: Bench) -> int:
    return max(1, bench.effort.rounds - 1)


def _with_added(rows: dict[str, Figures], names: Sequence[str]) -> dict[str, Figures]:
    """The same, with what each takes longer than the provider itself."""
    direct = rows.get("direct", {})
    return {
        server: {**row, **{f"added {name}": _less(row[name], direct.get(name)) for name in names if server != "direct"}}
        for server, row in rows.items()
    }


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _times(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other


def _milliseconds(seen: Load, share: float) -> float | None:
    return _ms(percentile([answer.seconds for answer in seen.served], share))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
