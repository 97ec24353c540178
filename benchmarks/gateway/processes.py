"""Processes under measurement: started, held to a core, asked for the processor time and memory they have used.

What a system does not tell (there is no /proc on macOS) is None.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")


def cores() -> tuple[int, int]:
    """The core for what is measured, and the one for load and upstream; the same where there is only one."""
    known = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    return known[0], known[-1]


def pin(pid: int, core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, {core})


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process on one core, for a time."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit() -> None:
    """As many open files as this user may have: a stream has one here and two in the proxy."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start(
    command: Sequence[str], *, core: int, directory: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """A process that is on its core from its first instruction on, so that the threads it makes are too. What it prints
    goes to `log` in its directory."""
    with (directory / "log").open("wb") as log, pinned(core):
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory, env=dict(environment)
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_seconds(pid: int) -> float | None:
    """Processor time of a process and those that it has started."""
    try:
        return sum(_cpu_seconds(one) for one in _family(pid))
    except OSError:
        return None


def memory_kib(pid: int) -> float | None:
    """Memory of a process and those that it has started; what several share is counted once between them."""
    try:
        return sum(_memory_kib(one) for one in _family(pid))
    except OSError:
        return None


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in (_PROC / str(pid) / "task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _cpu_seconds(pid: int) -> float:
    """From schedstat, in nanoseconds, where the kernel has it; else from stat, in ticks."""
    try:
        tasks = (_PROC / str(pid) / "task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except FileNotFoundError:
        user, system = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _memory_kib(pid: int) -> float:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("Pss:"))
    except (FileNotFoundError, PermissionError, StopIteration):
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024
