"""Programs that tests start as real processes: they count in the file that is their first argument."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ai_gateway_mw.limits import Calendar, Counters, Sliding
from tests.limits.taking import correct, enter, take

CLAIMS = [("key:a", Sliding(3600), 10**9, 1), ("a", Calendar("day"), 10**9, 1)]
PLACE = ("key:a", 1000)
_ROOT = Path(__file__).parents[2]
_FIXED = 1_773_144_000.0


def started(program: Callable[..., None], *arguments: object) -> subprocess.Popen[bytes]:
    """A process of its own, which waits for a line before it begins."""
    call = [sys.executable, "-m", "tests.limits.workers", program.__name__, *map(str, arguments)]
    return subprocess.Popen(call, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def opened(file: str) -> Counters:
    return Counters.shared(Path(file), clock=lambda: _FIXED, rows=256, place_rows=256)


def burst(file: str, limit: str) -> None:
    """64 threads that each take as often as they can, until told no; prints how often that was."""
    counters = opened(file)
    granted = [0] * 64
    begin = threading.Event()

    def work(number: int) -> None:
        begin.wait()
        while take(counters, [("key:a", Sliding(60), int(limit), 1), ("b", Calendar("month"), 10**6, 2)]).granted:
            granted[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    _ready()
    begin.set()
    for thread in threads:
        thread.join()
    print(sum(granted))


def crowd(file: str, limit: str) -> None:
    """Enters as often as it can, prints how often that was, and stays until the next line."""
    counters = opened(file)
    _ready()
    entered = sum(enter(counters, "key:a", int(limit)) for _ in range(64))
    print(entered, flush=True)
    sys.stdin.readline()


def dying(file: str, seconds: str) -> None:
    """Forks children that count and are killed; prints how many were killed, and how much they were granted."""
    counters = opened(file)
    chance = random.Random(1)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    _ready()
    end = time.monotonic() + float(seconds)
    killed = granted = 0
    while time.monotonic() < end:
        children = [_forked(counters, writing) for _ in range(3)]
        time.sleep(chance.uniform(0.001, 0.03))
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        killed += len(children)
        granted += _drained(reading)
    print(killed, granted)


def _forked(counters: Counters, writing: int) -> int:
    child = os.fork()
    if child:
        return child
    number = 0
    while True:
        number += 1
        taken = take(counters, CLAIMS, PLACE)
        if taken.granted:
            os.write(writing, b"x")
            take(counters, [(f"key:{os.getpid()}:{number % 20}", Sliding(60), 10, 1)])
            correct(counters, "key:corrected", Sliding(60), taken.at, 1, PLACE)


def _drained(reading: int) -> int:
    total = 0
    while True:
        try:
            total += len(os.read(reading, 1 << 20))
        except BlockingIOError:
            return total


def _ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    {"burst": burst, "crowd": crowd, "dying": dying}[sys.argv[1]](*sys.argv[2:])
