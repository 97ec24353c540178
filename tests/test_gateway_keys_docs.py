"""docs/gateway-keys.md: what it states of keys is so; and the commands and options that it, the README and the guide
for people from ngrok show exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer._click.exceptions import UsageError

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.cli.app import app
from ai_gateway_mw.keys import ENVIRONMENTS, PATTERN, Scope, generate
from ai_gateway_mw.limits import LimitsDocument
from tests.gateways import gateway

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "gateway-keys.md").read_text()
README = (ROOT / "README.md").read_text()
MIGRATING = "\n".join((ROOT / "docs" / f"migrating-from-{name}.md").read_text() for name in ("ngrok", "litellm"))
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks(page: str, language: str) -> list[str]:
    return [text for kind, text in BLOCKS.findall(page) if kind == language]


def _commands(page: str) -> Iterator[str]:
    """Every call of `ai-gateway` in a block, without what a shell makes of the rest of its line."""
    for line in "\n".join(_blocks(page, "bash")).replace("\\\n", " ").splitlines():
        for found in re.finditer(r"(?:^|\$\()ai-gateway ([^)]*)", line.strip()):
            lexer = shlex.shlex(found[1], posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            yield shlex.join(takewhile(lambda word: word not in ("|", ">", ">>", ";", "&&"), lexer))


def _parse(words: list[str]) -> None:
    """As the command line does, but for running it."""
    command: Any = typer.main.get_command(app)
    name: str | None = "ai-gateway"
    context = None
    while True:
        context = command.make_context(name, list(words), parent=context)
        if not hasattr(command, "resolve_command"):
            return
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])


@pytest.mark.parametrize("call", sorted({*_commands(PAGE), *_commands(README), *_commands(MIGRATING)}))
def test_every_command_exists_with_its_options(call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("audit-head").write_text(f"12:{'ab' * 32}\n")
    _parse(shlex.split(call))


@pytest.mark.parametrize(
    "call", ["keys creat x", "keys create", "keys create x --scopes chat", "audit verify --head x"]
)
def test_a_command_that_does_not_exist_would_be_found(call: str) -> None:
    with pytest.raises(UsageError):
        _parse(shlex.split(call))


def test_it_has_all_commands_for_keys() -> None:
    group: Any = typer.main.get_command(app)
    _, keys, _ = group.resolve_command(group.make_context("ai-gateway", ["keys", "list"]), ["keys"])
    assert [name for name in keys.commands if f"ai-gateway keys {name}" not in PAGE] == []


def test_the_pattern_is_ours_and_finds_keys() -> None:
    assert PAGE.count(PATTERN) == 3
    assert re.search(PATTERN, f"key={generate()}\n")
    trufflehog = next(text for text in _blocks(PAGE, "yaml") if "detectors" in text)
    assert yaml.safe_load(trufflehog)["detectors"][0]["regex"]["key"] == PATTERN


def _first_column(heading: str) -> set[str]:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_its_tables_are_complete() -> None:
    assert _first_column("Limits and budgets") == set(LimitsDocument.model_fields)
    assert _first_column("Scopes") == set(Scope) - {Scope.ADMIN}
    assert [name for name in ENVIRONMENTS if f"`{name}`" not in PAGE] == []


def test_its_policies_load() -> None:
    for text in _blocks(PAGE, "yaml"):
        document = yaml.safe_load(text)
        if isinstance(document, list) and document[0].get("type") in ACTIONS:
            document = {"on_http_request": [{"actions": document}]}
        if "on_http_request" in document:
            gateway(document)
