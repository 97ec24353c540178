"""How several workers start: forked from a process that has imported what they need, and does nothing else."""

from __future__ import annotations

import importlib.util
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# This takes longer than all the rest of a worker's start.
_NEEDED: Final = (
    "ai_gateway_mw.cli.serving",
    "ai_gateway_mw.accounts.sources",
    "ai_gateway_mw.services",
    "uvloop",
    "ai_gateway_mw.cli.warming",
)
_HELD_BACK: Final = frozenset({signal.SIGHUP, signal.SIGTERM})


def import_beforehand() -> None:
    """Let that process begin, while this one loads the policy. uvicorn would start each worker from nothing, and has no
    setting for it; that is what it does where there is no place for the socket of that process."""
    if str(Path.cwd()) not in sys.path:
        os.environ["PYTHONSAFEPATH"] = "1"  # else `python -c`, which it is, looks for modules there first
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([name for name in _NEEDED if importlib.util.find_spec(name.partition(".")[0])])
    try:
        multiprocessing.resource_tracker.ensure_running()  # first: it lets SIGTERM in again
        with held_back():
            multiprocessing.forkserver.ensure_running()
    except OSError:
        return
    import uvicorn._subprocess

    uvicorn._subprocess.spawn = forking  # type: ignore[assignment]


@contextmanager
def held_back() -> Iterator[None]:
    """What is started here has SIGHUP and SIGTERM held back. A worker, which would die of them, lets them in when it
    serves. What workers are forked from never does: it ends after them, also where a whole group is told to end, since
    nobody else knows when they have ended."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
