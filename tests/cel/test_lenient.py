"""In lenient expressions a test that fails is false for that element, and nothing else is forgiven."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import ACTIVATION, ENVIRONMENT

LENIENT = ENVIRONMENT.extend(lenient=True)

FORGIVEN = [
    ("ai.keys.filter(k, k.quota.remaining > 100).map(k, k.id)", ["two"]),
    ("ai.keys.filter(k, 100 < k.quota.remaining).map(k, k.id)", ["two"]),
    ("ai.keys.filter(k, k.quota.remaining > 10 && k.enabled).map(k, k.id)", ["one", "two"]),
    ("ai.keys.filter(k, k.quota.remaining > 100 || k.id == 'three').map(k, k.id)", ["two", "three"]),
    ("ai.keys.filter(k, !(k.quota.remaining > 100)).map(k, k.id)", ["one"]),
    ("ai.keys.filter(k, k.metadata.tier == 'slow').map(k, k.id)", ["one"]),
    ("ai.keys.filter(k, k.metadata['tier'] == 'slow').map(k, k.id)", ["one"]),
    ("ai.keys.filter(k, k.metadata.tier != 'slow').map(k, k.id)", []),
    ("ai.keys.filter(k, k.metadata.order < 2).map(k, k.id)", ["two"]),
    ("ai.keys.exists(k, k.metadata.tier == 'slow')", True),
    ("ai.keys.exists(k, k.metadata.tier == 'fast')", False),
    ("ai.keys.all(k, k.quota.remaining > 1)", False),
    ("ai.keys.exists_one(k, k.metadata.tier == 'slow')", True),
    ("ai.keys.map(k, k.metadata.order > 1, k.id)", ["one"]),
    ("ai.keys.sortBy(k, k.metadata.order).map(k, k.id)", ["two", "one", "three"]),
    ("ai.keys.sortBy(k, k.quota.remaining).map(k, k.id)", ["one", "two", "three"]),
    ("ai.keys.minBy(k, k.quota.remaining).id", "one"),
    ("ai.keys.filter(k, vars.nope == k.id)", []),
    ("ai.keys.filter(k, vars.tier)", []),
]


@pytest.mark.parametrize(("text", "expected"), FORGIVEN, ids=[text for text, _ in FORGIVEN])
def test_is_forgiven(text: str, expected: object) -> None:
    assert LENIENT.expression(text)(ACTIVATION) == expected


@pytest.mark.parametrize(
    "text",
    [
        "vars.nope == 'x'",
        "ai.keys.map(k, k.metadata.tier)",
        "ai.keys[5].id",
        "ai.keys[2].quota.remaining > 1",
        "vars.nope.filter(x, true)",
    ],
)
def test_outside_of_tests_errors_stay_errors(text: str) -> None:
    with pytest.raises(EvaluationError):
        LENIENT.expression(text)(ACTIVATION)


@pytest.mark.parametrize(
    "text", [text for text, expected in FORGIVEN if "enabled" not in text and expected != ["two", "three"]]
)
def test_without_leniency_the_same_fails(text: str) -> None:
    if ENVIRONMENT.expression(text).type.name == "bool" and "exists(" in text:
        return  # one element that decides absorbs the errors of the others
    with pytest.raises(EvaluationError):
        ENVIRONMENT.expression(text)(ACTIVATION)
