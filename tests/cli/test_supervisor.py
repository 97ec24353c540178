"""What supervises several workers; tests/cli/test_run.py has it with real ones."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import SIGNALS

from ai_gateway_mw.cli.reloading import Reloader
from ai_gateway_mw.cli.serving import Options, PolicyApp, configured, listening
from ai_gateway_mw.cli.supervisor import Supervisor
from ai_gateway_mw.middleware import Gateway

POLICY = "on_http_request: [{actions: [{type: deny}]}]"


class _Worker:
    """One that says nothing by itself."""

    pid = 1
    exitcode = STARTUP_FAILURE  # none is started in its place

    def __init__(self) -> None:
        self.parent_conn, self.child_conn = multiprocessing.Pipe()
        self.process = self
        self.killed = False

    def is_alive(self) -> bool:
        return not self.killed

    def kill(self) -> None:
        self.killed = True

    def join(self) -> None:
        pass

    def answer(self) -> None:
        self.child_conn.recv_bytes()
        self.child_conn.send_bytes(b"")


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    options = Options(Path("policy.yaml"), workers=2)
    config = configured(PolicyApp(POLICY, options), options)
    reloader = Reloader(Gateway.from_policy(POLICY), options.file, allow_missing_secrets=False)
    with listening("127.0.0.1", 0) as sock:
        yield Supervisor(config, sock, reloader)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_worker_that_does_not_answer_is_killed_by_the_number_of_looks(supervisor: Supervisor) -> None:
    """By the clock, those that were stopped together with what supervises them would all be late."""
    worker = _Worker()
    supervisor.processes.append(cast("Any", worker))
    for _ in range(2):
        for _ in range(119):
            supervisor.keep_subprocess_alive()
        worker.answer()
    for _ in range(120):
        supervisor.keep_subprocess_alive()
    assert not worker.killed
    supervisor.keep_subprocess_alive()
    assert worker.killed


@pytest.mark.parametrize("number", [signal.SIGTTIN, signal.SIGTTOU])
def test_what_a_terminal_sends_to_its_background_changes_no_worker(supervisor: Supervisor, number: int) -> None:
    workers: list[Any] = [_Worker(), _Worker()]
    supervisor.processes.extend(workers)
    signal.raise_signal(number)
    supervisor.handle_signals()
    assert supervisor.processes == workers
    assert not any(worker.parent_conn.poll() or worker.killed for worker in workers)
