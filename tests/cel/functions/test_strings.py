"""Functions on strings."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import EvaluationError
from tests.cel.support import value

GIVES = [
    ("'abc'.contains('b') && 'abc'.includes('b') && !'abc'.contains('x')", True),
    ("'abc'.startsWith('ab') && 'abc'.endsWith('bc')", True),
    ("'tacocat'.charAt(3) + 'a'.charAt(1)", "o"),
    ("'tacocat'.indexOf('a')", 1),
    ("'tacocat'.indexOf('a', 2)", 5),
    ("'tacocat'.indexOf('x')", -1),
    ("'tacocat'.indexOf('', 7)", 7),
    ("'tacocat'.lastIndexOf('a')", 5),
    ("'tacocat'.lastIndexOf('a', 4)", 1),
    ("'😀é'.substring(1)", "é"),
    ("'tacocat'.substring(1, 3)", "ac"),
    ("'a,b,c'.split(',')", ["a", "b", "c"]),
    ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
    ("'a,b,c'.split(',', 1)", ["a,b,c"]),
    ("'a,b,c'.split(',', 0)", []),
    ("'abc'.split('')", ["a", "b", "c"]),
    ("'abc'.split('', 2)", ["a", "bc"]),
    ("' a  b '.split()", ["a", "b"]),
    ("['a', 'b'].join('-') + ['a', 'b'].join()", "a-bab"),
    ("'aaa'.replace('a', 'b') + 'aaa'.replace('a', 'b', 2) + 'a'.replace('a', 'b', 0)", "bbbbbaa"),
    ("'ÄaZ'.lowerAscii() + 'äaz'.upperAscii()", "ÄazäAZ"),
    ("'Ä'.lower() + 'ä'.upper()", "äÄ"),
    ("' \\t\\u00a0x\\u3000'.trim()", "x"),
    ("'héllo'.reverse()", "olléh"),
    ("'%s is %d, %.2f, %e, %b, %x, %X, %o%%'.format(['a', 1, 1.005, 1000.0, 5, 255, 'hi', 8])",
     "a is 1, 1.00, 1.000000e+03, 101, ff, 6869, 10%"),
    ("'%s %s %s'.format([null, [1, 'a'], {'b': true}])", "null [1, a] {b: true}"),
    ("'%.0f %.0f'.format([0.5, 1.5])", "0 2"),
    ("strings.quote('a\"\\n')", '"a\\"\\n"'),
    ("'a'.matches('^a$') && matches('xay', 'a') && !'b'.matches('a')", True),
    ("'aé'.matches('^.{2}$')", True),
    ("size('é')", 1),
]  # fmt: skip
FAILS = [
    "'a'.charAt(2)", "'a'.charAt(-1)", "'a'.indexOf('a', -1)", "'a'.indexOf('a', 5)", "'a'.lastIndexOf('a', 9)",
    "'a'.substring(2)", "'a'.substring(-1)", "'abc'.substring(2, 1)", "'%d'.format(['a'])", "'%d'.format([])",
    "'%q'.format([1])", "'%.2d'.format([1])", "'%.9999f'.format([1.0])", "'%'.format([1])", "[dyn(1)].join()",
    "'a'.matches(vars.tier + '(')",
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GIVES, ids=[text for text, _ in GIVES])
def test_gives(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("text", FAILS)
def test_fails(text: str) -> None:
    with pytest.raises(EvaluationError):
        value(text)
