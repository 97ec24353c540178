"""The generated functions and the evaluator must never disagree."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_gateway_mw.cel import (
    BOOL,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    Duration,
    Environment,
    EvaluationError,
    ExpressionError,
    Limits,
    ListType,
    MapType,
    OptionalType,
    OptionalValue,
    Timestamp,
    UInt,
    Variable,
)
from ai_gateway_mw.cel.checker import check
from ai_gateway_mw.cel.declarations import Kinds
from ai_gateway_mw.cel.evaluator import Evaluator
from ai_gateway_mw.cel.folding import folded
from ai_gateway_mw.cel.functions import STANDARD_FUNCTIONS
from ai_gateway_mw.cel.parser import parse
from ai_gateway_mw.cel.planner import plan
from ai_gateway_mw.cel.scope import Scope
from tests.cel.support import ACTIVATION, KEY, QUOTA, VARIABLES, Key, Quota

TYPES = {
    "i": INT, "u": UINT, "f": DOUBLE, "s": STRING, "b": BOOL, "d": DYN, "ls": ListType(STRING), "li": ListType(INT),
    "ld": ListType(DYN), "m": MapType(STRING, DYN), "k": KEY, "lk": ListType(KEY), "ts": TIMESTAMP, "du": DURATION,
}  # fmt: skip
SCOPE = Scope({name: Variable(name, type_) for name, type_ in TYPES.items()}, STANDARD_FUNCTIONS, "")

texts = st.sampled_from(["", "a", "x", "ab"])
ints = st.sampled_from([0, 1, -1, 2, 5, 2**63 - 1, -(2**63)])
uints = st.sampled_from([0, 1, 5, 2**64 - 1]).map(UInt)
doubles = st.sampled_from([0.0, 1.0, -0.0, 2.5, 1e300, float("inf"), float("nan")])
moments = st.sampled_from([Timestamp(10**18), datetime(2026, 1, 1, tzinfo=UTC)])
scalars = st.one_of(st.none(), st.booleans(), ints, uints, doubles, texts, st.just(b"a"), moments)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5
)
quotas = st.builds(Quota, st.sampled_from([None, 5, 200]))
keys = st.builds(Key, texts, quotas, st.booleans(), st.dictionaries(texts, scalars, max_size=2))
activations = st.fixed_dictionaries({
    "i": ints, "u": uints, "f": doubles, "s": texts, "b": st.booleans(), "d": values,
    "ls": st.lists(texts, max_size=4), "li": st.lists(ints, max_size=4), "ld": st.lists(values, max_size=4),
    "m": st.dictionaries(texts, values, max_size=3), "k": keys, "lk": st.lists(keys, max_size=4), "ts": moments,
    "du": st.just(Duration(10**9)),
})  # fmt: skip

leaves = st.sampled_from(
    [
        *TYPES,
        "v",
        "v",
        "1",
        "0",
        "2",
        "-1",
        "5u",
        "1.5",
        "'a'",
        "'x'",
        "true",
        "null",
        "timestamp('2025-01-01T00:00:00Z')",
    ]
)


def composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    binary = st.sampled_from(["&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "in"])
    walks = st.sampled_from(["exists", "all", "filter", "map", "exists_one", "sortBy"])
    suffix = st.sampled_from([
        ".a", ".x", ".id", ".quota.remaining", ".metadata.a", ".enabled", "[0]", "[1]", "['a']", ".size()",
        ".startsWith('a')", ".lower()", ".getHours()", ".?a.orValue(1)", ".matches('a+')", ".join(',')",
    ])  # fmt: skip
    functions = st.sampled_from(["size", "string", "int", "dyn", "type", "!", "-", "double"])
    return st.one_of(
        st.builds("({} {} {})".format, inner, binary, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("{}.{}(v, {})".format, inner, walks, inner),
        st.builds("{}{}".format, inner, suffix),
        st.builds("{}({})".format, functions, inner),
        st.builds("has({}{})".format, inner, st.sampled_from([".a", ".id", "['a']"])),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{'a': {}, {}: 1}}".format, inner, inner),
        st.builds("cel.bind(v, {}, {})".format, inner, inner),
        st.builds("{}[{}]".format, inner, inner),
    )


expressions = st.recursive(leaves, composed, max_leaves=8)


def same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right or (left != left and right != right)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Mapping):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def outcome(run: Any, *args: Any) -> Any:
    try:
        return run(*args)
    except EvaluationError:
        return EvaluationError


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(expressions, activations, st.booleans(), st.booleans())
def test_both_ways_to_evaluate_agree(text: str, activation: dict[str, Any], lenient: bool, strict: bool) -> None:
    try:
        tree = parse(text, Limits())
    except ExpressionError:
        return
    checked = check(tree, SCOPE, Limits(), None, strict=strict)
    if checked.problems:
        return
    evaluator = Evaluator(Kinds([KEY, QUOTA]), Limits(), lenient=lenient)
    exact = outcome(evaluator.run, checked.root, activation)
    planned = outcome(plan(folded(checked, evaluator), checked, evaluator), activation)
    assert same(exact, planned), text


PLANNED = [
    "l.sortBy(x, -x)",
    "l.minBy(x, x) + l.maxBy(x, x)",
    "ai.keys.sortBy(k, k.id).map(k, k.id)",
    "names.transformList(i, v, string(i) + v)",
    "m.transformMap(k, v, v + 1)",
    "m.transformMapEntry(k, v, {string(v): k})",
    "m.exists(k, v, k == 'x' && v == 1)",
    "names.all(i, v, i < 5 && v != '')",
    "names.exists_one(i, v, v == 'a')",
    "cel.bind(x, count * 2, x + x)",
    "l.map(x, cel.bind(y, x * 2, y + 1))",
    "d.?n.orValue(0) + d.?zz.orValue(2)",
    "d.?t.?u.orValue('q')",
    "d.?t.u.orValue('q')",
    "d[?'n'].hasValue()",
    "m[?'x'].orValue(0)",
    "l[?5].orValue(7)",
    "optional.of(count).optMap(x, x + 1).orValue(0)",
    "o.optMap(x, x + 1).orValue(0)",
    "o.or(optional.of(1)).value()",
    "optional.none().orValue(1)",
    "optional.ofNonZeroValue(count).hasValue()",
    "d.?n.optMap(x, x).hasValue()",
    "req.time.getHours() > 8 && req.time.getDayOfWeek() in [1, 2]",
    "at.getHours() > 8 && at.getFullYear() == 2026 && at.getMonth() == 2",
    "at.getHours('Europe/Berlin') == 15",
    "req.time < timestamp('2026-01-01T00:00:00Z')",
    "at > timestamp('2026-01-01T00:00:00Z') && at < req.time + duration('100000h')",
    "at - req.time > duration('1h')",
    "took > duration('60s') && took.getSeconds() == 90",
    "at + took > at",
    "string(count) + string(rate) + string(at) + string(took)",
    "string(d.n) + string(d.s) + string(d.f) + string(d.b)",
    "int(d.s == 'x' ? '5' : '6') + int(d.f)",
    "req.method in ['GET', 'POST', 'PUT', 'PATCH']",
    "count in [1, 2, 3]",
    "d.n in [1, 2, 3]",
    "d.s in ['x', 'y']",
    "d.s in names",
    "req.url.path.matches('^/v1/[a-z]+$')",
    "req.url.path.split('/')[1]",
    "req.url.path.replace('/v1', '/v2').lower()",
    "['a', req.method].join('-')",
    "'%s %d'.format([req.method, count])",
    "size(d.l) + size(d.s) + d.l.size()",
    "d.n + 1 > 1",
    "d.l.map(x, x + 1)",
    "d.l.filter(x, x > 1).size()",
    "{'a': count}.a",
    "{1: 'a', 2: 'b'}[count - 2]",
    "{req.method: 1}",
    "[1, 2, 3].exists(x, x == count)",
    "has(d.n) && has(d.t.u) && !has(req.body.zz)",
    "has(vars.tier) ? vars.tier : 'none'",
    "type(d.n) == int",
    "dyn(count) == 3.0",
    "double(count) / 2.0 > rate",
    "u + 1u == 5u",
    "count / 2 == 1 && count % 2 == 1",
    "math.greatest(count, 5)",
    "req.headers['accept'][0].startsWith('text')",
    "'x-api-key' in req.headers && req.headers['x-api-key'][0] == 'abc'",
    "req.headers.map(k, k).size()",
    "json.encode({'a': req.method})",
    "hash.sha256(req.method)",
    "inCidrRange('10.0.0.1', '10.0.0.0/8')",
    "base64.encode(bytes(req.method))",
    "l.sort()[0] + l.sum()",
    "names.distinct().size()",
    "lists.range(3).map(i, i * i)",
    "l.first().orValue(0)",
    "size(req.method) > 3 ? req.method.substring(0, 3) : req.method",
    "-count < 0 && !(count > 5)",
    "ai.keys.exists(k, k.quota.remaining != null && k.quota.remaining > 100)",
    "ai.keys.filter(k, k.enabled && k.metadata.?tier.orValue('') == 'slow').size()",
    "ai.keys.map(k, k.enabled, k.id).join(',')",
    "names.map(a, names.map(b, a + b))",
    "names.filter(a, a in ['a', 'c'])",
    "l.filter(x, x in l)",
    "req.method.lowerAscii() == 'post'",
    "regex.extract(req.url.path, '/v([0-9])').orValue('')",
    "cel.bind(p, req.url.path.split('/'), p.size() > 1 ? p[1] : '')",
    "d.t == {'u': 'v'}",
    "l == [3, 1, 2]",
    "uuid().size() == 36",
]
MORE = (
    Variable("u", UINT), Variable("at", TIMESTAMP), Variable("took", DURATION), Variable("l", ListType(INT)),
    Variable("names", ListType(STRING)), Variable("m", MapType(STRING, INT)), Variable("o", OptionalType(INT)),
    Variable("d", DYN),
)  # fmt: skip
PLAIN: dict[str, Any] = {
    **ACTIVATION,
    "u": UInt(4),
    "at": datetime(2026, 3, 5, 14, 30, tzinfo=UTC),
    "took": timedelta(seconds=90),
    "l": [3, 1, 2],
    "names": ["b", "a"],
    "m": {"x": 1, "y": 2},
    "o": OptionalValue(True, 3),
    "d": {"n": 1, "s": "x", "l": [1, 2], "f": 1.5, "b": True, "t": {"u": "v"}},
}


class Unasked(Evaluator):
    """Fails the test when it is asked."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the evaluator was asked")


@pytest.mark.parametrize("lenient", [False, True], ids=["exact", "lenient"])
@pytest.mark.parametrize("text", PLANNED)
def test_common_forms_do_not_ask_the_evaluator(text: str, lenient: bool) -> None:
    """And what they come to is what it would have said."""
    scope = Scope({each.name: each for each in (*VARIABLES, *MORE)}, STANDARD_FUNCTIONS, "")
    checked = check(parse(text, Limits()), scope, Limits(), None, strict=True)
    kinds = Kinds([KEY, QUOTA])
    planned = plan(checked.root, checked, Unasked(kinds, Limits(), lenient=lenient))(PLAIN)
    assert same(planned, Evaluator(kinds, Limits(), lenient=lenient).run(checked.root, PLAIN))


def test_source_holds_no_text_of_the_policy() -> None:
    hostile = "'\"); import os; (\"' + '\\n#' == vars['__import__(\"os\")'] || true"
    assert Environment(variables=VARIABLES).expression(hostile)({"vars": {}}) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ai.keys.sortBy(k, k.metadata.order).map(k, k.id)", ["two", "one", "three"]),
        ("ai.keys.sortBy(k, k.quota.remaining).map(k, k.id)", ["one", "two", "three"]),
        ("ai.keys.minBy(k, k.metadata.order).id + ai.keys.maxBy(k, k.quota.remaining).id", "twotwo"),
    ],
)
def test_leniently_what_has_no_key_comes_last(text: str, expected: object) -> None:
    assert Environment(variables=VARIABLES, lenient=True).expression(text)(ACTIVATION) == expected
