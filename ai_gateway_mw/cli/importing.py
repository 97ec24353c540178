"""`ai-gateway import`: policies out of the configuration files of other gateways."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ai_gateway_mw.cli.console import say, say_json, stop
from ai_gateway_mw.cli.loading import settings_or_stop
from ai_gateway_mw.cli.writing import write_whole
from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.imports import Imported, ImportedPolicy, import_file, policy_text
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.visible import visible

app = typer.Typer(add_completion=False)


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="The configuration file.", metavar="FILE", show_default=False)],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Directory for the policies; `-` prints them.", metavar="DIR")
    ] = "-",
    as_json: Annotated[bool, typer.Option("--json", help="Print policies and report as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there already.")] = False,
) -> None:
    """Make policies of a configuration for ngrok or LiteLLM.

    Takes ngrok agent configurations (versions 2 and 3), Kubernetes objects of ngrok's operator (NgrokTrafficPolicy,
    CloudEndpoint, AgentEndpoint), LiteLLM's config.yaml, and policies with legacy forms. Without --out nothing is
    written. What could not be carried over is told with its place; secrets never come along.
    """
    try:
        imported = import_file(file, Stores(settings_or_stop(code=2)))
    except PolicyError as error:
        stop(*error.problems)
    texts = {policy.name: policy_text(policy, imported.secrets, file.name) for policy in imported.policies}
    written = _written(Path(out), texts, force=force) if out != "-" else {}
    if as_json:
        say_json(_as_json(imported, texts, written))
        raise typer.Exit(0 if imported.policies else 1)
    if out == "-":
        print(
            visible("---\n".join(_titled(policy, texts, many=len(texts) > 1) for policy in imported.policies)), end=""
        )
    _report(imported, written)


def _titled(policy: ImportedPolicy, texts: dict[str, str], *, many: bool) -> str:
    return f"# {policy.name}.yaml\n{texts[policy.name]}" if many else texts[policy.name]


def _written(directory: Path, texts: dict[str, str], *, force: bool) -> dict[str, Path]:
    """The files, all of them or none."""
    files = {name: directory / f"{name}.yaml" for name in texts}
    there = [file for file in files.values() if file.exists() or file.is_symlink()]
    if there and not force:
        stop(*(f"{file} is there already; --force writes over it" for file in there))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            write_whole(file, texts[name])
    except OSError as error:
        stop(f"cannot write into {directory}: {error.strerror or error}")
    return files


def _report(imported: Imported, written: dict[str, Path]) -> None:
    """What was done and what was not; on stderr, so that policies can be printed into a file."""
    for remark in imported.remarks:
        say(str(remark), stderr=True)
    if imported.secrets:
        say("Secrets to set:", style="bold", stderr=True)
    for secret in imported.secrets:
        say(f"  {secret}", stderr=True)
    for file in written.values():
        say(f"Wrote {file}.", style="bold green", stderr=True)
    if not imported.policies:
        stop("there was nothing to write")
    number, kind = len(imported.policies), imported.kind
    policies = "1 policy" if number == 1 else f"{number} policies"
    left = len(imported.remarks)
    remarks = "everything was carried over" if not left else "1 remark" if left == 1 else f"{left} remarks"
    say(f"{kind}: {policies}, {remarks}", style="bold yellow" if left else "bold green", stderr=True)


def _as_json(imported: Imported, texts: dict[str, str], written: dict[str, Path]) -> dict[str, object]:
    policies = [
        {
            "name": policy.name,
            "about": policy.about,
            "file": str(written[policy.name]) if policy.name in written else None,
            "text": texts[policy.name],
        }
        for policy in imported.policies
    ]
    return {
        "kind": imported.kind,
        "policies": policies,
        "remarks": [remark.as_json() for remark in imported.remarks],
        "secrets": [secret.as_json() for secret in imported.secrets],
    }
