"""`ai-gateway keys`: gateway keys."""

from __future__ import annotations

import typer

from ai_gateway_mw.cli.console import say
from ai_gateway_mw.keys import generate

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Make gateway keys, with which clients authenticate."""


@app.command()
def new() -> None:
    """Make a gateway key and print it, this once.

    It is stored nowhere. A policy takes it in the `keys` of its `gateway-auth` action, best from a secret.
    """
    print(generate())
    say("This key is shown once. Clients send it as `Authorization: Bearer ...`; the policy takes it in", stderr=True)
    say("`gateway-auth` under `keys`, as `value: ${secrets.get('VAULT', 'NAME')}`.", stderr=True)
