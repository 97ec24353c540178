"""`ai-gateway secrets`: the encrypted vault of this machine. Values come in and never go out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Final

import typer

from ai_gateway_mw.audit import Event, Happening
from ai_gateway_mw.cli.console import say, say_json, say_problem, say_table, stop
from ai_gateway_mw.cli.installed import actor, recorded
from ai_gateway_mw.cli.loading import settings_or_stop
from ai_gateway_mw.errors import Problem, SecretError, SecretUnusable
from ai_gateway_mw.secrets import LocalVault, build_store
from ai_gateway_mw.settings import Settings

app = typer.Typer(add_completion=False, no_args_is_help=True)

_MAX_INPUT: Final = 256 * 1024

Vault = Annotated[str, typer.Argument(help="The vault, such as `openai`.", metavar="VAULT")]
Name = Annotated[str, typer.Argument(help="The secret's name in it, such as `primary`.", metavar="NAME")]


@app.callback()
def secrets() -> None:
    """Keep secrets in the encrypted vault of this machine.

    Policies read them with `secrets.get('VAULT', 'NAME')`. Where there are gateway keys, every change of a secret is in
    the audit log: one that cannot be written there is not made.
    """


@app.command("set", context_settings={"allow_extra_args": True})
def set_(ctx: typer.Context, vault: Vault, name: Name) -> None:
    """Store a secret; its value is asked for, or read from standard input where that is no terminal.

    One line break at the end is dropped. A value that is there already is replaced.
    """
    if ctx.args:  # typer's own message would show them
        stop(
            "The value is no argument, where others would see it: it is asked for, or read from standard input.", code=2
        )
    settings = settings_or_stop()
    with _refusals():
        value = _prompted(vault, name) if sys.stdin.isatty() else _from_stdin(vault, name)
        recorded(settings, _happening(Event.SECRET_SET, vault, name), lambda: _vault(settings).set(vault, name, value))
    say(f"Stored {vault}/{name}.", style="bold green")
    for doubt in _doubts(settings, vault, name):
        say_problem(Problem(doubt, severity="warning"), stderr=True)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List what is stored, without values."""
    with _refusals():
        entries = _vault(settings_or_stop()).entries()
    if as_json:
        say_json([{"vault": one.vault, "name": one.name, "changed": one.changed.isoformat()} for one in entries])
    elif entries:
        rows = ((one.vault, one.name, f"{one.changed:%Y-%m-%d %H:%M} UTC") for one in entries)
        say_table("vault", "name", "changed", rows=rows)
    else:
        say("Nothing is stored. `ai-gateway secrets set VAULT NAME` stores something.")


@app.command()
def delete(
    vault: Vault, name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Delete a secret."""
    settings = settings_or_stop()
    stored = _vault(settings)
    with _refusals():
        known = any((one.vault, one.name) == (vault, name) for one in stored.entries())
    if not known:
        stop(f"no secret {vault}/{name} is stored")
    if not yes:
        typer.confirm(f"Delete {vault}/{name}?", abort=True)
    with _refusals():
        recorded(settings, _happening(Event.SECRET_DELETED, vault, name), lambda: stored.delete(vault, name))
    say(f"Deleted {vault}/{name}.")


def _happening(event: Event, vault: str, name: str) -> Happening:
    """What the audit log has of it: the name, and never the value."""
    return Happening(event, actor(), f"{vault}/{name}", {})


def _vault(settings: Settings) -> LocalVault:
    return LocalVault(settings.data_dir, master_key=settings.master_key)


@contextmanager
def _refusals() -> Iterator[None]:
    """What the vault refuses ends the command; its errors name secrets and never show one."""
    try:
        yield
    except SecretError as error:
        message = str(error)
    else:
        return
    stop(message)


def _prompted(vault: str, name: str) -> str:
    value: str = typer.prompt(f"Value of {vault}/{name}", hide_input=True, confirmation_prompt=True, err=True)
    return value


def _from_stdin(vault: str, name: str) -> str:
    """All of standard input but for the line break that `echo` adds."""
    data = sys.stdin.buffer.read(_MAX_INPUT + 1)
    if len(data) > _MAX_INPUT:
        raise SecretUnusable(f"secret {vault}/{name} (standard input) is larger than {_MAX_INPUT // 1024} KiB")
    with suppress(UnicodeDecodeError):  # that error carries the bytes
        return data.removesuffix(b"\n").removesuffix(b"\r").decode() if data.endswith(b"\n") else data.decode()
    raise SecretUnusable(f"secret {vault}/{name} (standard input) is not UTF-8 text")


def _doubts(settings: Settings, vault: str, name: str) -> Iterator[str]:
    """Why `secrets.get` would not return what was just stored."""
    if LocalVault.name not in settings.secrets:
        yield f"nothing reads it: AI_GATEWAY_SECRETS is {','.join(settings.secrets)}, without {LocalVault.name}"
        return
    for source in build_store(settings).sources:
        if source.name == LocalVault.name:
            return
        with suppress(SecretError):
            if source.get(vault, name) is not None:
                yield f"{source.place(vault, name)} is asked first and has this secret too"
