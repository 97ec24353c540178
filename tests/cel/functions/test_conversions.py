"""Functions named after types."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

GIVES = [
    ("int('42') + int(4.9) + int(-4.9) + int(7u) + int('-1')", 48),
    ("uint('42') == 42u && uint(3.9) == 3u && uint(5) == 5u", True),
    ("double('1.5') + double(1) + double(2u)", 4.5),
    ("bool('true') && bool('t') && bool('1') && !bool('FALSE')", True),
    ("string(1) + string(1u) + string(1.0) + string(1.5) + string(true) + string(b'x')", "1111.5truex"),
    ("string(1e30) + ' ' + string(0.00001)", "1e+30 1e-05"),
    ("bytes('é') == b'\\xc3\\xa9'", True),
    ("type(dyn(1)) == int && type(1u) == uint && type(timestamp(0)) == google.protobuf.Timestamp", True),
    ("size([1]) + size({'a': 1}) + size(b'ab') + 'abc'.size()", 7),
    ("int('+42') + int('-0') + int(uint('007'))", 49),
    ("uint(0.9) == 0u && uint(-0.0) == 0u", True),
    ("double('NaN') != double('nan')", True),
]
FAILS = [
    "int('x')", "int('')", "int('1_0')", "int(' 1')", "int(1e30)", "int('9223372036854775808')", "uint(-1)",
    "uint('-1')", "uint('+1')", "uint(-0.5)", "uint(18446744073709551616.0)", "int(9223372036854775808.0)",
    "double('x')", "bool('yes')", "string(b'\\xff')", "int(double('NaN'))",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
