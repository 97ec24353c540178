"""`ai-gateway demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from ai_gateway_mw.cli.demo import run_demo

app = typer.Typer(add_completion=False)


@app.command()
def demo(once: Annotated[bool, typer.Option("--once", help="End after one answer.")] = False) -> None:
    """Show a failover with a real local language model.

    It needs no account and no key. The gateway then stays up until Ctrl-C, to be tried with curl.
    """
    raise typer.Exit(run_demo(once=once))
