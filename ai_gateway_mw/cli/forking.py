"""How several workers start: forked from a process that has imported what they need, and does nothing else."""

from __future__ import annotations

import importlib.util
import multiprocessing
import multiprocessing.forkserver
from typing import Final

import uvicorn._subprocess

# Importing this takes longer than all the rest of a worker's start.
_NEEDED: Final = ("ai_gateway_mw.cli.serving", "ai_gateway_mw.accounts.sources", "ai_gateway_mw.services", "uvloop")


def import_beforehand() -> None:
    """Let that process begin, while this one loads the policy. uvicorn would start each worker from nothing, and has no
    setting for it."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload([name for name in _NEEDED if importlib.util.find_spec(name.partition(".")[0])])
    multiprocessing.forkserver.ensure_running()
    uvicorn._subprocess.spawn = forking  # type: ignore[assignment]
