"""`ai-gateway doctor`: what is wrong with this installation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from ai_gateway_mw.cli import checkup, checkup_stored
from ai_gateway_mw.cli.checkup import Finding, State
from ai_gateway_mw.cli.console import say, say_json, say_table
from ai_gateway_mw.cli.ready_policies import ready_policy
from ai_gateway_mw.settings import PREFIX, Described, Settings, SettingsError

app = typer.Typer(add_completion=False)

_STYLES: Final = {State.OK: "", State.WARNING: "bold yellow", State.WRONG: "bold red"}


@app.command()
def doctor(
    policy: Annotated[Path | None, typer.Option(help="A policy to look at, with the secrets that it names.")] = None,
    host: Annotated[str, typer.Option(help="Address that `run` would listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port that `run` would listen on.")] = 8080,
    explain: Annotated[bool, typer.Option("--explain", help="Also say what each setting is for.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with what each setting is for.")] = False,
) -> None:
    """Tell what is wrong with this installation.

    Ends with 1 where something is. Settings are shown with their source, secrets never.
    """
    settings: Settings | None = None
    findings = [*checkup.installation(), *checkup.port(host, port), *checkup.open_files()]
    try:
        settings = Settings()
        findings += _configuration(policy or ready_policy("default"), settings)
    except SettingsError as error:
        findings += [Finding("settings", State.WRONG, problem.headline) for problem in error.problems]
    described = settings.described() if settings else []
    if as_json:
        _show_json(findings, described)
    else:
        _show(findings, described, explain=explain)
    raise typer.Exit(1 if any(finding.state is State.WRONG for finding in findings) else 0)


def _configuration(policy: Path, settings: Settings) -> Iterator[Finding]:
    yield from checkup.settings_warnings(settings)
    yield from checkup.data_directory(settings)
    yield from checkup.master_key(settings)
    yield from checkup_stored.database(settings)
    yield from checkup.sources(settings)
    yield from checkup.policy(policy, settings)


def _show(findings: Sequence[Finding], settings: Sequence[Described], *, explain: bool) -> None:
    if settings:
        headings = ("setting", "value", "from", *(("what it is for",) if explain else ()))
        say_table(*headings, rows=[_row(one, explain=explain) for one in settings])
        say()
    for finding in findings:
        say(f"{finding.state:<8} {finding.what:<15} {finding.text}", style=_STYLES[finding.state])


def _row(setting: Described, *, explain: bool) -> tuple[str, ...]:
    row = (setting.name, setting.shown or "-", setting.source)
    return (*row, _description(setting)) if explain else row


def _description(setting: Described) -> str:
    return Settings.model_fields[setting.name.removeprefix(PREFIX).lower()].description or ""


def _show_json(findings: Sequence[Finding], settings: Sequence[Described]) -> None:
    say_json(
        {
            "ok": all(finding.state is not State.WRONG for finding in findings),
            "findings": [{"what": one.what, "state": one.state, "text": one.text} for one in findings],
            "settings": [
                {"name": one.name, "value": one.shown, "source": one.source, "description": _description(one)}
                for one in settings
            ],
        }
    )
