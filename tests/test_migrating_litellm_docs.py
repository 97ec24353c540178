"""docs/migrating-from-litellm.md: its command prints what it shows, its policies load, its names exist.

`python -m tests.test_migrating_litellm_docs` writes the output into the page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ai_gateway_mw.limits import LimitsDocument
from ai_gateway_mw.settings import Settings
from tests.gateways import gateway
from tests.test_tools_docs import output, written

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "migrating-from-litellm.md"
CONFIG, POLICY = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


def printed(command: str) -> str:
    Path("config.yaml").write_text(CONFIG)
    return output(command)


def test_the_output_is_that_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text()
    assert page.count("```console") == 1
    assert written(page, printed) == page
    made = gateway(Path("policies/litellm.yaml").read_text())
    assert made.program.secrets == {
        ("default", "OPENAI_API_KEY"),
        ("default", "ANTHROPIC_API_KEY"),
        ("imported", "gateway-key-1"),
    }


def test_its_policy_loads() -> None:
    assert gateway(POLICY).warnings == ()


def test_its_names_exist() -> None:
    page = PAGE.read_text()
    assert set(re.findall(r"AI_GATEWAY_([A-Z]+(?:_[A-Z]+)*)(?![A-Z_])", page)) - {"SECRET"} <= {
        name.upper() for name in Settings.model_fields
    }
    limits = set(re.findall(r"\b(?:usd|requests|tokens|concurrent)_(?:per_)?[a-z]+", page.partition("## 2.")[2]))
    assert limits <= set(LimitsDocument.model_fields)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^):]+)\)", PAGE.read_text()))))
def test_its_links_lead_somewhere(target: str) -> None:
    name, _, anchor = target.partition("#")
    headings = [line.lstrip("# ").lower().replace(" ", "-") for line in (DOCS / name).read_text().splitlines()]
    assert not anchor or anchor in headings


if __name__ == "__main__":
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as where:
        os.chdir(where)
        PAGE.write_text(written(PAGE.read_text(), printed))
