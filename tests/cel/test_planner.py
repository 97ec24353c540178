"""The generated functions and the evaluator must never disagree."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
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
from tests.cel.support import KEY, QUOTA, VARIABLES, Key, Quota

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


HAPPY = [
    "req.headers['accept'][0] == 'text/html' && count > 2",
    "ai.keys.filter(k, k.quota.remaining > 100).size() == 1",
    "req.body.model.startsWith('gpt') && req.body.n in [1, 2]",
    "req.method in ['GET', 'POST'] ? rate < 0.5 : false",
]


class Unasked(Evaluator):
    """Fails the test when it is asked."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the evaluator was asked")


@pytest.mark.parametrize("text", HAPPY)
def test_the_happy_path_does_not_ask_the_evaluator(text: str) -> None:
    scope = Scope({each.name: each for each in VARIABLES}, STANDARD_FUNCTIONS, "")
    checked = check(parse(text, Limits()), scope, Limits(), None, strict=True)
    run = plan(checked.root, checked, Unasked(Kinds([KEY, QUOTA]), Limits(), lenient=True))
    assert run(happy_activation()) is True


def happy_activation() -> dict[str, Any]:
    return {
        "req.headers": {"accept": ["text/html"]},
        "count": 3,
        "rate": 0.25,
        "req.method": "POST",
        "req.body": {"model": "gpt-4o", "n": 2},
        "ai.keys": [Key("a", Quota(200)), Key("b", Quota(None))],
    }


def test_source_holds_no_text_of_the_policy() -> None:
    hostile = "'\"); import os; (\"' + '\\n#' == vars['__import__(\"os\")'] || true"
    assert Environment(variables=VARIABLES).expression(hostile)({"vars": {}}) is True
