"""Options that several of the commands for keys have, and what their texts mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from ai_gateway_mw.cli.moments import ago, ahead


class ScopeOption(StrEnum):
    """The scopes that a key can have; the admin plane's is not among them."""

    READ = "read"
    CHAT = "chat"
    FULL = "full"


Key = Annotated[str, typer.Argument(help="Id of a key, or name of one in use.", metavar="KEY")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the new key and nothing else.")]
Environment = Annotated[
    str | None, typer.Option("--environment", help="Such as `production`; by default what the name begins with.")
]
Scopes = Annotated[
    list[ScopeOption] | None,
    typer.Option(
        "--scope", help="What it may be used for: list models, chat, or everything (the default). Repeatable."
    ),
]
Expires = Annotated[
    datetime | None,
    typer.Option("--expires", parser=ahead, metavar="WHEN", help="When it stops working: 2027-01-31, or 90d from now."),
]
Since = Annotated[
    datetime | None,
    typer.Option("--since", parser=ago, metavar="WHEN", help="From when on: 2027-01-31, or 7d back from now."),
]
AllowIPs = Annotated[
    list[str] | None,
    typer.Option("--allow-ip", metavar="CIDR", help="Range or address it may be used from. Repeatable."),
]
AllowModels = Annotated[
    list[str] | None,
    typer.Option("--allow-model", metavar="GLOB", help="Models it may be used for; `!` forbids. Repeatable."),
]
AllowProviders = Annotated[
    list[str] | None,
    typer.Option("--allow-provider", metavar="GLOB", help="Providers it may be used for; `!` forbids. Repeatable."),
]
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="NAME=VALUE", help="Such as requests_per_minute=60 or usd_per_day=5. Repeatable."),
]
Meta = Annotated[
    list[str] | None, typer.Option("--meta", metavar="NAME=TEXT", help="A note that expressions can read. Repeatable.")
]


def given(**values: Any) -> dict[str, Any]:
    """Those that were given: an option that was not is None, or a list without items."""
    return {name: value for name, value in values.items() if value is not None and value != []}


def notes(texts: Sequence[str]) -> Mapping[str, str]:
    """`k=v` of `--meta`."""
    return dict(_pair(text, "--meta", "team=search") for text in texts)


def limits(texts: Sequence[str]) -> Mapping[str, int | float]:
    """`name=value` of `--limit`."""
    pairs = [_pair(text, "--limit", "requests_per_minute=60") for text in texts]
    return {name: _number(name, value) for name, value in pairs}


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not name.strip() or not sign:
        raise typer.BadParameter(f"`{text}` is no pair such as {example}", param_hint=option)
    return name.strip(), value.strip()


def _number(name: str, text: str) -> int | float:
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise typer.BadParameter(f"`{text}` is no number; write {name}=60", param_hint="--limit")
    return number
