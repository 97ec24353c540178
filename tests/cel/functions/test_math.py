"""The math extension and arithmetic on numbers."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

GIVES = [
    ("math.greatest(1, 5, 3) + math.least([4, 2])", 7),
    ("math.greatest(1, 2.5) == 2.5 && math.least(1u, -1) == -1", True),
    ("math.ceil(1.2) + math.floor(1.8) + math.round(1.5) + math.round(-1.5) + math.trunc(-1.9)", 2.0),
    ("math.abs(-3) + math.sign(-9)", 2),
    ("math.sqrt(16)", 4.0),
    ("math.isNaN(math.sqrt(-1.0))", True),
    ("math.isInf(1.0 / 0.0) && math.isFinite(1.0)", True),
    ("math.bitAnd(6, 3) + math.bitOr(4, 1) + math.bitXor(5, 1) + math.bitNot(0)", 10),
    ("math.bitShiftLeft(1, 63)", -(2**63)),
    ("math.bitShiftRight(-1, 1)", 2**63 - 1),
    ("math.bitShiftLeft(1, 64)", 0),
]
FAILS = ["math.abs(-9223372036854775808)", "math.bitShiftLeft(1, -1)", "math.greatest([])", "math.greatest([dyn('a')])"]


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
