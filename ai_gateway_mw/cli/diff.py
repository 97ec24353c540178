"""`ai-gateway diff`: what changes between two policies, and which requests would be answered otherwise."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ai_gateway_mw.cli.console import say, say_json, stop
from ai_gateway_mw.cli.loading import settings_or_stop
from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.explain import Change, Compared, NoRequest, changes, compared, samples_of
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.policy import load_file

app = typer.Typer(add_completion=False)

_MARKS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "moved": (">", "yellow")}
_LONGEST = 160


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The policy as it was.", metavar="OLD")],
    new: Annotated[Path, typer.Argument(help="The policy as it is to be.", metavar="NEW")],
    requests: Annotated[
        Path | None,
        typer.Option("--requests", help="A request log (JSON lines) or an exchanges.yaml: also compare the answers."),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", help="Pretend that clients have the key of this name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell what changes between two policies.

    Rules and actions that came, went or were changed, with their places. With --requests, also which of these
    requests would be answered otherwise; nothing is sent. A request log holds no
    bodies and no credentials: each of its requests asks for the model that was used. Ends with 0 where nothing
    changes, 1 where something does, 2 where a file cannot be used.
    """
    settings = settings_or_stop(code=2)
    logging.getLogger("ai_gateway_mw").addHandler(logging.NullHandler())
    try:
        before, after = load_file(old), load_file(new)
        found = changes(before, after)
        samples = [] if requests is None else samples_of(requests, key)
        otherwise = asyncio.run(compared(before, after, settings, Gateway, samples))
    except PolicyError as error:
        stop(*error.problems, code=2)
    except NoRequest as error:
        stop(str(error), code=2)
    if as_json:
        answers = None if requests is None else [one.as_json() for one in otherwise]
        say_json({"changes": [change.as_json() for change in found], "requests": len(samples), "otherwise": answers})
    else:
        _say(found)
        if requests is not None:
            _say_requests(otherwise, len(samples))
    raise typer.Exit(1 if found or otherwise else 0)


def _say(found: Sequence[Change]) -> None:
    for change in found:
        mark, style = _MARKS[change.kind]
        place = change.new_place or change.old_place
        say(f"{mark} {change.phase}, {change.rule}: {change.what} {change.kind}  ({place})", style=style)
        for sign, value in (("-", change.old), ("+", change.new)):
            if value not in (None, ""):
                say(f"    {sign} {_shown(value)}")
    say(f"{len(found)} change{'' if len(found) == 1 else 's'}", style="bold")


def _say_requests(otherwise: Sequence[Compared], asked: int) -> None:
    say()
    for one in otherwise:
        times = f" (logged {one.sample.times} times)" if one.sample.times > 1 else ""
        say(f"~ {one.sample.name}{times}", style="yellow")
        for line in _details(one):
            say(f"    {line}")
    say(f"{len(otherwise)} of {asked} requests would be answered otherwise", style="bold")


def _details(one: Compared) -> Iterator[str]:
    """What tells most: a new status says all that its body would say again."""
    whats = [difference.what for difference in one.differences]
    for difference in one.differences:
        if difference.what in ("headers", "body", "sent") and "status" in whats:
            continue
        if difference.what == "sent" and "tried" in whats:
            continue
        if isinstance(difference.expected, list) and isinstance(difference.got, list):
            yield f"{difference.what}:"
            yield from (f"  - {_shown(item)}" for item in difference.expected if item not in difference.got)
            yield from (f"  + {_shown(item)}" for item in difference.got if item not in difference.expected)
            if sorted(difference.expected) == sorted(difference.got):
                yield f"  now in the order {_shown(difference.got)}"
        else:
            yield f"{difference.what}: {_shown(difference.expected)} -> {_shown(difference.got)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
