"""Reloads a policy file in a running process: on SIGHUP, which is also what a change of the file amounts to."""

from __future__ import annotations

import asyncio
import logging
import signal
import stat
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ai_gateway_mw.asgi import ASGIApp, Receive, Scope, Send
from ai_gateway_mw.cli.collecting import Collector
from ai_gateway_mw.cli.console import problem_text
from ai_gateway_mw.cli.terminal import Terminal
from ai_gateway_mw.cli.watching import Watcher
from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.policy import Policy, load_file

if TYPE_CHECKING:  # it needs SQLAlchemy, which most workers have no use for
    from ai_gateway_mw.cli.policy_records import PolicyRecords

_log = logging.getLogger("ai_gateway_mw.reload")


class Reloader:
    """Puts the policy of a file in force again where it is good; where it is not, the one in force stays."""

    def __init__(
        self,
        gateway: Gateway,
        file: Path,
        *,
        allow_missing_secrets: bool,
        records: Callable[[], PolicyRecords] | None = None,
    ) -> None:
        """`records` writes every reload to the audit log, and is asked for only where the database is in use."""
        self.gateway = gateway
        self._records = records
        self._file = file
        self._allow_missing_secrets = allow_missing_secrets
        self._lock = threading.Lock()

    def reload(self) -> bool:
        """Whether the file's policy is in force now; what is wrong with it is logged."""
        with self._lock:
            try:
                if not _can_be_read_again(self._file):
                    raise PolicyError([Problem(f"{self._file} is no file, but what can be read only once")])
                self._take_over(load_file(self._file, strict=False))
            except PolicyError as error:
                problems = "\n".join(map(problem_text, error.problems))
                _log.error("%s is not taken over, and the policy in force stays:\n%s", self._file, problems)
                return False
            except Exception:  # noqa: BLE001 - a fault of ours must not end what serves
                _log.exception("%s is not taken over, and the policy in force stays", self._file)
                return False
        _log.info("%s is in force", self._file)
        return True

    def _take_over(self, policy: Policy) -> None:
        stores, before = self.gateway.stores, self.gateway.program.needs
        missing = Gateway(policy, settings=stores.settings, secrets=stores.secrets).missing_secrets()
        if missing and not self._allow_missing_secrets:
            raise PolicyError(Problem(str(error)) for error in missing)
        if not any(policy.rules.values()):
            place = policy.document.place(())
            raise PolicyError([Problem("there are no rules here, as in a file that is just being written", place)])
        for warning in self.gateway.reload(policy):
            _log.warning("%s", problem_text(warning))
        if self._records is not None and before | self.gateway.program.needs:
            self._records().note(self.gateway)


def _can_be_read_again(file: Path) -> bool:
    """Whether it is no pipe. Where that cannot be told, who reads it says why."""
    try:
        mode = file.stat().st_mode
    except OSError:
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


class Reloading:
    """The gateway's app, which reloads on SIGHUP while it runs, and whenever a watched file changes."""

    def __init__(self, reloader: Reloader, watcher: Watcher | None = None) -> None:
        self._app: ASGIApp = reloader.gateway.app
        self._reloader = reloader
        self._watcher = watcher
        self._terminal = Terminal()
        self._collector = Collector(lambda: not reloader.gateway.watches.count)
        self._reloads: set[asyncio.Task[bool]] = set()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """No coroutine of its own: it stands around every exchange."""
        return self._lifespan(scope, receive, send) if scope["type"] == "lifespan" else self._app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hung_up)
        # What a worker was forked from held these back until now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP, signal.SIGTERM})
        if self._watcher is not None:
            self._watcher.start()
        self._collector.start()
        try:
            await self._app(scope, receive, send)
        finally:
            self._collector.stop()
            if self._watcher is not None:
                self._watcher.stop()
            await asyncio.gather(*self._reloads)

    def _hung_up(self) -> None:
        if self._terminal.is_gone:
            signal.raise_signal(signal.SIGTERM)
            return
        # In a thread: compiling a policy takes longer than open streams should wait.
        task = asyncio.ensure_future(asyncio.to_thread(self._reloader.reload))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
