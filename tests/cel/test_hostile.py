"""Expressions and values that try to cost too much: each is refused, fails, or ends in bounded time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ai_gateway_mw.cel import DYN, STRING, Environment, EvaluationError, ExpressionError, ListType, Variable

DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]

ENVIRONMENT = Environment(
    variables=[Variable("s", STRING), Variable("l", ListType(DYN)), Variable("big", DYN), Variable("deep", DYN)]
)
ACTIVATION = {"s": "x" * 100_000, "l": list(range(1000)), "big": list(range(200_000)), "deep": DEEP}
DOUBLINGS = (
    "".join(f"cel.bind(x{i}, {f'x{i - 1}+x{i - 1}' if i else 's'}, " for i in range(30)) + "size(x29)" + ")" * 30
)

STOPPED = [
    "l.map(a, l.map(b, l.map(c, 1)))",
    "l.all(a, l.all(b, l.all(c, a + b + c >= 0)))",
    "big.map(a, big.map(b, 1))",
    "big.exists(x, big.exists(y, y == -1))",
    "big.all(x, x in big)",
    "big.filter(x, !(x in big))",
    "l.sortBy(a, l.sortBy(b, l.sortBy(c, c)[0])[0])",
    "['aaaaaaaaaa']" + ".map(x, x+x+x+x+x+x+x+x)" * 60,
    "[l]" + ".map(x, x+x)" * 60,
    "big" + ".filter(x, true)" * 60,
    "lists.range(1000000).map(x, x)",
    "lists.range(9223372036854775807)",
    "s.replace('', s)",
    "s.replace('x', s)",
    "regex.replace(s, '', s)",
    "big.map(x, 'aaaaaaaaaaaaaaaaaaaa').join(s)",
    "'%.999999999f'.format([1.0])",
    "'%s%s%s'.format([big, big, big])",
    "deep.flatten(9223372036854775807)",
    "deep == [deep]",
    "json.encode(deep)",
    "big.map(x, [x]).distinct()",
    "sets.contains(big, big)",
    "sets.equivalent(big, big)",
    "big.sortBy(x, -x)",
    "big.transformMap(k, v, v)",
    "s" + ".encodeBase64()" * 60,
    "s+" * 100 + "s+" + "s+" * 20 + "s+s+s+s+s" + " == '' ? 1/0 : 1/0",
    DOUBLINGS,
    "json.decode('" + "[" * 8000 + "')",
    "'" + "1" * 6000 + "' == '' ? 1 : int('" + "1" * 6000 + "')",
    "duration('" + "1h" * 4000 + "')",
    "'a'.matches(s + '(')",
    "timestamp('9999-12-31T23:59:59Z').getHours('+14:00')",
    "l.__class__",
    "s.__class__.__mro__",
    "big.__class__",
    "deep.__len__()",
    "[].__class__.__base__.__subclasses__()",
    "''.format.__globals__",
    "__import__('os')",
    "exec('1')",
    "eval('1')",
    "open('/etc/passwd')",
    "getattr(s, '__class__')",
    "big['__class__']",
    "s.join(['a'])",
    "a" * 15_000,
    "(" * 100 + "1" + ")" * 100,
    "[" * 1000 + "]" * 1000,
    "{1:" * 500 + "1" + "}" * 500,
    "!" * 10_000 + "true",
    "-" * 10_000 + "1",
    "1" + "+1" * 5000,
    "true ? 1 : " * 1200 + "1",
    "l" + ".x" * 5000,
    "l" + "[0]" * 4000,
    "f(" * 3000 + ")" * 3000,
    "l.map(a, " * 20 + "1" + ")" * 20,
    "cel.bind(a, 1, " * 300 + "a" + ")" * 300,
    "'" * 15_001,
    '"""' * 5001,
    "`" * 10_000,
    "\\" * 10_000,
    "// " * 5000,
    "." * 10_000,
    "0x" + "f" * 10_000,
    "1" * 16_000,
    "'\\",
    "\x00" * 100,
    "\ud800",
    "9223372036854775807 * 9223372036854775807",
    "'a'.matches('(a{1000}){1000}')",
    "'a'.matches('" + "(" * 1000 + "')",
    "'a'.matches('(?P<a>x')",
    "'a'.matches('\\\\C\\\\1')",
]
ENDING = [
    "s.matches('(x+x+)+y')",
    "s.matches('(x|x)*y')",
    "s.matches('(.*)(.*)(.*)(.*)(.*)y')",
    "s.split('').size() == 100000",
    "s" + ".lower()" * 100 + " == s",
    "s" + ".reverse().trim()" * 50 + " != ''",
    "[" + ",".join(["1"] * 7000) + "].size() == 7000",
    "{" + ",".join(f"{i}:1" for i in range(1700)) + "}.size() == 1700",
    " && ".join(["true"] * 2000),
    " || ".join(["false"] * 1500) + " || true",
    "hash.crc64(s) != hash.xxhash64(s)",
    "'" + "\\\\" * 7000 + "' != ''",
    "'" + "(" * 10_000 + "' != ''",
    "deep.size() == 1",
    "l.filter(x, x > 500).size() == 499",
    "l.exists(x, x == 999)",
    "l.all(x, x >= 0)",
    "l.map(x, x).size() == 1000",
    "l.filter(x, x in [1, 2, 3]).size() == 3",
    "strings.quote(s).size() == 100002",
    "'" + "%%" * 5000 + "'.format([]).size() == 5000",
    "1e999999 > 1.0",
    "s == s + ''",
    "big == big",
    "size(big) == 200000",
]


def spent(text: str) -> tuple[float, Any]:
    """CPU seconds that evaluating took, and the value; what loading takes is not counted."""
    expression = ENVIRONMENT.expression(text)
    start = time.process_time()
    try:
        value = expression(ACTIVATION)
    except EvaluationError as error:
        value = error
    return time.process_time() - start, value


@pytest.mark.parametrize("text", STOPPED, ids=[text[:50].encode("ascii", "replace").decode() for text in STOPPED])
def test_is_stopped(text: str) -> None:
    start = time.process_time()
    try:
        seconds, value = spent(text)
    except ExpressionError as error:
        value = error
        seconds = (time.process_time() - start) / 4  # loading may take longer than evaluating
    assert isinstance(value, (EvaluationError, ExpressionError))
    assert seconds < 0.25


@pytest.mark.parametrize("text", ENDING, ids=[text[:50] for text in ENDING])
def test_ends_in_time(text: str) -> None:
    seconds, value = spent(text)
    assert value is True or isinstance(value, bool)
    assert seconds < 0.25


def test_running_out_is_not_absorbed() -> None:
    with pytest.raises(EvaluationError, match="too many steps"):
        ENVIRONMENT.expression("big.exists(x, big.exists(y, y == -1)) || true")(ACTIVATION)


def test_leniency_does_not_hide_it() -> None:
    lenient = ENVIRONMENT.extend(lenient=True)
    with pytest.raises(EvaluationError, match="too"):
        lenient.expression("big.filter(a, big.map(b, 1).size() > 0)")(ACTIVATION)
