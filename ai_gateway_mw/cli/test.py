"""`ai-gateway test`: runs the exchanges that lie beside policies, and shows what came out otherwise."""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ai_gateway_mw.cli.console import say, say_json, stop
from ai_gateway_mw.cli.loading import settings_or_stop
from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.explain import Difference, Verdict, exchanges_schema, files_of, judged
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.settings import Settings

app = typer.Typer(add_completion=False)


def _print_schema(wanted: bool) -> None:
    if wanted:
        say_json(exchanges_schema())
        raise typer.Exit


@app.command()
def run_tests(
    files: Annotated[
        list[Path],
        typer.Argument(help="Files of exchanges, or directories of them.", metavar="DIR|FILE...", show_default=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    schema: Annotated[  # noqa: ARG001 - it ends the command
        bool,
        typer.Option("--schema", callback=_print_schema, is_eager=True, help="Print the JSON Schema of the files."),
    ] = False,
) -> None:
    """Run the tests that lie beside policies.

    They are `exchanges.yaml` beside `policy.yaml`, or `NAME.exchanges.yaml` beside `NAME.yaml`. Nothing is sent:
    providers answer what the file says. Ends with 0 where all exchanges came out as expected, 1 where
    one did not, 2 where a file or its policy cannot be used.
    """
    settings = settings_or_stop(code=2)
    logging.getLogger("ai_gateway_mw").addHandler(logging.NullHandler())  # faults are what is tested
    try:
        verdicts = asyncio.run(_all(files, settings))
    except PolicyError as error:
        stop(*error.problems, code=2)
    if as_json:
        say_json([verdict.as_json() for verdict in verdicts])
    else:
        _say(verdicts)
    raise typer.Exit(0 if all(verdict.passed for verdict in verdicts) else 1)


async def _all(paths: Sequence[Path], settings: Settings) -> list[Verdict]:
    files = [file for path in paths for file in files_of(path)]
    return [verdict for file in files for verdict in await judged(file, settings, Gateway)]


def _say(verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        if verdict.passed:
            say(f"ok    {verdict.file}: {verdict.name}", style="green")
            continue
        say(f"FAIL  {verdict.place}: {verdict.name}", style="bold red")
        for difference in verdict.differences:
            for text, style in _difference(difference):
                say(f"      {text}", style=style)
    failed = sum(not verdict.passed for verdict in verdicts)
    count = f"{len(verdicts)} exchange{'' if len(verdicts) == 1 else 's'}"
    say(f"{count}: {f'{failed} failed' if failed else 'good'}", style="bold red" if failed else "bold green")


def _difference(difference: Difference) -> Iterator[tuple[str, str]]:
    expected, got = difference.expected, difference.got
    if not isinstance(expected, list | dict) and not isinstance(got, list | dict):
        yield f"{difference.what}: expected {_json(expected)}, got {_json(got)}", ""
        return
    yield f"{difference.what}:", ""
    for line in difflib.ndiff(_rows(expected), _rows(got)):
        if not line.startswith("?"):
            yield f"  {line}", {"-": "green", "+": "red"}.get(line[0], "dim")


def _rows(value: Any) -> list[str]:
    if isinstance(value, list):
        return [item if isinstance(item, str) else _json(item) for item in value]
    return json.dumps(value, indent=2, ensure_ascii=False).splitlines()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
