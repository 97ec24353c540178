"""What `check` found, written for people, for programs, and for GitHub's workflow commands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ai_gateway_mw.cli.console import say, say_json, say_problem
from ai_gateway_mw.errors import Problem

# How workflow commands spell what would end a message, and besides, what would end a property.
_IN_MESSAGES: Final = {ord("%"): "%25", ord("\r"): "%0D", ord("\n"): "%0A"}
_IN_PROPERTIES: Final = {**_IN_MESSAGES, ord(":"): "%3A", ord(","): "%2C"}


@dataclass(frozen=True, slots=True)
class Checked:
    """A policy file with all that is wrong with it."""

    file: Path
    problems: Sequence[Problem]

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)


def text(found: Sequence[Checked]) -> None:
    """The problems as they always print, and a last line that sums up."""
    for checked in found:
        for problem in checked.problems:
            say_problem(_of_file(checked.file, problem))
    errors = sum(checked.errors for checked in found)
    warnings = sum(len(checked.problems) for checked in found) - errors
    style = "bold red" if errors else "bold green"
    say(f"{_counted(len(found), 'policy', 'policies')}: {_sum(errors, warnings)}", style=style)


def json(found: Sequence[Checked]) -> None:
    """A list of objects."""
    say_json([problem.as_json(str(checked.file)) for checked in found for problem in checked.problems])


def github(found: Sequence[Checked]) -> None:
    """One workflow command for each problem, which becomes an annotation at its line."""
    for checked in found:
        for problem in checked.problems:
            row = problem.as_json(str(checked.file))
            place = {"file": row["file"], "line": row["line"], "col": row["column"]}
            properties = ",".join(f"{name}={str(value).translate(_IN_PROPERTIES)}" for name, value in place.items())
            say(f"::{problem.severity} {properties}::{problem.headline.translate(_IN_MESSAGES)}")


def _of_file(file: Path, problem: Problem) -> Problem:
    """A problem without a place says at least of which file it is."""
    if problem.place or problem.message.startswith(f"{file}: "):
        return problem
    return replace(problem, message=f"{file}: {problem.message}")


def _sum(errors: int, warnings: int) -> str:
    parts = [_counted(errors, "error", "errors")] if errors else ["good"]
    return ", ".join([*parts, *([_counted(warnings, "warning", "warnings")] if warnings else [])])


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
