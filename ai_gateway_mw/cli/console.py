"""What commands print: results on stdout, everything that is wrong on stderr. Colours only where `NO_COLOR` allows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ai_gateway_mw.errors import Problem
from ai_gateway_mw.visible import visible

_STYLES = {"error": "bold red", "warning": "bold yellow"}
_GAP = 2  # columns between those of a table
_UNBOUNDED = 1_000_000  # columns, where output goes to a file or a pipe and must not be wrapped


def console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNBOUNDED
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True, width=width)


def say(text: str = "", *, style: str = "", stderr: bool = False) -> None:
    """One piece of text, as it is but for control characters."""
    console(stderr=stderr).print(Text(visible(text), style), soft_wrap=True)


def say_problem(problem: Problem, *, stderr: bool = False) -> None:
    """As `Problem` prints; a warning says that it is one."""
    first, *more = visible(problem_text(problem)).split("\n")
    text = Text(first, _STYLES[problem.severity] if not problem.place else "")
    if problem.place:
        text.stylize("bold", 0, len(visible(str(problem.place))))
    for line in more:
        text.append("\n" + line, _STYLES[problem.severity] if line.strip() == "^" else "dim")
    console(stderr=stderr).print(text, soft_wrap=True)


def problem_text(problem: Problem) -> str:
    """The problem as text, a warning with that word before its message."""
    warns = problem.severity == "warning"
    return str(replace(problem, message=f"warning: {problem.message}") if warns else problem)


def say_table(*headings: str, rows: Iterable[Iterable[str]], spare: Sequence[str] = ()) -> None:
    """Columns under headings. A terminal that is too narrow for all goes without the spare ones, the first first."""
    cells = [[Text(visible(cell)) for cell in row] for row in rows]
    out = console()
    widths = {
        heading: _GAP + max(cell_len(heading), *(row[place].cell_len for row in cells if place < len(row)), 0)
        for place, heading in enumerate(headings)
    }
    left_out = _left_out(widths, spare, out.width + _GAP)
    kept = [place for place, heading in enumerate(headings) if heading not in left_out]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    for place in kept:
        table.add_column(headings[place], overflow="fold")
    for row in cells:
        table.add_row(*(row[place] for place in kept if place < len(row)))
    out.print(table)
    if left_out:
        say(f"No room for: {', '.join(left_out)}. A wider terminal shows them, and so does --json.", stderr=True)


def _left_out(widths: Mapping[str, int], spare: Sequence[str], room: int) -> list[str]:
    """What has to go for the rest to fit; what went first comes back where something larger has made room for it."""
    gone: list[str] = []
    over = sum(widths.values()) - room
    for heading in spare:
        if over > 0:
            gone.append(heading)
            over -= widths[heading]
    for heading in reversed(gone[:-1]):
        if widths[heading] + over <= 0:
            gone.remove(heading)
            over += widths[heading]
    return gone


def say_json(value: Any) -> None:
    """JSON that is all ASCII, and so free of control characters."""
    print(json.dumps(value, indent=2))


def stop(*messages: str | Problem, code: int = 1) -> NoReturn:
    """End the command with this exit code, after saying why."""
    for message in messages:
        if isinstance(message, Problem):
            say_problem(message, stderr=True)
        else:
            say(message, style="bold red", stderr=True)
    raise typer.Exit(code)
