"""docs/migrating-from-ngrok.md: its commands print what it shows, its policies load, its names exist.

`python -m tests.test_migrating_docs` writes the outputs into the page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ai_gateway_mw.actions import ACTIONS, UNSUPPORTED
from ai_gateway_mw.settings import Settings
from tests.gateways import gateway
from tests.test_tools_docs import output, written

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "migrating-from-ngrok.md"
AGENT, *POLICIES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def printed(command: str) -> str:
    Path("ngrok.yml").write_text(AGENT)
    return output(command)


def test_the_outputs_are_those_of_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text()
    assert page.count("```console") == 2
    assert written(page, printed) == page


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_loads(policy: str) -> None:
    assert gateway(policy).warnings == ()


def test_everything_that_is_refused_is_named() -> None:
    assert [name for name in UNSUPPORTED if f"`{name}`" not in PAGE.read_text()] == []


def test_its_settings_exist() -> None:
    named = set(re.findall(r"AI_GATEWAY_([A-Z]+(?:_[A-Z]+)*)(?![A-Z_])", PAGE.read_text())) - {"SECRET"}
    assert named <= {name.upper() for name in Settings.model_fields}


def test_its_tables_name_actions_that_exist() -> None:
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("|")]
    named = {name for row in rows for name in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", row)}
    assert named
    assert named <= ACTIONS.keys() | UNSUPPORTED.keys()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^):]+)\)", PAGE.read_text()))))
def test_its_links_lead_somewhere(target: str) -> None:
    name, _, anchor = target.partition("#")
    file = DOCS / name
    lines = file.read_text().splitlines()
    headings = [re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in lines]
    assert not anchor or anchor in headings


if __name__ == "__main__":
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as where:
        os.chdir(where)
        PAGE.write_text(written(PAGE.read_text(), printed))
