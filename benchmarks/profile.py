"""Where the gateway's time goes: `python -m benchmarks.profile [--seconds N] [--top N] [--streams]`.

The real `ai-gateway run` serves the policy of the figures under load, and the functions with most time of their own
are listed, with their shares. cProfile counts every call, but makes short Python functions look dearer than they are;
where py-spy is installed its samples of an undisturbed run come after it, and are nearer to the truth.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.gateway import processes
from benchmarks.gateway.bench import run
from benchmarks.gateway.load import closed
from benchmarks.gateway.requests import CONNECTIONS
from benchmarks.gateway.servers import Kind, kind, program, running, upstream
from benchmarks.gateway.wire import Stream, chat

_PACKAGES: Final = ("site-packages/", "ai_gateway_mw/", "lib/python")
_PATIENCE: Final = 20.0

_Stats = dict[tuple[str, int, str], tuple[int, int, float, float, object]]


@dataclass(frozen=True, slots=True)
class Item:
    """A function, the share of all time that it takes itself, and how often it is called in a request."""

    name: str
    share: float
    calls: float | None = None


def counted(message: bytes, seconds: float) -> list[Item]:
    """By cProfile, from the most to the least."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "profile")
        gateway = kind("gateway")
        command = ("python", "-m", "benchmarks.profile", "--serve", str(file), *gateway.command[3:])
        answers = _loaded(replace(gateway, command=command), message, seconds, file)
        stats: dict[tuple[str, int, str], tuple[int, int, float, float, object]] = vars(pstats.Stats(str(file)))[
            "stats"
        ]
    total = sum(own for _, _, own, _, _ in stats.values())
    items = [Item(_name(*where), own / total, calls / answers) for where, (_, calls, own, _, _) in stats.items()]
    return sorted(items, key=lambda item: -item.share)


def _loaded(gateway: Kind, message: bytes, seconds: float, file: Path) -> int:
    """Put load on a gateway that profiles itself between two signals; how many requests it has answered."""
    with upstream() as provider, running(gateway, provider) as server, processes.pinned(processes.cores()[1]):
        assert server.pid is not None
        run(closed(server.port, message, connections=CONNECTIONS, seconds=0.5))
        os.kill(server.pid, signal.SIGUSR1)
        load = run(closed(server.port, message, connections=CONNECTIONS, seconds=seconds))
        os.kill(server.pid, signal.SIGUSR2)
        until = time.monotonic() + _PATIENCE
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.01)
    return max(1, len(load.served))


def sampled(message: bytes, seconds: float, py_spy: str) -> list[Item]:
    """By py-spy, with native code in its callers' time."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "samples")
        with upstream() as provider, running(kind("gateway"), provider) as server:
            spy = [py_spy, "record", "--pid", str(server.pid), "--duration", str(max(1, round(seconds)))]
            spy += ["--rate", "500", "--format", "raw", "--function", "--output", str(file)]
            process = subprocess.Popen(spy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with processes.pinned(processes.cores()[1]):
                run(closed(server.port, message, connections=CONNECTIONS, seconds=seconds + 1))
            process.wait(_PATIENCE)
        return leaves(file.read_text().splitlines()) if file.exists() else []


def leaves(stacks: Sequence[str]) -> list[Item]:
    """The last function of every stack `outermost;...;innermost COUNT`, from the most samples to the least."""
    samples: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        samples[stack.rpartition(";")[2]] += int(count)
    total = sum(samples.values())
    return [Item(name, count / total) for name, count in samples.most_common()]


def _name(path: str, line: int, function: str) -> str:
    if path == "~":
        return function  # built in
    short = path
    for package in _PACKAGES:
        short = short.rpartition(package)[2] if package in short else short
    return f"{short}:{line} {function}"


def serve(file: str, arguments: Sequence[str]) -> None:
    """`ai-gateway` with these arguments, profiled from SIGUSR1 to SIGUSR2; then the profile is in that file."""
    profile = cProfile.Profile()

    def write(*_: object) -> None:
        profile.disable()
        unfinished = Path(f"{file}.part")
        profile.dump_stats(unfinished)
        unfinished.rename(file)

    signal.signal(signal.SIGUSR1, lambda *_: profile.enable())
    signal.signal(signal.SIGUSR2, write)
    sys.argv[1:] = arguments
    runpy.run_module("ai_gateway_mw", run_name="__main__", alter_sys=True)


def table(title: str, items: Sequence[Item], top: int) -> str:
    lines = [f"{title:<90} {'share':>7} {'calls/request':>14}"]
    for item in items[:top]:
        calls = "" if item.calls is None else f"{item.calls:.2f}"
        lines.append(f"{item.name[-90:]:<90} {item.share:7.1%} {calls:>14}".rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["--serve"]:
        serve(given[1], given[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to look (default 5)")
    parser.add_argument("--top", type=int, default=30, help="how many functions to list (default 30)")
    parser.add_argument("--streams", action="store_true", help="event streams of 100 events instead of JSON of 1 KiB")
    options = parser.parse_args(given)
    message = chat(stream=Stream(events=100, every=0.001)) if options.streams else chat()
    print(f"the gateway under load for {options.seconds:g} s", file=sys.stderr)
    print(table("own time, by cProfile", counted(message, options.seconds), options.top))
    if py_spy := program("py-spy"):
        print("once more, for py-spy", file=sys.stderr)
        print("\n" + table("own time, by py-spy", sampled(message, options.seconds, py_spy), options.top))


if __name__ == "__main__":
    main()
