"""Real servers on real ports: an ASGI app under uvicorn in a thread, and the command `ai-gateway run` as a process.

Both end with their `with` block, whatever happened in it.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import httpx
import uvicorn
from starlette.types import ASGIApp

PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.listening.set()


@contextmanager
def serving(app: ASGIApp, **config: Any) -> Iterator[str]:
    """The base URL under which uvicorn serves this app, with its lifespan; `config` is that of `uvicorn.Config`."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        settings: dict[str, Any] = {"log_config": None, "timeout_graceful_shutdown": 2} | config
        server = _Server(uvicorn.Config(app, **settings))
        thread = threading.Thread(target=_run, args=(server, sock), name="uvicorn", daemon=True)
        thread.start()
        try:
            if not server.listening.wait(PATIENCE) or not server.started:
                raise AssertionError("the app did not start; its lifespan failed, or takes too long")
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "uvicorn does not end"


def _run(server: _Server, sock: socket.socket) -> None:
    try:
        server.run(sockets=[sock])
    except SystemExit:  # uvicorn's way of saying that the lifespan failed
        pass
    finally:
        server.listening.set()


class GatewayProcess:
    """`python -m ai_gateway_mw ...` as a process of its own.

    with GatewayProcess("run", policy, environment={"OPENAI_KEY": "sk-ok"}, directory=tmp_path) as gateway:
        httpx.get(gateway.url + "/healthz")
    """

    def __init__(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        port: int | None = None,
        exit_code: int = 0,
        module: str = "ai_gateway_mw",
        own_group: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        """`own_group`: it and its workers can be killed at one go, by `kill_group`."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", module, *map(str, arguments), "--port", str(self.port)]
        self._environment = clean_environment() | dict(environment or {})
        self._directory = directory
        self._exit_code = exit_code
        self._own_group = own_group
        self._patience = patience
        self._lines: list[str] = []
        self._printed = threading.Condition()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self.command,
            env=self._environment,
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0 if self._own_group else None,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._wait_until_alive()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *failure: object) -> None:
        try:
            code = self.stop()
            if kind is None:
                assert code == self._exit_code, f"exit code {code} instead of {self._exit_code}:\n{self.output}"
        finally:
            self._kill()

    @property
    def output(self) -> str:
        """What it has printed so far, on stdout and stderr."""
        with self._printed:
            return "".join(self._lines)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def printed(self, pattern: str, *, seconds: float = PATIENCE) -> str:
        """Wait until a line matches; that line."""

        def found() -> str | None:
            return next((line for line in self._lines if re.search(pattern, line)), None)

        with self._printed:
            assert self._printed.wait_for(found, seconds), f"no line like {pattern!r} in:\n{''.join(self._lines)}"
            return str(found())

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            return self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end on {how.name}:\n{self.output}") from None

    def kill_group(self) -> None:
        """End it with all its workers, without a word."""
        assert self._own_group
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)

    def _wait_until_alive(self) -> None:
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                self._reader.join(PATIENCE)
                raise AssertionError(f"it ended at once with exit code {self._process.returncode}:\n{self.output}")
            if self._is_alive():
                return
            time.sleep(0.05)
        raise AssertionError(f"no answer from {self.url}/healthz:\n{self.output}")

    def _is_alive(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False, timeout=1).status_code == 200
        except httpx.TransportError:
            return False

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._printed:
                self._lines.append(line)
                self._printed.notify_all()

    def _kill(self) -> None:
        if self._own_group:
            self.kill_group()
        elif self._process.poll() is None:
            self._process.kill()
            self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()


def clean_environment() -> dict[str, str]:
    """This process's environment without what could configure a gateway or an SDK."""
    strangers = ("AI_GATEWAY_", "OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(strangers)}
