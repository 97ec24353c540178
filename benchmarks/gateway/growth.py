"""How the gateway's cost grows: with rules, with keys, with connections that are only open."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final

from benchmarks.gateway.bench import Bench
from benchmarks.gateway.requests import CPU, FAILED, of_closed
from benchmarks.gateway.results import Column, Figures, Result
from benchmarks.gateway.servers import Server, kind, running
from benchmarks.gateway.wire import chat

_BASE: Final = "as it is"
_MORE: Final = 20
_AT_WORK: Final = 16  # connections
_ENOUGH: Final = 65536  # bytes for an answer
_PATIENCE: Final = 10.0  # seconds


def growth(bench: Bench) -> Result:
    """One policy beside the same with more rules, with more keys, and with connections that ask nothing."""
    variants = {_BASE: (0, 0), f"{_MORE} rules more": (_MORE, 0), f"{_MORE} keys more": (0, _MORE)}
    with ExitStack() as stack:
        servers = []
        for name, (rules, keys) in variants.items():
            bench.say(f"starting the gateway: {name}")
            server = stack.enter_context(running(kind("gateway"), bench.upstream, more_rules=rules, more_keys=keys))
            servers.append(replace(server, name=name))
        crowd = 2 * bench.effort.beside
        crowded = replace(servers[0], name=f"{crowd} connections open")  # the same, as no two processes are as fast

        def one(server: Server) -> Figures:
            with _idle(server, crowd if server is crowded else 0):
                return of_closed(server, chat(), connections=_AT_WORK, seconds=bench.effort.seconds * 2 / 3)

        rows = bench.in_turns([*servers, crowded], one)
    base = rows[_BASE][CPU]

    def more(name: str) -> float | None:
        cpu = rows[name][CPU]
        return None if cpu is None or base is None else cpu - base

    shown = {name: {**row, "more us": more(name), "us for each": _each(more(name), name)} for name, row in rows.items()}
    columns = (Column(CPU, 1), Column("more us", 1), Column("us for each", 2), Column("p99 ms", 2), Column(FAILED))
    return Result(f"Growth of the gateway's cost: JSON of 1 KiB, {_AT_WORK} connections", columns, shown)


@contextmanager
def _idle(server: Server, count: int) -> Iterator[None]:
    """So many connections that ask nothing, once they were answered. Raises `RuntimeError` where one is not kept."""
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=_PATIENCE))
            for _ in range(count)
        ]
        for connection in connections:
            connection.sendall(chat())
            connection.recv(_ENOUGH)
        yield
        kept = sum(map(_is_open, connections))
        if kept < count:
            raise RuntimeError(f"{server.name}: only {kept} of {count} were kept")


def _is_open(connection: socket.socket) -> bool:
    """Whether the server has not ended it: there is nothing to read."""
    connection.setblocking(False)
    try:
        connection.recv(1)
    except BlockingIOError:
        return True
    return False


def _each(more: float | None, name: str) -> float | None:
    return None if more is None or not name.endswith(" more") else more / _MORE
