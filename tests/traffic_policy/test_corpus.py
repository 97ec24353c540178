"""Every example and vector of Traffic Policy loads, or is refused for the reason that stands beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.errors import PolicyError, Problem
from tests.gateways import gateway
from tests.traffic_policy.pending import PENDING

HERE = Path(__file__).parent
CORPUS: dict[str, dict[str, Any]] = {
    f"{file.stem}: {name}": entry
    for file in (HERE / "examples.yaml", HERE / "vectors.yaml")
    for name, entry in yaml.safe_load(file.read_text()).items()
}


def types_of(policy: Any) -> Iterator[str]:
    """The types of all actions, wherever they stand."""
    if isinstance(policy, dict):
        if isinstance(policy.get("type"), str) and set(policy) <= {"type", "config", "name", "expressions"}:
            yield policy["type"]
        for key, item in policy.items():
            if key != "config":
                yield from types_of(item)
    elif isinstance(policy, list):
        for item in policy:
            yield from types_of(item)


def problems_of(policy: Any) -> list[Problem]:
    """What is wrong with it, where every internal upstream that it names is known, and one more."""
    text = json.dumps(policy)
    names = {"any", *re.findall(r"https?://([a-z0-9.-]+)\.internal", text)}
    try:
        gateway(text, internal=dict.fromkeys(names, "http://127.0.0.1:1"))
    except PolicyError as error:
        return [problem for problem in error.problems if problem.severity == "error"]
    return []


@pytest.mark.parametrize("entry", CORPUS.values(), ids=CORPUS.keys())
def test_it_loads_or_is_refused_for_its_reason(entry: dict[str, Any]) -> None:
    pending = set(types_of(entry["policy"])) & (PENDING - ACTIONS.keys())
    found = problems_of(entry["policy"])
    others = [each for each in found if not any(each.message.startswith(f"`{type_}` ") for type_ in pending)]
    assert len(found) - len(others) >= len(pending), "a type that is pending must be refused"
    if "refused" in entry:
        assert any(entry["refused"] in each.headline for each in others), found
    else:
        assert [each.headline for each in others] == []


def test_what_is_pending_is_used_by_the_corpus() -> None:
    used = {type_ for entry in CORPUS.values() for type_ in types_of(entry["policy"])}
    assert used >= PENDING
