"""What `ai-gateway run` does: open, tell, serve."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from ai_gateway_mw.cli import banner
from ai_gateway_mw.cli.console import say, say_problem, stop
from ai_gateway_mw.cli.loading import gateway_or_stop, missing_secrets, settings_or_stop
from ai_gateway_mw.cli.logs import redact_logs
from ai_gateway_mw.cli.ready_policies import ready_policy
from ai_gateway_mw.cli.reloading import Reloader, Reloading
from ai_gateway_mw.cli.serving import CannotListen, Options, PolicyApp, configured, ending, listening, serve
from ai_gateway_mw.cli.supervisor import Supervisor
from ai_gateway_mw.cli.watching import Watcher, content
from ai_gateway_mw.errors import DatabaseUnavailable, InstallationError, Problem
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.settings import Settings

if TYPE_CHECKING:
    from ai_gateway_mw.cli.policy_records import PolicyRecords


def serve_policy(
    policy: Path | None,
    host: str,
    port: int,
    *,
    workers: int,
    watch: bool,
    allow_missing_secrets: bool,
    log_requests: bool,
) -> int:
    """Serve until told to stop; the exit code. What must be mended first ends the command."""
    settings = settings_or_stop()
    options = Options(
        policy or ready_policy("default"),
        workers=workers,
        watch=watch,
        allow_missing_secrets=allow_missing_secrets,
        log_requests=log_requests,
        drain_time=settings.drain_time,
        drain_delay=settings.drain_delay,
    )
    seen = content(options.file)
    gateway = gateway_or_stop(options.file, settings)
    missing = [] if allow_missing_secrets else list(missing_secrets(gateway))
    if missing:
        stop(*missing, "Nothing is served. --allow-missing-secrets serves without them.")
    with _socket(host, port) as sock:
        records = cache(partial(_records, settings, options.file))
        for label, text in banner.lines(gateway, options, sock, _stored_keys(gateway, records)):
            say(f"{label:<10} {text}")
        for warning in banner.warnings(gateway, sock):
            say_problem(warning, stderr=True)
        reloader = Reloader(gateway, options.file, allow_missing_secrets=allow_missing_secrets, records=records)
        return _served(reloader, options, sock, Watcher(options.file, seen) if watch else None)


def _socket(host: str, port: int) -> socket.socket:
    try:
        return listening(host, port)
    except CannotListen as error:
        stop(str(error))


def _records(settings: Settings, file: Path) -> PolicyRecords:
    from ai_gateway_mw.cli.policy_records import PolicyRecords  # brings SQLAlchemy, which not every policy needs

    return PolicyRecords(settings, file)


def _stored_keys(gateway: Gateway, records: Callable[[], PolicyRecords]) -> str:
    """Open the database once, where the policy needs it; where the keys are, if it needs those. What must be mended
    first ends the command; a database that cannot be reached may come later."""
    needs = gateway.program.needs
    if not needs:
        return ""
    try:
        where = str(records().begin(gateway))
    except InstallationError as error:
        stop(str(error), "Nothing is served.")
    except DatabaseUnavailable as error:
        message = f"the database cannot be reached, and requests that need it get 503 until it can: {error}"
        say_problem(Problem(message, severity="warning"), stderr=True)
        where = "a database that cannot be reached so far"
    return where if "keys" in needs else ""


def _served(reloader: Reloader, options: Options, sock: socket.socket, watcher: Watcher | None) -> int:
    """Serve until told to stop; the exit code."""
    gateway = reloader.gateway
    several = options.workers > 1
    alone = ending(Reloading(reloader, watcher), gateway, options)
    app = PolicyApp(gateway.policy.document.file_text, options) if several else alone
    config = configured(app, options)
    redact_logs(gateway.stores.secrets.redact)
    return Supervisor(config, sock, reloader).serve(watcher) if several else serve(config, sock)
