"""How much the gateway costs beside a bare pass-through app: `python -m benchmarks.passthrough [--json]`.

Both stand between the same load and the same upstream, on loopback, under the same server, and are measured in turns,
so that what else the machine does meets both. What counts is the ratio; the numbers are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import load
from benchmarks.apps import GATEWAY_KEY

TARGETS = ("bare", "gateway")
_BODY = {"model": "benchmark", "messages": [{"role": "user", "content": "x" * 940}]}
SCENARIOS = {"json, 1 KB": _BODY, "stream, 100 events": _BODY | {"stream": True}}


@dataclass(frozen=True, slots=True)
class Server:
    """A server process; where /proc tells, with the processor time it has used."""

    url: str
    pid: int

    def cpu_seconds(self) -> float | None:
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return None
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def started(name: str, upstream: str = "", *, core: int) -> Iterator[Server]:
    command = [sys.executable, "-m", "benchmarks.apps", name, *filter(None, [upstream])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        _pin(process.pid, {core})
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise SystemExit(f"the server `{name}` did not start")
        yield Server(url, process.pid)
    finally:
        process.communicate()


def _pin(pid: int, cores: set[int]) -> None:
    """Servers under test have one core, upstream and load the other, where the system lets us say so."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, cores)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


@dataclass(frozen=True, slots=True)
class Round:
    """One target's turn."""

    rate: float
    median_ms: float
    p99_ms: float
    cpu_us: float | None


def measure(server: Server, message: bytes, *, connections: int, seconds: float) -> Round:
    before = server.cpu_seconds()
    seen = load.run(server.url, message, connections=connections, seconds=seconds)
    after = server.cpu_seconds()
    cpu = None if before is None or after is None else (after - before) / len(seen.latencies) * 1e6
    return Round(seen.rate, seen.percentile(0.5) * 1e3, seen.percentile(0.99) * 1e3, cpu)


def compare(
    servers: dict[str, Server], message: bytes, *, rounds: int, connections: int, seconds: float
) -> dict[str, list[Round]]:
    """The targets in turns, after a short turn each to warm up."""
    seen: dict[str, list[Round]] = {name: [] for name in servers}
    for server in servers.values():
        measure(server, message, connections=connections, seconds=min(seconds, 0.5))
    for number in range(rounds):
        for name in list(servers)[:: 1 if number % 2 else -1]:
            seen[name].append(measure(servers[name], message, connections=connections, seconds=seconds))
    return seen


def summary(seen: dict[str, list[Round]]) -> dict[str, Any]:
    """Medians of each target; how many times the requests of the bare app the gateway serves, at what cost each."""
    pairs = list(zip(seen["bare"], seen["gateway"], strict=True))
    rates = [ours.rate / bare.rate for bare, ours in pairs]
    costs = [ours.cpu_us / bare.cpu_us for bare, ours in pairs if ours.cpu_us and bare.cpu_us]
    return {name: _medians(rounds) for name, rounds in seen.items()} | {
        "rate_ratio": _spread(rates),
        "cpu_ratio": _spread(costs) if costs else None,
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "least": min(values), "most": max(values)}


def _medians(rounds: list[Round]) -> dict[str, float | None]:
    cpu = [one.cpu_us for one in rounds if one.cpu_us is not None]
    return {
        "requests_per_second": median(one.rate for one in rounds),
        "median_ms": median(one.median_ms for one in rounds),
        "p99_ms": median(one.p99_ms for one in rounds),
        "cpu_us_per_request": median(cpu) if cpu else None,
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'':20} {'':8} {'requests/s':>12} {'median ms':>10} {'p99 ms':>8} {'CPU us':>8}"]
    for scenario, result in results.items():
        for name in TARGETS:
            one = result[name]
            cpu = "-" if one["cpu_us_per_request"] is None else f"{one['cpu_us_per_request']:.0f}"
            numbers = f"{one['requests_per_second']:12.0f} {one['median_ms']:10.2f} {one['p99_ms']:8.2f} {cpu:>8}"
            lines.append(f"{scenario:20} {name:8} {numbers}")
        lines.append(f"{'':20} gateway : bare, requests/s  {_shown(result['rate_ratio'])}")
        if result["cpu_ratio"]:
            lines.append(f"{'':20} gateway : bare, CPU         {_shown(result['cpu_ratio'])}")
    return "\n".join(lines)


def _shown(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f}  ({spread['least']:.2f} to {spread['most']:.2f})"


def run(*, rounds: int, connections: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Every scenario's summary. The processes end with it."""
    cores = _cores()
    results = {}
    with ExitStack() as stack:
        stack.callback(_pin, os.getpid(), set(cores))
        _pin(os.getpid(), {cores[-1]})
        upstream = stack.enter_context(started("upstream", core=cores[-1]))
        servers = {name: stack.enter_context(started(name, upstream.url, core=cores[0])) for name in TARGETS}
        for scenario, body in SCENARIOS.items():
            fields = {"authorization": f"Bearer {GATEWAY_KEY}", "content-type": "application/json"}
            message = load.request("/v1/chat/completions", json.dumps(body).encode(), fields)
            seen = compare(servers, message, rounds=rounds, connections=connections, seconds=seconds)
            results[scenario] = summary(seen)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.passthrough", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=5, help="turns of each target (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn (default 1)")
    parser.add_argument("--connections", type=int, default=16, help="requests in flight (default 16)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    results = run(rounds=options.rounds, connections=options.connections, seconds=options.seconds)
    print(json.dumps(results, indent=2) if options.json else table(results))


if __name__ == "__main__":
    main()
