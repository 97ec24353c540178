"""Expressions and values that try to cost too much: each is refused, fails, or ends, and takes no long time for it.

What stops them is asserted; of the time only that it is not out of all proportion, since other work runs beside tests.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from ai_gateway_mw.cel import (
    DYN,
    INT,
    STRING,
    Environment,
    EvaluationError,
    ExpressionError,
    ListType,
    MapType,
    Timestamp,
    Variable,
    render_value,
)
from ai_gateway_mw.cel.limits import OverBudget

DEEP: list[Any] = []
for _ in range(5000):
    DEEP = [DEEP]

ENVIRONMENT = Environment(
    variables=[
        Variable("s", STRING),
        Variable("wide", STRING),
        Variable("l", ListType(DYN)),
        Variable("ints", ListType(INT)),
        Variable("words", ListType(STRING)),
        Variable("big", DYN),
        Variable("deep", DYN),
        Variable("rows", DYN),
        Variable("m", MapType(STRING, DYN)),
        Variable("now", DYN),
    ]
)
ACTIVATION = {
    "s": "x" * 100_000,
    "wide": "\U0001f600é" * 50_000,
    "l": list(range(1000)),
    "ints": list(range(1000)),
    "words": [f"word-{i}" for i in range(1000)],
    "big": list(range(200_000)),
    "deep": DEEP,
    "rows": [{"id": i, "tags": [str(i), "a", {"b": [i, i]}]} for i in range(5000)],
    "m": {f"key-{i}": i for i in range(20_000)},
    "now": Timestamp(10**18),
}


def doubled(form: str, times: int) -> str:
    """`x` bound to `s`, then again and again to a form of itself."""
    binds = "".join(f"cel.bind(x{i + 1}, {form.replace('x', f'x{i}')}, " for i in range(times))
    return f"cel.bind(x0, s, {binds}x{times} == ''" + ")" * (times + 1)


# Stopped by the budget: too many steps, or values that are too large.
OVER_BUDGET = [
    "l.map(a, l.map(b, l.map(c, 1)))",
    "l.all(a, l.all(b, l.all(c, a + b + c >= 0)))",
    "l.exists(a, l.exists(b, l.exists(c, a + b + c < 0)))",
    "l.exists_one(a, l.exists_one(b, l.all(c, c > a)))",
    "l.filter(a, l.filter(b, l.filter(c, true).size() > 0).size() > 0)",
    "l.transformList(i, a, l.transformList(j, b, l.transformList(k, c, i + j + k)))",
    "l.transformMap(i, a, l.transformMap(j, b, l.transformMap(k, c, 1)))",
    "l.transformMapEntry(i, a, {string(i): l.transformMapEntry(j, b, {string(j): l.map(c, c)})})",
    "ints.map(a, ints.map(b, string(a) + string(b)))",
    "ints.map(a, words.map(b, b + b + b + b)).size() > 0",
    "big.map(a, big.map(b, 1))",
    "big.map(x, x).map(x, x).map(x, x)",
    "big.exists(x, big.exists(y, y == -1))",
    "big.all(x, x in big)",
    "big.filter(x, !(x in big))",
    "words.all(w, words.all(v, w.contains(v) || v.contains(w) || true))",
    "words.all(w, words.all(v, w in words && v in words))",
    "words.all(w, words.all(v, (w + v).matches('w.*d-[0-9]+w.*')))",
    "words.all(w, words.all(v, w.matches(v + '.*') || true))",
    "words.all(w, s.contains(w) || true)",
    "words.all(w, s.replace('x', w) != w)",
    "words.all(w, s.lower() != w)",
    "words.map(w, s.reverse())",
    "regex.replace(s.substring(0, 1000), '" + "()" * 1000 + "', 'y')",
    "words.map(w, s.split('x').size())",
    "words.map(w, s + w)",
    "words.map(w, [s].join(w) + s)",
    "words.map(w, s.encodeBase64())",
    "words.map(w, hash.sha512(s))",
    "words.map(w, words.join(w))",
    "words.map(w, words.sort())",
    "words.map(w, words.distinct())",
    "words.map(w, words.reverse())",
    "words.map(w, json.encode(rows))",
    "words.map(w, rows == rows)",
    "words.all(w, l.map(x, w).size() == 1000 && l.map(x, w).distinct().size() == 1)",
    "l.map(x, '%s'.format([big]))",
    "l.sortBy(a, l.sortBy(b, l.sortBy(c, c)[0])[0])",
    "l.minBy(a, l.maxBy(b, l.minBy(c, c)))",
    "rows.map(r, rows.filter(q, q.id == r.id))",
    "rows.map(r, r.tags.map(t, rows.exists(q, q.id == -1)))",
    "rows.filter(r, r in rows)",
    "rows.filter(r, rows.exists(q, q == r)).size() == 5000",
    "rows.distinct().size() == 5000",
    "cel.bind(f, l.map(x, l), f.map(x, f.map(y, f.size())))",
    "['aaaaaaaaaa']" + ".map(x, x+x+x+x+x+x+x+x)" * 60,
    "[s]" + ".map(x, x + x)" * 20,
    "[s]" + ".map(x, [x, x].join('-'))" * 20,
    "[l]" + ".map(x, x+x)" * 60,
    "[l]" + ".map(x, [x, x].flatten())" * 30,
    "[[1]]" + ".map(x, [x, x, x, x])" * 40 + ".flatten(100)",
    "l" + ".map(x, [x, x]).flatten()" * 20,
    "big" + ".filter(x, true)" * 60,
    "l.map(x, l)" + ".map(x, x.map(y, [y, y]))" * 6,
    "[1, 2, 3]" + ".transformList(i, x, lists.range(60000).map(y, y + i))",
    "lists.range(1000000).map(x, x)",
    "lists.range(9223372036854775807)",
    "l.map(x, lists.range(1000))",
    "s.replace('', s)",
    "s.replace('x', s)",
    "s.split('').join(s)",
    "s.split('').map(c, s + c)",
    "wide.split('').map(c, c.lower()).join() == wide",
    "regex.replace(s, '', s)",
    "regex.replace(s, 'x', 'yy')",
    "regex.extractAll(s, 'x')",
    "regex.extractAll(s, '')",
    "big.map(x, 'aaaaaaaaaaaaaaaaaaaa').join(s)",
    "words.join(s)",
    "'%s%s%s'.format([big, big, big])",
    "'%s'.format([rows])",
    "('%s'.format([words]) + '%s').format([words.map(w, words)])",
    "json.encode(big)",
    "big.encodeJson()",
    "json.encode(words.map(w, words))",
    "queryString.encode({'a': big})",
    "queryString.decode(s.replace('x', '&a'))",
    "('[' + s.replace('x', '1,') + '1]').isJson() && ('[' + s.replace('x', '12345678901234567890,') + '1]').isJson()",
    "json.decode('[' + s.replace('x', '[],') + '1]').size() + json.decode('[' + s.replace('x', '{},') + '1]').size()",
    "wide.escapeUrl().escapeUrl().escapeUrl()",
    "s.replace('x', '%é').unescapeUrl()",
    "s.crc64() != s.xxhash64() && s.crc64() != ''",
    "deep.flatten(9223372036854775807) == [] || big.map(x, big) == []",
    "big.map(x, [x]).distinct()",
    "l.map(x, {'a': x}).distinct()",
    "l.map(x, [x]).distinct().map(x, l.map(y, [y]).distinct())",
    "sets.contains(big, big)",
    "sets.equivalent(big, big)",
    "sets.intersects(l, l.map(x, -1 - x))",
    "sets.equivalent(words.map(w, [w]), words.map(w, [w]))",
    "big == big && big == [big]",
    "rows == rows",
    "m == m",
    "big.sortBy(x, -x)",
    "big.sort()",
    "big.transformMap(k, v, v)",
    "m.transformMap(k, v, m.transformMap(q, w, w)).size() == 0",
    "inCidrRanges('10.0.0.1', big.map(x, '10.0.0.0/8'))",
    "inCidrRanges('11.0.0.1', lists.range(5000).map(x, '10.0.0.0/8'))",
    "words.map(w, inCidrRanges('11.0.0.1', words))",
    "math.greatest(big) + math.least(big) + big.map(x, x).sum()",
    "l.map(x, ip('::1')).map(x, l.map(y, string(x)))",
    "l.all(x, l.all(y, timestamp('2026-01-01T00:00:00Z') + duration(string(x) + 's') < timestamp(string(y))))",
    "l.map(x, l.map(y, now.getHours('Europe/Berlin')))",
    "s.matches('(x|y)*x(x|y){300}z')",
    "s.matches('x.{500}z')",
    "s.matches('[xy]*x[xy]{300}z')",
    "words.all(w, s.matches('(x+x+)+y' + w) || true)",
    "words.all(w, (s + w).matches('[xy]*x[xy]{300}z') || true)",
    "words.all(w, (w + w + w).matches('[xy-]*x[xy-]{300}z') || (w + s).matches('x{9}y') || true)",
    "words.all(w, now.getHours(w) == 1 || true)",
    "big.all(w, dyn('a'))",
    "big.map(w, {'a': s})",
    "l.all(w, deep.distinct().size() > 0)",
    "l.all(w, ip(wide) == ip(w) || true)",
    "rows.map(r, rows.sortBy(q, q.id))",
    "words.map(w, math.least(l))",
    "words.all(w, 'a'.matches('\\\\pL{60}' + w) || true)",
    "words.all(w, w.matches('(a{1000}){1000}' + w) || true)",
    "s" + ".encodeBase64()" * 60,
    "s" + ".escapeUrl()" * 40 + " == wide" + ".escapeUrl()" * 5,
    "strings.quote(" * 30 + "s.replace('x', '\\\\\\\\')" + ")" * 30,
    " || ".join(["s.upper().lower().reverse().trim() == wide"] * 60),
    " || ".join(["s.contains('yx')"] * 200),
    " || ".join([f"s.matches('x+y{i}')" for i in range(150)]),
    "[" + ", ".join(["s + wide"] * 250) + "].size() == 250",
    "[" + ", ".join([f"s.replace('x', 'ab{i}')" for i in range(120)]) + "].size() == 0",
    "[" + ", ".join(["l.map(x, x + 1)"] * 150) + "].size() == 0",
    doubled("x + x", 14),
    "[s]" + ".map(x, x.replace('x', 'xx'))" * 12,
    doubled("[x, x].join()", 10),
    doubled("x.split('').join('--')", 5),
    doubled("'%s%s%s'.format([x, x, x])", 5),
    doubled("json.encode([x, x])", 8),
    doubled("x.encodeBase64() + x", 9),
]
# Refused when they are loaded, or failing for another reason.
REFUSED = [
    "'%.999999999f'.format([1.0])",
    "deep.flatten(9223372036854775807)",
    "deep == [deep]",
    "json.encode(deep)",
    "'%s'.format([deep])",
    "json.decode('" + "[" * 8000 + "')",
    "json.decode('" + "1" * 8000 + "')",
    "json.decode('1e999')",
    "'" + "1" * 6000 + "' == '' ? 1 : int('" + "1" * 6000 + "')",
    "double('" + "9" * 5000 + "e" + "9" * 5000 + "') == 1.0 ? 1 / 0 : 1 / 0",
    "duration('" + "1h" * 4000 + "')",
    "timestamp('2026-01-01T00:00:00." + "0" * 8000 + "')",
    "'a'.matches(s + '(')",
    "'a'.matches(s)",
    "timestamp('9999-12-31T23:59:59Z').getHours('+14:00')",
    "now.getHours('../../etc/passwd')",
    "now.getHours('" + "A" * 10_000 + "')",
    "ip('" + ":" * 10_000 + "') == ip('" + "1." * 5000 + "')",
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
    "now.ns",
    "now.__init__",
    "s.join(['a'])",
    "double(s.replace('x', '1') + 'x')",
    "regex.extractAll(s.substring(0, 1000), '" + "()" * 1000 + "')",
    "'a'.matches('" + "\\\\pL" * 1300 + "')",
    "a" * 15_000,
    "(" * 100 + "1" + ")" * 100,
    "[" * 100 + "]" * 100,
    "[" * 1000 + "]" * 1000,
    "{1:" * 100 + "1" + "}" * 100,
    "l[" * 100 + "0" + "]" * 100,
    "s.map(x, " * 100 + "1" + ")" * 100,
    "f(" * 3000 + ")" * 3000,
    "((" * 40 + "1" + ") + 1)" * 40,
    "!" * 10_000 + "true",
    "-" * 10_000 + "1",
    "!" * 129 + "true",
    "1" + "+1" * 700,
    "s" + " + s" * 700,
    "'a'" + " + 'a'" * 700,
    "true ? 1 : " * 350 + "1",
    "(true ? " * 70 + "1" + " : 2)" * 70,
    "l" + ".x" * 700,
    "a.a" + ".a" * 600,
    "l" + "[0]" * 400,
    "s" + ".trim()" * 200,
    "big" + ".filter(x, true)" * 150,
    "l.map(a, " * 20 + "1" + ")" * 20,
    "cel.bind(a, 1, " * 150 + "a" + ")" * 150,
    "optional.of(1)" + ".optMap(x, x)" * 150,
    "'" * 15_001,
    '"""' * 5001,
    "`" * 10_000,
    "\\" * 10_000,
    "// " * 5000,
    "." * 10_000,
    "0x" + "f" * 10_000,
    "1" * 16_000,
    "1." + "1" * 10_000 + "e99999 == 1 / 0",
    "'\\",
    "\x00" * 100,
    "\ud800",
    "[" + ",".join(["1"] * 7000) + "].size() == 7000",
    "{" + ",".join(f"{i}:1" for i in range(1700)) + "}.size() == 1700",
    " && ".join(["true"] * 1000),
    "[" + ",".join(f"nope{i}" for i in range(700)) + "]",
    "[" + ",".join(f"nope{i}()" for i in range(300)) + "]",
    "[" + ",".join(["l.nope(x)"] * 200) + "]",
    "[" + ",".join(["s + 1"] * 300) + "]",
    "9223372036854775807 * 9223372036854775807",
    "'a'.matches('(a{1000}){1000}')",
    "'a'.matches('" + "(" * 1000 + "')",
    "'a'.matches('" + "a|" * 4000 + "')",
    "'a'.matches('(?P<a>x')",
    "'a'.matches('\\\\C\\\\1')",
    " || ".join([f"s.matches('\\\\pL{{{100 + i}}}')" for i in range(150)]),
    " || ".join([f"s.matches('\\\\pL{{8}}{i}')" for i in range(150)]),
]
ENDING = [
    "s.matches('(x+x+)+y')",
    "s.matches('(x|x)*y')",
    "s.substring(0, 1000).matches('" + "(x)?" * 500 + "')",
    "s.matches('(.*)(.*)(.*)(.*)(.*)y')",
    "s.matches('(?i)ignore (all )?previous instructions')",
    "wide.matches('[a-z0-9._%+-]+@[a-z0-9.-]+[.][a-z]{2,}')",
    "s.split('').size() == 100000",
    "s" + ".lower()" * 20 + " == s",
    "s" + ".reverse().trim()" * 4 + " != ''",
    "[" + ",".join(["1"] * 1400) + "].size() == 1400",
    "{" + ",".join(f"{i}:1" for i in range(450)) + "}.size() == 450",
    "s in [" + ",".join(f"'model-{i}'" for i in range(1000)) + "]",
    " && ".join(["true"] * 700),
    " || ".join(["false"] * 700) + " || true",
    "(" * 60 + "1" + ")" * 60 + " == 1",
    "!" * 100 + "true",
    "-" * 100 + "1 == 1",
    "1" + " + 1" * 100 + " == 101",
    "s" + " + s" * 9 + " != s",
    "(true ? " * 50 + "true" + " : false)" * 50,
    "hash.crc64(s.substring(0, 5000)) != hash.xxhash64(s.substring(0, 5000))",
    "hash.sha256(s) != hash.md5(s)",
    "'" + "\\\\" * 7000 + "' != ''",
    "'" + "(" * 10_000 + "' != ''",
    "deep.size() == 1",
    "l.filter(x, x > 500).size() == 499",
    "l.exists(x, x == 999)",
    "l.all(x, x >= 0)",
    "l.map(x, x).size() == 1000",
    "l.filter(x, x in [1, 2, 3]).size() == 3",
    "l.sortBy(x, -x)[0] == 999",
    "words.sort()[0] == 'word-0' && words.distinct().size() == 1000",
    "words.exists(w, w.matches('^word-99[0-9]$'))",
    "rows.filter(r, r.id > 10 && 'a' in r.tags).size() == 4989",
    "strings.quote(s).size() == 100002",
    "'" + "%%" * 5000 + "'.format([]).size() == 5000",
    "1e999999 > 1.0",
    "s == s + ''",
    "l == l",
    "size(big) == 200000",
    "m['key-19999'] == 19999 && 'key-1' in m",
    "regex.replace(s, 'x+', 'y') == 'y'",
    "json.decode(json.encode(l)) == l",
    "s.encodeBase64().decodeBase64() == s",
]


def outcome(text: str) -> tuple[float, Any]:
    """CPU seconds that loading and evaluating took, and the value or what was raised."""
    start = time.process_time()
    try:
        value = ENVIRONMENT.expression(text)(ACTIVATION)
    except (EvaluationError, ExpressionError) as error:
        value = error
    return time.process_time() - start, value


def ids(texts: list[str]) -> list[str]:
    return [text[:50].encode("ascii", "replace").decode() for text in texts]


@pytest.mark.parametrize("text", OVER_BUDGET, ids=ids(OVER_BUDGET))
def test_is_stopped_by_the_budget(text: str) -> None:
    seconds, value = outcome(text)
    assert isinstance(value, OverBudget)
    assert seconds < 2


@pytest.mark.parametrize("text", REFUSED, ids=ids(REFUSED))
def test_is_refused_or_fails(text: str) -> None:
    seconds, value = outcome(text)
    assert isinstance(value, (EvaluationError, ExpressionError))
    assert seconds < 2


@pytest.mark.parametrize("text", ENDING, ids=ids(ENDING))
def test_ends_in_time(text: str) -> None:
    seconds, value = outcome(text)
    assert isinstance(value, bool)
    assert seconds < 2


def test_there_are_no_more_problems_than_anybody_reads() -> None:
    _, error = outcome("[" + ",".join(f"nope{i}" for i in range(700)) + "]")
    assert isinstance(error, ExpressionError)
    assert len(error.problems) == 20


def test_running_out_is_not_absorbed() -> None:
    with pytest.raises(EvaluationError, match="too many steps"):
        ENVIRONMENT.expression("big.exists(x, big.exists(y, y == -1)) || true")(ACTIVATION)


@pytest.mark.parametrize(
    "text",
    [
        "big.filter(a, big.map(b, 1).size() > 0)",
        "big.sortBy(a, big.map(b, 1).size())",
        "l.filter(a, l.all(b, l.all(c, a + b + c >= 0)))",
    ],
)
def test_leniency_does_not_hide_it(text: str) -> None:
    with pytest.raises(OverBudget):
        ENVIRONMENT.extend(lenient=True).expression(text)(ACTIVATION)


@pytest.mark.parametrize("text", ["rows.filter(r, r.nope.a == r.id)", "rows.exists(r, r.tags[1].nope == 1)"])
def test_all_tests_of_a_walk_that_fail_share_one_budget(text: str) -> None:
    with pytest.raises(OverBudget):
        ENVIRONMENT.extend(lenient=True).expression(text)(ACTIVATION)


def test_several_walks_share_one_budget_as_well() -> None:
    each = ".sortBy(r, r.nope.a)"
    environment = Environment(variables=[Variable("rows", DYN)], lenient=True)
    rows = {"rows": [{"id": number} for number in range(1500)]}
    assert environment.expression(f"rows{each}")(rows) == rows["rows"]
    with pytest.raises(OverBudget):
        environment.expression(f"rows{4 * each}")(rows)


def test_binding_does_not_hide_it() -> None:
    with pytest.raises(OverBudget):
        ENVIRONMENT.expression("cel.bind(x, big.map(a, big.map(b, 1)), true)")(ACTIVATION)


def test_parts_that_are_left_to_the_evaluator_share_one_budget() -> None:
    part = "google.protobuf.Struct{fields: {'a': l.map(x, x + 1)}}.size() == 1"
    with pytest.raises(OverBudget):
        ENVIRONMENT.expression(" && ".join([part] * 40))(ACTIVATION)


def test_a_value_nested_too_deeply_is_not_rendered() -> None:
    with pytest.raises(EvaluationError):
        render_value(DEEP)
