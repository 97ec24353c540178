"""`docs/policy/streams.md`: its tables name everything that there is, and its examples load."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.errors import BodyNotEdited
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.texts import GROUPS, PRESETS
from ai_gateway_mw.variables import ROWS
from benchmarks.redaction import measured
from tests.gateways import gateway

PAGE = (Path(__file__).parents[1] / "docs/policy/streams.md").read_text()


def named() -> set[str]:
    """What stands in backticks in the first column of a table."""
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("|")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_variable_of_messages_and_prompts_is_there() -> None:
    names = {row.name for row in ROWS if row.name.startswith(("sse.", "ai."))}
    assert {name for name in named() if name.startswith(("sse.", "ai."))} == names


def test_every_preset_is_there() -> None:
    assert PRESETS.keys() <= named()
    assert all(f"`{name}` stands for" in PAGE or f"`{name}` for the other" in PAGE for name in GROUPS)


def test_every_action_of_the_phase_is_named() -> None:
    usable = {name for name, kind in ACTIONS.items() if Phase.ON_EVENT_STREAM_MESSAGE in kind.phases}
    phase = PAGE.partition("\n## The phase")[2].partition("\n```")[0]
    assert usable == {name for name in ACTIONS if f"`{name}`" in phase} - {"ai-gateway"}


def test_every_number_of_ngrok_is_there() -> None:
    numbers = {str(kind.ngrok_code) for kind in (BodyNotEdited, *BodyNotEdited.__subclasses__())}
    assert numbers == set(re.findall(r"^\| (39\d\d) ", PAGE, re.MULTILINE))


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
def test_an_example_loads(example: str) -> None:
    assert gateway(example).warnings == ()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^):]+)\)", PAGE))))
def test_its_links_lead_somewhere(target: str) -> None:
    assert (Path(__file__).parents[1] / "docs/policy" / target).exists()


def test_the_benchmark_measures_what_the_page_speaks_of() -> None:
    assert {"redact a request of 1 KiB", "redact across messages"} <= measured(1).keys()
