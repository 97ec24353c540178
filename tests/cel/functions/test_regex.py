"""Regular expressions."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

GIVES = [
    ("regex.quote('a.b*')", "a\\.b\\*"),
    ("regex.extract('item-42', '\\\\d+').value()", "42"),
    ("regex.extract('item-42', 'item-(\\\\d+)').value()", "42"),
    ("regex.extract('x', '\\\\d+').hasValue()", False),
    ("regex.extractAll('a1b22', '\\\\d+')", ["1", "22"]),
    ("regex.replace('a1b2', '\\\\d', '#') + regex.replace('a1b2', '\\\\d', '#', 1)", "a#b#a#b2"),
    ("regex.replace('a-b', '(a)-(b)', '\\\\2-\\\\1')", "b-a"),
    ("regex.replace('aébé', 'é', '<\\\\0\\\\\\\\>', -1)", "a<é\\>b<é\\>"),
    ("regex.replace('abc', '', '-') + regex.replace('abc', 'b', 'x', 0)", "-a-b-c-abc"),
    ("'Straße'.matches('(?i)STRASSE') || 'ÄB'.matches('^\\\\p{L}+$')", True),
]
FAILS = [
    "'a'.matches('(' + vars.tier)", "regex.extractAll('a', '(' + vars.tier)", "regex.replace('a', '(' + vars.tier, '')",
    "regex.extract('a', '(a)(b)?')", "regex.extract('x', '(a)(b)')",
    "regex.extractAll('x', '(a)(b)')", "'x'.matches(vars.tier + '(?=a)')",
    "regex.replace('abc', 'b', '\\\\1')", "regex.replace('abc', '(b)', '\\\\x')", "regex.replace('abc', 'b', 'x\\\\')",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
