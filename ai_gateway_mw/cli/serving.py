"""Serves a gateway with uvicorn: the socket, the limits, one process or several, and the end in good order."""

from __future__ import annotations

import errno
import importlib.util
import multiprocessing
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final, NoReturn

import uvicorn

from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.cli.console import say_problem
from ai_gateway_mw.cli.ending import FAREWELL, Ending
from ai_gateway_mw.cli.logs import log_config, redact_logs
from ai_gateway_mw.cli.protocol import HttpProtocol
from ai_gateway_mw.cli.reloading import Reloader, Reloading
from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.policy import load_policy
from ai_gateway_mw.settings import Settings, SettingsError

_KEEP_ALIVE: Final = 75  # seconds; longer than load balancers keep idle connections, so that they close first
_STARTING: Final = 60  # seconds for a worker to answer its supervisor: many at once on a busy machine take their time
_TOGETHER: Final = 2.0  # seconds until a worker was told to end by its supervisor, too
_BACKLOG: Final = 2048
_FILES: Final = 65_536
_FILES_OF_OUR_OWN: Final = 64
_FILES_PER_REQUEST: Final = 2  # the client's connection and the upstream's


class CannotListen(Exception):
    """The address cannot be had; the message says why and what to do."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; connections wait in it until the server is up. Raises `CannotListen`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise CannotListen(_reason(error, host, port)) from None


def _reason(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} of {host} is in use; choose another one with --port"
        case errno.EACCES | errno.EPERM:
            return f"port {port} of {host} may not be used by this user; choose one from 1024 on with --port"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine"
    reason, _, _ = (error.strerror or str(error)).partition(" (while ")  # what `create_server` adds
    return f"cannot listen on {host}: {reason}"


@dataclass(frozen=True)
class Options:
    """How a policy file is served."""

    file: Path
    workers: int = 1
    watch: bool = False
    allow_missing_secrets: bool = False
    log_requests: bool = False
    drain_time: float = 25.0
    drain_delay: float = 0.0

    @property
    def time_to_end(self) -> float:
        """Seconds after which a server that was told to end answers nobody any more."""
        return self.drain_delay + self.drain_time + FAREWELL


@dataclass(frozen=True)
class PolicyApp:
    """Makes the app in the process that serves it. It carries the policy's text: a worker that is started later, in
    place of one that died, serves what the others do, whatever has happened to the file."""

    text: str
    options: Options

    def __call__(self) -> ASGIApp:
        _end_with_parent()
        _open_files()  # the limit is that of the process, and a worker was forked before it was raised
        try:
            policy = load_policy(self.text, name=str(self.options.file), strict=False)
            gateway = Gateway(policy, settings=Settings())
        except (PolicyError, SettingsError) as error:
            for problem in error.problems:
                say_problem(problem, stderr=True)
            sys.exit(1)
        redact_logs(gateway.stores.secrets.redact)
        options = self.options
        reloader = Reloader(gateway, options.file, allow_missing_secrets=options.allow_missing_secrets)
        return ending(Reloading(reloader), gateway, options)


def _end_with_parent() -> None:
    """A worker whose supervisor was killed ends in good order: nobody else would tell it to, and it has the port."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="supervised", daemon=True).start()


def ending(app: ASGIApp, gateway: Gateway, options: Options) -> Ending:
    """The app, with an end as the options have it."""
    together = _TOGETHER if options.workers > 1 else 0.0
    return Ending(app, gateway, delay=options.drain_delay, drain=options.drain_time, together=together)


def configured(app: PolicyApp | ASGIApp, options: Options) -> uvicorn.Config:
    """How uvicorn serves: no forwarded fields believed (we do that), nothing told of the server, everything bounded."""
    return uvicorn.Config(
        app,
        factory=isinstance(app, PolicyApp),
        workers=options.workers,
        loop="uvloop" if importlib.util.find_spec("uvloop") else "asyncio",
        http=HttpProtocol(),  # type: ignore[arg-type]  # anything that makes protocols will do
        ws="none",  # none of these APIs has one; an upgrade with a body would end the graceful stop with an error
        lifespan="on",
        interface="asgi3",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=log_config(requests=options.log_requests),
        log_level="warning",
        backlog=_BACKLOG,
        limit_concurrency=_concurrency(),
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=ceil(options.drain_time + FAREWELL),
        timeout_worker_healthcheck=_STARTING,
    )


def _concurrency() -> int:
    """Half as many requests as there can be open files."""
    return max(1, (_open_files() - _FILES_OF_OUR_OWN) // _FILES_PER_REQUEST)


def _open_files() -> int:
    """How many files this process can have open, of which the limit is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def serve(config: uvicorn.Config, sock: socket.socket) -> int:
    """Serve in this process until it is told to stop; the exit code."""
    signal.signal(signal.SIGTERM, end)
    server = uvicorn.Server(config)
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=[sock])
    finally:
        # An interpreter that ends gives handlers back their defaults: one more signal would kill it then.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return 0


def end(*_: object) -> NoReturn:
    """SIGTERM is how a server is meant to end: uvicorn, when it is done, raises it again for whoever came before. What
    is left to do then is not to be interrupted by one more."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(0)
