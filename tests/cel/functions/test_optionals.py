"""Values that may be absent."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

GIVES = [
    ("req.body.?model.orValue('none') + req.body.?nope.orValue('none')", "gpt-4onone"),
    ("req.body.?messages[?0].?role.orValue('')", "user"),
    ("[1, 2][?5].or(optional.of(7)).value()", 7),
    ("optional.ofNonZeroValue('').hasValue() || optional.ofNonZeroValue(0).hasValue()", False),
    ("optional.of(2).optMap(x, x * 2).value() + optional.of(1).optFlatMap(x, optional.of(x)).value()", 5),
    ("[optional.of(1), optional.none()].unwrapOpt()", [1]),
    ("{?'a': req.body.?nope, 'b': 1} == {'b': 1}", True),
]
FAILS = ["optional.none().value()", "vars.?tier.x.value()", "req.body.model.?x.hasValue()"]


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
