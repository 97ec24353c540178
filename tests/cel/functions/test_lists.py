"""Functions on lists."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

GIVES = [
    ("[1, 2, 3].slice(1, 2)", [2]),
    ("[[1, [2]], [3]].flatten()", [1, [2], 3]),
    ("[[1, [2]], 3].flatten(2)", [1, 2, 3]),
    ("[3, 1, 2].sort()", [1, 2, 3]),
    ("['b', 'a'].sort()", ["a", "b"]),
    ("[1, 1, 2, 1].distinct()", [1, 2]),
    ("[[1], [1], [2]].distinct()", [[1], [2]]),
    ("[dyn(1), 1.0, true, 'a'].distinct()", [1, True, "a"]),
    ("[1, 2].reverse()", [2, 1]),
    ("[1, 2].first().value() + [1, 2].last().value()", 3),
    ("[].first().hasValue()", False),
    ("[1, 2].sum()", 3),
    ("lists.range(3)", [0, 1, 2]),
    ("[1] + [2, 3]", [1, 2, 3]),
    ("sets.contains([1, 2], [2]) && sets.equivalent([1, 2, 1], [2, 1]) && sets.intersects([1], [1, 2])", True),
    ("[{'n': 2}, {'n': 1}].sortBy(x, x.n).map(x, x.n)", [1, 2]),
    ("[timestamp(2), timestamp(1)].sort() == [timestamp(1), timestamp(2)]", True),
]
FAILS = [
    "[1].slice(0, 2)", "[1].slice(-1, 1)", "[1].flatten(-1)", "[dyn(1), 'a'].sort()", "[[1]].sort()",
    "lists.range(9223372036854775807)", "[9223372036854775807, 1].sum()", "[18446744073709551615u, 1u].sum()",
    "[dyn('a')].sum()", "[].first().value()",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
