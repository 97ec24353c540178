"""Several worker processes that serve one socket; the policy is watched and checked here, once for all of them."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from contextlib import suppress
from dataclasses import replace
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from ai_gateway_mw.cli.forking import held_back
from ai_gateway_mw.cli.reloading import Reloader
from ai_gateway_mw.cli.serving import PolicyApp
from ai_gateway_mw.cli.terminal import Terminal
from ai_gateway_mw.cli.watching import Watcher

_log = logging.getLogger("ai_gateway_mw.workers")
_CLOSING: Final = 15.0  # seconds, once a worker answers nobody any more, to store what it has counted
_EVERY: Final = 0.5  # seconds between two looks at whether the workers live, as uvicorn has it
_LOOK: Final = 0.1  # seconds between two looks at what ends


class Supervisor(Multiprocess):
    """Keeps the workers alive, and on SIGHUP has them reload a policy that was found good."""

    def __init__(self, config: uvicorn.Config, sock: socket.socket, reloader: Reloader) -> None:
        super().__init__(config, sockets=[sock])
        self._reloader = reloader
        self._terminal = Terminal()
        self._unanswered: dict[Process, int] = {}  # how often each was looked at since it was asked for a sign of life

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
        for process in self.processes:
            _let_go(process)

    def keep_subprocess_alive(self) -> None:
        """As uvicorn does, but it waits for no answer: while one worker hangs, this process could neither end nor
        reload, nor replace another one."""
        if self.should_exit.is_set():
            return
        for number, process in enumerate(self.processes):
            if self._answers(process):
                continue
            process.kill()
            process.join()
            self._unanswered.pop(process, None)
            if process.exitcode == STARTUP_FAILURE:  # it would be the same each time
                _log.error("worker %s could not start, and the others end", process.pid)
                self.should_exit.set()
                return
            with held_back():
                self.processes[number] = new = Process(self.config, self.sockets)
                new.start()
            _let_go(new)
            code = process.exitcode
            _log.warning("worker %s died (exit code %s); in its place is now %s", process.pid, code, new.pid)

    def _answers(self, process: Process) -> bool:
        """Whether it lives, and has answered what it was asked last, or has time left for that. Asks again.

        Looks are counted, not seconds: where all of these processes stand still for long, nobody is late.
        """
        if not process.process.is_alive():
            return False
        looks = self._unanswered.get(process)
        try:
            if looks is None or process.parent_conn.poll():
                if looks is not None:
                    process.parent_conn.recv_bytes()
                process.parent_conn.send(b"ping")
                looks = 0
        except (OSError, EOFError):
            return False
        self._unanswered[process] = looks + 1
        patience = self.config.timeout_worker_healthcheck
        if looks < patience / _EVERY:
            return True
        _log.error("worker %s has not answered for %d seconds, and is killed", process.pid, patience)
        return False

    def join_all(self) -> None:
        """Wait for the workers, pass on to them that they are to hurry, and kill those that do not end."""
        for sock in self.sockets:
            sock.close()  # who comes now is to be refused, not to wait for nobody
        self.signal_queue.clear()
        assert isinstance(self.config.app, PolicyApp)
        deadline = time.monotonic() + self.config.app.options.time_to_end + _CLOSING
        while any(process.process.is_alive() for process in self.processes) and time.monotonic() < deadline:
            self._pass_on()
            time.sleep(_LOOK)
        for process in self.processes:
            if process.process.is_alive():
                _log.error("worker %s does not end, and is killed", process.pid)
                process.kill()
            process.join()

    def _pass_on(self) -> None:
        for number in self.signal_queue:
            if number == signal.SIGTERM:  # SIGINT comes from a terminal, which tells the workers itself
                self._tell(number)
        self.signal_queue.clear()

    def _tell(self, number: int) -> None:
        for process in self.processes:
            if process.pid is not None and process.process.is_alive():
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    def handle_hup(self) -> None:
        if self._terminal.is_gone:
            self.should_exit.set()
            return
        if not self._reloader.reload():
            return
        assert isinstance(self.config.app, PolicyApp)
        self.config.app = replace(self.config.app, text=self._reloader.gateway.policy.document.file_text)
        self._tell(signal.SIGHUP)

    def handle_ttin(self) -> None:
        """There are as many workers as were asked for. uvicorn starts one more, and ends one at SIGTTOU; a terminal
        sends both to what is in its background."""

    def handle_ttou(self) -> None:
        """As at SIGTTIN."""


def _let_go(process: Process) -> None:
    """Close our copy of the worker's end of its pipe: else its death shows only when no answer comes."""
    process.child_conn.close()
