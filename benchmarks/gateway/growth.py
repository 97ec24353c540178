"""How the gateway's cost grows: with rules, with keys, with connections."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from benchmarks.gateway.bench import Bench
from benchmarks.gateway.requests import CPU, FAILED, of_closed
from benchmarks.gateway.results import Column, Figures, Result
from benchmarks.gateway.servers import Server, kind, running
from benchmarks.gateway.wire import chat

_MORE: Final = 20


def growth(bench: Bench) -> Result:
    """One policy beside the same with more rules, with more keys, and under more connections."""
    variants = {"as it is": (0, 0), f"{_MORE} rules more": (_MORE, 0), f"{_MORE} keys more": (0, _MORE)}
    with ExitStack() as stack:
        servers = []
        for name, (rules, keys) in variants.items():
            bench.say(f"starting the gateway: {name}")
            server = stack.enter_context(running(kind("gateway"), bench.upstream, more_rules=rules, more_keys=keys))
            servers.append(replace(server, name=name))
        crowd = 2 * bench.effort.beside
        crowded = replace(servers[0], name=f"{crowd} connections")

        def one(server: Server) -> Figures:
            connections = crowd if server is crowded else 16
            return of_closed(server, chat(), connections=connections, seconds=bench.effort.seconds * 2 / 3)

        rows = bench.in_turns([*servers, crowded], one)
    base = rows["as it is"][CPU]

    def more(name: str) -> float | None:
        cpu = rows[name][CPU]
        return None if cpu is None or base is None else cpu - base

    shown = {name: {**row, "more us": more(name), "us for each": _each(more(name), name)} for name, row in rows.items()}
    columns = (Column(CPU, 1), Column("more us", 1), Column("us for each", 2), Column("p99 ms", 2), Column(FAILED))
    return Result("Growth of the gateway's cost: JSON of 1 KiB, 16 connections", columns, shown)


def _each(more: float | None, name: str) -> float | None:
    return None if more is None or not name.endswith(" more") else more / _MORE
