"""Policies as people write them load, with a warning where one is due, or are refused with what to write instead."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ai_gateway_mw.errors import PolicyError, Problem
from tests.gateways import gateway

FOUND: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("as_found.yaml").read_text())
INTERNAL = {"a": "http://127.0.0.1:1", "api": "http://127.0.0.1:1"}


def answer(entry: dict[str, Any]) -> tuple[bool, tuple[Problem, ...]]:
    """Whether it loads, and what is said of it."""
    text = entry["text"] if "text" in entry else json.dumps(entry["policy"])
    try:
        return True, tuple(gateway(text, internal=INTERNAL).warnings)
    except PolicyError as error:
        return False, tuple(error.problems)


@pytest.mark.parametrize("entry", FOUND.values(), ids=FOUND.keys())
def test_it_is_answered_as_it_should_be(entry: dict[str, Any]) -> None:
    loads, said = answer(entry)
    assert loads is ("refused" not in entry), said
    wanted = entry.get("refused") or entry.get("warned")
    if wanted is None:
        assert [each.headline for each in said] == []
    else:
        severity = "error" if "refused" in entry else "warning"
        assert [each.headline for each in said if each.severity == severity and wanted in each.headline], said


@pytest.mark.parametrize("entry", [each for each in FOUND.values() if "refused" in each])
def test_a_refusal_has_a_place(entry: dict[str, Any]) -> None:
    _, said = answer(entry)
    assert all(each.place is not None and each.place.line >= 1 for each in said)
