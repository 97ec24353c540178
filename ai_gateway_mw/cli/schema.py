"""`ai-gateway schema`: the JSON Schema of policies."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Annotated

import typer

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.actions.examples import EXAMPLES
from ai_gateway_mw.cli.console import say, stop
from ai_gateway_mw.cli.writing import write_whole
from ai_gateway_mw.context import Action
from ai_gateway_mw.policy import About, policy_schema

app = typer.Typer(add_completion=False)


@app.command()
def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write it to this file instead.")] = None,
) -> None:
    """Print the JSON Schema of policies, for editors.

    An editor that runs the YAML language server finds it through the first line of a policy:
    `# yaml-language-server: $schema=policy.schema.json`
    """
    if output is None:
        print(schema_text(), end="")
        return
    try:
        write_whole(output, schema_text())
    except OSError as error:
        stop(f"{output}: cannot be written: {error.strerror or error}")
    say(f"Wrote {output}.", style="bold green")


def schema_text() -> str:
    """The schema, made from the configs of all actions."""
    configs = {name: action.Config for name, action in ACTIONS.items()}
    return (
        json.dumps(policy_schema(configs, {name: _about(action) for name, action in ACTIONS.items()}), indent=2) + "\n"
    )


def _about(action: type[Action]) -> About:
    """The first paragraph of its docstring, and its example."""
    said = inspect.cleandoc(action.__doc__ or "").partition("\n\n")[0]
    return About(" ".join(said.split()), EXAMPLES.get(action.name, {}))
