"""`ai-gateway check`: everything that is wrong with policies, for people, editors and continuous integration."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from ai_gateway_mw.cli import reports
from ai_gateway_mw.cli.console import stop
from ai_gateway_mw.cli.loading import missing_secrets, settings_or_stop
from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.settings import Settings

app = typer.Typer(add_completion=False)

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_SCHEMA: Final = ".schema.json"  # `init` writes one beside the policy


class Format(StrEnum):
    """How problems are written."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"


_REPORTS: Final = {Format.TEXT: reports.text, Format.JSON: reports.json, Format.GITHUB: reports.github}


@app.command()
def check(
    policies: Annotated[
        list[Path],
        typer.Argument(help="Policy files, or directories of them.", metavar="POLICY...", show_default=False),
    ],
    format_: Annotated[
        Format, typer.Option("--format", help="text, json, or github for annotations in a workflow.")
    ] = Format.TEXT,
    secrets: Annotated[bool, typer.Option("--secrets", help="Also look whether every secret can be had.")] = False,
) -> None:
    """Tell what is wrong with policies.

    Ends with 0 where they are good, 1 where there are problems, 2 where a file cannot be read. Warnings do not fail.
    """
    files = [file for policy in policies for file in _files(policy)]
    settings = settings_or_stop(code=2)
    found = [reports.Checked(file, tuple(_problems(file, settings, secrets=secrets))) for file in files]
    _REPORTS[format_](found)
    raise typer.Exit(1 if any(each.errors for each in found) else 0)


def _files(policy: Path) -> Sequence[Path]:
    """The file, or the policies of a directory."""
    if not policy.is_dir():
        if reason := _unreadable(policy):
            stop(f"{policy}: cannot be read: {reason}", code=2)
        return [policy]
    files = sorted(file for file in policy.iterdir() if file.suffix in _SUFFIXES and not file.name.endswith(_SCHEMA))
    return files or stop(f"{policy}: no policies here ({', '.join(f'*{suffix}' for suffix in _SUFFIXES)})", code=2)


def _unreadable(file: Path) -> str:
    """Why a file cannot be read, or an empty string; it is not opened, since it may be a pipe."""
    try:
        file.stat()
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(file, os.R_OK) else os.strerror(errno.EACCES)


def _problems(file: Path, settings: Settings, *, secrets: bool) -> Iterator[Problem]:
    try:
        gateway = Gateway.from_file(file, settings=settings)
    except PolicyError as error:
        yield from error.problems
        return
    yield from gateway.warnings
    if secrets:
        yield from missing_secrets(gateway)
