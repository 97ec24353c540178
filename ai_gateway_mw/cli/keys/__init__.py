"""`ai-gateway keys`: gateway keys, from making one to ending it."""

from __future__ import annotations

import typer

from ai_gateway_mw.cli.keys.changing import revoke, update
from ai_gateway_mw.cli.keys.making import create, new, rotate
from ai_gateway_mw.cli.keys.reading import callers, list_, show

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def keys() -> None:
    """Manage gateway keys, with which clients authenticate.

    KEY is the id of a key or the name of one that is in use.
    """


app.command("create")(create)
app.command("list")(list_)
app.command("show")(show)
app.command("update")(update)
app.command("rotate")(rotate)
app.command("revoke")(revoke)
app.command("callers")(callers)
app.command("new")(new)
