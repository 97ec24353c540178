"""The README: its tables name everything that there is, and its first policy is the ready one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.cli.app import COMMANDS
from ai_gateway_mw.cli.ready_policies import ready_policy
from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.settings import Settings

README = (Path(__file__).parents[1] / "README.md").read_text()


def _section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def _named_in_table(title: str) -> set[str]:
    """What stands in backticks in the first column."""
    rows = [line.split("|")[1] for line in _section(title).splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def _errors(kind: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _errors(below)


@pytest.mark.parametrize(
    "code", sorted({kind.code for kind in _errors() if kind.__module__.startswith("ai_gateway_mw.errors")})
)
def test_every_code_is_in_the_table_of_errors(code: str) -> None:
    assert code in _named_in_table("Errors")


def test_the_table_of_errors_has_no_other_codes() -> None:
    assert _named_in_table("Errors") <= {kind.code for kind in _errors()}


def test_every_setting_is_in_the_table_of_settings_and_no_other() -> None:
    assert _named_in_table("Settings") == {name.upper() for name in Settings.model_fields}


def test_every_action_is_named() -> None:
    assert [name for name in ACTIONS if f"`{name}`" not in _section("What it does")] == []


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in ("demo", "schema")])
def test_every_command_is_named(command: str) -> None:
    assert f"ai-gateway {command}" in re.sub(r"\s+", " ", README)


def test_its_first_policy_is_the_ready_one() -> None:
    shown = _section("In a FastAPI app").partition("```yaml\n")[2].partition("```")[0]
    assert yaml.safe_load(shown) == yaml.safe_load(ready_policy("key-failover").read_text())


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^):]+)\)", README))))
def test_its_links_lead_somewhere(target: str) -> None:
    name, _, anchor = target.partition("#")
    text = (Path(__file__).parents[1] / name).read_text() if name.endswith(".md") else ""
    headings = [re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in text.splitlines()]
    assert (Path(__file__).parents[1] / name).exists()
    assert not anchor or anchor in headings
