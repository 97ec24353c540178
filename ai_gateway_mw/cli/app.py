"""The commands by name. The module of one is imported when it is called, so that `--help` does not load the gateway."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from ai_gateway_mw.version import VERSION


class Entry(NamedTuple):
    """Where a command is, and the line that the list of commands has for it."""

    module: str
    help: str


COMMANDS: Final = {
    "run": Entry("run", "Serve a policy."),
    "check": Entry("check", "Tell what is wrong with policies."),
    "explain": Entry("explain", "Tell what a policy would do with a request, and why."),
    "test": Entry("test", "Run the tests that lie beside policies."),
    "diff": Entry("diff", "Tell what changes between two policies."),
    "init": Entry("init", "Write a first policy."),
    "import": Entry("importing", "Make policies of a configuration for ngrok or LiteLLM."),
    "schema": Entry("schema", "Print the JSON Schema of policies, for editors."),
    "doctor": Entry("doctor", "Tell what is wrong with this installation."),
    "demo": Entry("demo_command", "Show a failover with a real local language model."),
    "secrets": Entry("secrets", "Keep secrets in the encrypted vault of this machine."),
    "keys": Entry("keys", "Manage gateway keys, with which clients authenticate."),
    "usage": Entry("usage", "Tell what was used: requests, tokens and cost."),
    "audit": Entry("audit", "Read and verify the audit log."),
    "ip": Entry("ip", "Tell whether an address is allowed."),
}


class Commands(TyperGroup):
    """A group that names its commands without importing them."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update({name: TyperCommand(name, help=entry.help) for name, entry in COMMANDS.items()})

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, None if name is None else loaded(name), rest


def loaded(name: str) -> Any:
    """The command itself, its module now imported."""
    return typer.main.get_command(import_module(f"{__package__}.{COMMANDS[name].module}").app)


# Without rich's tracebacks, which show the values of local variables.
app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ai-gateway {VERSION}")
        raise typer.Exit


@app.callback()
def ai_gateway(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """An AI gateway: keys, allowlists, key selection and failover, all said in one policy file."""
