"""What expressions mean, where Python and CEL part ways."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import pytest

from ai_gateway_mw.cel import BOOL, DYN, Duration, Environment, EvaluationError, Overload, Timestamp, UInt, Variable
from tests.cel.support import ACTIVATION, ENVIRONMENT, Key, value

MEANT = [
    ("dyn(1) == 1u && dyn(1) == 1.0 && dyn(1u) == 1.0", True),
    ("dyn(true) == 1", False),
    ("dyn(false) == 0.0", False),
    ("dyn(1) < 1.5 && dyn(2u) > 1.5 && dyn(-1) < 1u", True),
    ("[dyn(1), 2] == [dyn(1.0), 2.0]", True),
    ("{'a': dyn(1)} == {'a': dyn(1u)}", True),
    ("double('NaN') == double('NaN')", False),
    ("{1: 'a'}[dyn(1.0)] + {1u: 'b'}[dyn(1)]", "ab"),
    ("{true: 'a', 1: 'b'}[dyn(1)]", "b"),
    ("{true: 'a', 1: 'b'}[dyn(true)]", "a"),
    ("dyn(true) in {1: 1}", False),
    ("1 in {1u: 1}.map(k, int(k))", True),
    ("dyn(1) in [dyn(true), 2]", False),
    ("7 / 2 == 3 && -7 / 2 == -3 && -7 % 2 == -1 && 7 % -2 == 1", True),
    ("1.0 / 0.0 == double('Infinity')", True),
    ("b'a' == dyn('a')", False),
    ("'é'.size() == 1 && size(b'é') == 2", True),
    ("true || 1 / 0 == 0", True),
    ("1 / 0 == 0 || true", True),
    ("1 / 0 == 0 && false", False),
    ("[1, 0].exists(x, 1 / x == 1)", True),
    ("[0, 1].exists(x, 1 / x == 1)", True),
    ("[0, 2].all(x, 2 / x > 5)", False),
    ("has(req.url.path)", True),
    ("has(unset)".replace("unset", "req.body.model"), True),
    ("has(req.body.nope)", False),
    ("has(req.headers['accept']) && !has(req.headers['nope'])", True),
    ("has(vars.none)", True),
    ("'x-api-key' in req.headers", True),
    ("req.headers.exists(h, h.startsWith('x-'))", True),
    ("req.body.messages.map(m, m.role)", ["user"]),
    ("[[1, 2], [3]].map(x, x.map(y, y * 10))", [[10, 20], [30]]),
    ("[1, 2, 3].map(x, x > 1, x * 2)", [4, 6]),
    ("{'a': 1, 'b': 2}.map(k, k)", ["a", "b"]),
    ("{'a': 1}.exists(k, v, k == 'a' && v == 1)", True),
    ("[5, 6].transformList(i, v, i + v)", [5, 7]),
    ("{'a': 1}.transformMap(k, v, v + 1)", {"a": 2}),
    ("{'a': 'b'}.transformMapEntry(k, v, {v: k})", {"b": "a"}),
    ("[3, 1, 2].sortBy(x, -x)", [3, 2, 1]),
    ("['bb', 'a'].sortBy(s, size(s))", ["a", "bb"]),
    ("[3, 1, 2].minBy(x, x) + [3, 1, 2].maxBy(x, x)", 4),
    ("cel.bind(x, 5, x * x)", 25),
    ("optional.of(1).optMap(x, x + 1).value()", 2),
    ("type(1) == int && type([]) == list && type(null) == null_type", True),
    ("ai.keys[0].quota.remaining", 50),
    ("ai.keys[2].quota.remaining == null", True),
    ("ai.keys.filter(k, k.enabled).map(k, k.id)", ["one", "two"]),
    ("length > 5", True),
]


@pytest.mark.parametrize(("text", "expected"), MEANT, ids=[text for text, _ in MEANT])
def test_means(text: str, expected: object) -> None:
    assert value(text) == expected


FAILING = [
    ("1 / 0", "division by zero"),
    ("1 % 0", "modulus by zero"),
    ("9223372036854775807 + 1", "int overflow"),
    ("-9223372036854775808 - 1", "int overflow"),
    ("-(-9223372036854775808)", "int overflow"),
    ("9223372036854775807 * 2", "int overflow"),
    ("0u - 1u", "uint overflow"),
    ("[1][1]", "the list has 1 elements, none at this index: 1"),
    ("[1][-1]", "none at this index"),
    ("vars.nope", "no such key in this map: `nope`"),
    ("vars['nope']", "no such key in this map: 'nope'"),
    ("vars[req.method]", "no such key in this map"),
    ("vars.none.x", "no such field in this null_type: `x`"),
    ("vars.none > 1", "`>` does not take (null_type, int)"),
    ("vars.tier + 1", "`+` does not take (string, int)"),
    ("req.body.model.nope", "no such field in this string"),
    ("req.body.model[0]", "a string has nothing to index"),
    ("req.body.n.startsWith('a')", "`startsWith` does not take (int, string)"),
    ("req.body.stream && vars.tier", "expected bool, not string"),
    ("{'a': 1, 'a': 2}", "the same key twice"),
    ("{1: 1, 1u: 2}.size()", "the same key twice"),
    ("vars.tier ? 1 : 2", "expected bool, not string"),
    ("int('x')", "not a whole number"),
    ("optional.none().value()", "no value"),
    ("vars.tier.filter(x, true)", "`filter` walks a list or a map"),
    ("[vars.tier, 1].sort()", "one ordered type"),
    ("[].minBy(x, x)", "empty list"),
    ("vars.__class__", "no such key"),
    ("req.body.__class__.__mro__", "no such key"),
    ("ai.keys[2].quota.remaining > 1", "does not take (null_type, int)"),
]


@pytest.mark.parametrize(("text", "message"), FAILING, ids=[text for text, _ in FAILING])
def test_fails(text: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        value(text)
    assert message in str(caught.value)


def test_an_error_knows_its_place() -> None:
    with pytest.raises(EvaluationError) as caught:
        value("1 == 1 && vars.nope == 1")
    assert caught.value.offset == 15


def test_a_variable_without_a_value_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="`count` has no value"):
        ENVIRONMENT.expression("count")({})
    assert ENVIRONMENT.expression("has(req.url.path)")({}) is False


def test_has_of_a_declared_variable_asks_for_null() -> None:
    environment = Environment(variables=[Variable("a.b", DYN)])
    assert environment.expression("has(a.b)")({"a.b": None}) is False
    assert environment.expression("has(a.b)")({"a.b": 0}) is True


def test_only_declared_fields_are_reachable() -> None:
    environment = ENVIRONMENT.extend(variables=[Variable("anything", DYN)])
    for text in ("anything.quota.hidden", "anything.__class__", "anything.metadata.__class__", "anything.__slots__"):
        with pytest.raises(EvaluationError):
            environment.expression(text)({"anything": Key("a")})
    assert environment.expression("anything.id")({"anything": Key("a")}) == "a"


def test_objects_of_undeclared_classes_are_opaque() -> None:
    environment = Environment(variables=[Variable("x", DYN)])
    thing = object()
    assert environment.expression("x == x")({"x": thing}) is True
    assert environment.expression("x")({"x": thing}) is thing
    with pytest.raises(EvaluationError):
        environment.expression("x.a")({"x": thing})


def test_host_values_are_read_as_they_are() -> None:
    class Colour(StrEnum):
        RED = "red"

    class Lower(Mapping[str, int]):
        def __getitem__(self, key: str) -> int:
            return {"a": 1}[key.lower()]

        def __iter__(self):  # type: ignore[no-untyped-def]
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    environment = Environment(variables=[Variable("x", DYN), Variable("y", DYN)])
    values = {"x": Lower(), "y": Colour.RED}
    assert environment.expression("x['A'] == 1 && 'A' in x && has(x.A) && y == 'red'")(values) is True
    times = {"x": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "y": timedelta(minutes=1)}
    assert environment.expression("(x + y).getMinutes() == 5 && x < x + y && x - y != x")(times) is True


@pytest.mark.parametrize("given", [True, 1, "x", None])
def test_an_expected_type_is_held_to_when_it_was_unknown(given: object) -> None:
    expression = Environment(variables=[Variable("x", DYN)]).expression("x", expect=BOOL)
    if given is True:
        assert expression({"x": given}) is True
    else:
        with pytest.raises(EvaluationError, match="expected bool"):
            expression({"x": given})


def test_a_contextual_function_sees_the_activation() -> None:
    method = Overload("method", (), DYN, lambda activation: activation["req.method"], contextual=True)
    assert ENVIRONMENT.extend(functions=[method]).expression("method() == 'POST'")(ACTIVATION) is True


def test_whatever_a_function_raises_is_an_evaluation_error() -> None:
    def fail() -> str:
        raise KeyError("x")

    environment = ENVIRONMENT.extend(functions=[Overload("fail", (), DYN, fail)])
    with pytest.raises(EvaluationError, match="`fail` failed: KeyError"):
        environment.expression("fail()")(ACTIVATION)
    assert environment.expression("fail() == 1 || true")(ACTIVATION) is True


def test_values_have_their_types() -> None:
    assert type(value("1u")) is UInt
    assert value("timestamp('1970-01-01T00:00:01Z')") == Timestamp(10**9)
    assert value("duration('1s')") == Duration(10**9)
