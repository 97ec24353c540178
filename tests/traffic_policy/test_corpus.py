"""Every example and vector of Traffic Policy loads, or is refused for the reason that stands beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ai_gateway_mw.errors import PolicyError, Problem
from tests.gateways import gateway

HERE = Path(__file__).parent
CORPUS: dict[str, dict[str, Any]] = {
    f"{file.stem}: {name}": entry
    for file in (HERE / "examples.yaml", HERE / "vectors.yaml")
    for name, entry in yaml.safe_load(file.read_text()).items()
}


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
    found = problems_of(entry["policy"])
    if "refused" in entry:
        assert any(entry["refused"] in each.headline for each in found), found
    else:
        assert [each.headline for each in found] == []
