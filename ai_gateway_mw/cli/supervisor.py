"""Several worker processes that serve one socket; the policy is watched and checked here, once for all of them."""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import suppress
from dataclasses import replace

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from ai_gateway_mw.cli.forking import held_back
from ai_gateway_mw.cli.reloading import Reloader
from ai_gateway_mw.cli.serving import PolicyApp
from ai_gateway_mw.cli.terminal import Terminal
from ai_gateway_mw.cli.watching import Watcher

_log = logging.getLogger("ai_gateway_mw.workers")


class Supervisor(Multiprocess):
    """Keeps the workers alive, and on SIGHUP has them reload a policy that was found good."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket, reloader: Reloader) -> None:
        super().__init__(config, sockets=[sock])
        self._reloader = reloader
        self._terminal = Terminal()

    def serve(self, watcher: Watcher | None) -> int:
        """Serve until told to stop; the exit code."""
        if watcher is not None:
            watcher.start()
        self.run()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as in `serve`
        if watcher is not None:
            watcher.stop()
        return 1 if any(process.exitcode == STARTUP_FAILURE for process in self.processes) else 0

    def init_processes(self) -> None:
        with held_back():
            super().init_processes()
        self._let_go()

    def keep_subprocess_alive(self) -> None:
        before = list(self.processes)
        with held_back():
            super().keep_subprocess_alive()
        self._let_go()
        for old, new in zip(before, self.processes, strict=True):
            if old is not new:
                _log.warning("worker %s died (exit code %s); in its place is now %s", old.pid, old.exitcode, new.pid)

    def _let_go(self) -> None:
        """Close our copies of the workers' ends of pipes: else the death of one shows only when no answer comes."""
        for process in self.processes:
            process.child_conn.close()

    def handle_hup(self) -> None:
        if self._terminal.is_gone:
            self.should_exit.set()
            return
        if not self._reloader.reload():
            return
        assert isinstance(self.config.app, PolicyApp)
        self.config.app = replace(self.config.app, text=self._reloader.gateway.policy.document.file_text)
        for pid in (process.pid for process in self.processes):
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGHUP)
