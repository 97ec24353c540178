"""`ai-gateway run`: serve a policy stand-alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def run(
    policy: Annotated[
        Path | None, typer.Argument(help="The policy file; without one, callers reach any provider with their own key.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for a free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes that serve.")] = 1,
    watch: Annotated[bool, typer.Option("--watch", help="Reload the policy when its file changes.")] = False,
    allow_missing_secrets: Annotated[
        bool, typer.Option("--allow-missing-secrets", help="Serve although secrets of the policy cannot be had.")
    ] = False,
    log_requests: Annotated[bool, typer.Option("--log-requests", help="Log every request on stderr.")] = False,
) -> None:
    """Serve a policy.

    It ends on SIGTERM or Ctrl-C, once open streams had time to end. On SIGHUP it reloads the policy; one that cannot be
    loaded leaves the last one in force.
    """
    if workers > 1:  # before this process imports the same
        from ai_gateway_mw.cli.forking import import_beforehand

        import_beforehand()
    from ai_gateway_mw.cli.running import serve_policy

    served = serve_policy(
        policy,
        host,
        port,
        workers=workers,
        watch=watch,
        allow_missing_secrets=allow_missing_secrets,
        log_requests=log_requests,
    )
    raise typer.Exit(served)
