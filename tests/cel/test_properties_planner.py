"""The generated functions and the evaluator must never disagree: expressions grown from tables of typed forms.

Most expressions are well typed, so that they get deep; now and then a part of the wrong type slips in.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ai_gateway_mw.cel import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STANDARD_FUNCTIONS,
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
    OptionalValue,
    Timestamp,
    UInt,
    Variable,
)
from ai_gateway_mw.cel.checker import check
from ai_gateway_mw.cel.declarations import Kinds
from ai_gateway_mw.cel.evaluator import Evaluator
from ai_gateway_mw.cel.limits import OverBudget
from ai_gateway_mw.cel.parser import parse
from ai_gateway_mw.cel.scope import Scope
from tests.cel.agreement import examples, same
from tests.cel.support import KEY, QUOTA, Key, Quota

TYPES = {
    "i": INT, "u": UINT, "f": DOUBLE, "b": BOOL, "s": STRING, "o": BYTES, "ts": TIMESTAMP, "du": DURATION, "d": DYN,
    "ls": ListType(STRING), "li": ListType(INT), "ld": ListType(DYN), "lk": ListType(KEY), "k": KEY,
    "m": MapType(STRING, INT), "md": MapType(STRING, DYN), "mn": MapType(DYN, INT), "q.r": INT, "q.s": STRING,
}  # fmt: skip
VARIABLES = [Variable(name, type_) for name, type_ in TYPES.items()]
SCOPE = Scope({each.name: each for each in VARIABLES}, STANDARD_FUNCTIONS, "")
STRICT, LENIENT = (Environment(variables=VARIABLES, lenient=lenient) for lenient in (False, True))


class Under(NamedTuple):
    """A part of a form in which variables of these kinds are bound."""

    kind: str
    bound: tuple[str, ...]


# What an expression of a kind may be: a form, and the kinds of its parts. {v} and {w} are variables of macros.
FORMS: dict[str, list[tuple[str, tuple[str | Under, ...]]]] = {
    "bool": [
        ("({0} && {1})", ("bool", "bool")), ("({0} || {1})", ("bool", "bool")), ("!{0}", ("bool",)),
        *((f"({{0}} {op} {{1}})", (kind, kind)) for op in ("<", "<=", ">", ">=")
          for kind in ("int", "uint", "double", "text", "bytes", "moment", "length")),
        *((f"({{0}} {op} {{1}})", pair) for op in ("<", ">=")
          for pair in (("int", "uint"), ("int", "double"), ("double", "uint"), ("any", "any"))),
        *((f"({{0}} {op} {{1}})", (kind, kind)) for op in ("==", "!=")
          for kind in ("int", "double", "text", "any", "texts", "ints", "map", "numbered", "key", "perhaps", "moment")),
        ("({0} == {1})", ("any", "int")), ("({0} == {1})", ("any", "text")), ("({0} != null)", ("any",)),
        ("({0} in {1})", ("int", "ints")), ("({0} in {1})", ("text", "texts")), ("({0} in {1})", ("any", "anys")),
        ("({0} in {1})", ("text", "map")), ("({0} in {1})", ("any", "numbered")), ("({0} in {1})", ("text", "any")),
        ("({0} in [{1}, {2}])", ("text", "text", "text")), ("({0} in [1, 2, 5])", ("int",)),
        ("({0} in ['a', '😀'])", ("any",)),
        ("{0}.exists({v}, {1})", ("ints", Under("bool", ("int",)))),
        ("{0}.all({v}, {1})", ("texts", Under("bool", ("text",)))),
        ("{0}.all({v}, {1})", ("anys", Under("bool", ("any",)))),
        ("{0}.exists({v}, {1})", ("keys", Under("bool", ("key",)))),
        ("{0}.exists({v}, {1})", ("numbered", Under("bool", ("any",)))),
        ("{0}.exists_one({v}, {1})", ("ints", Under("bool", ("int",)))),
        ("{0}.all({v}, {w}, {1})", ("map", Under("bool", ("text", "int")))),
        ("{0}.exists({v}, {w}, {1})", ("anys", Under("bool", ("int", "any")))),
        ("{0}.exists_one({v}, {w}, {1})", ("numbered", Under("bool", ("any", "int")))),
        ("{0}.startsWith({1})", ("text", "text")), ("{0}.contains({1})", ("text", "text")),
        ("{0}.matches('^.a*')", ("text",)), ("{0}.matches({1})", ("text", "text")),
        ("has({0}.a)", ("map",)), ("has({0}.a)", ("any",)), ("has({0}['😀'])", ("map",)), ("has({0}.quota)", ("key",)),
        ("has({0}.quota.remaining)", ("key",)), ("{0}.hasValue()", ("perhaps",)), ("{0}.enabled", ("key",)),
        ("{0}.a", ("any",)), ("bool({0})", ("text",)), ("isIP({0})", ("text",)),
        ("sets.contains({0}, {1})", ("ints", "ints")),
    ],
    "int": [
        *((f"({{0}} {op} {{1}})", ("int", "int")) for op in "+-*/%"), ("(-{0})", ("int",)),
        ("size({0})", ("text",)), ("{0}.size()", ("ints",)), ("size({0})", ("any",)), ("size({0})", ("numbered",)),
        ("{0}.indexOf({1})", ("text", "text")), ("{0}.lastIndexOf({1}, {2})", ("text", "text", "int")),
        ("int({0})", ("double",)), ("int({0})", ("uint",)), ("int({0})", ("text",)), ("int({0})", ("any",)),
        ("int({0})", ("moment",)), ("{0}[{1}]", ("ints", "int")), ("{0}[0]", ("ints",)), ("{0}.a", ("map",)),
        ("{0}['a']", ("map",)), ("{0}[{1}]", ("map", "text")), ("{0}[{1}]", ("numbered", "any")),
        ("{0}.quota.remaining", ("key",)), ("{0}.metadata.a", ("key",)), ("{0}.getHours()", ("moment",)),
        ("{0}.getDayOfYear('Europe/Berlin')", ("moment",)), ("{0}.getMinutes('-02:30')", ("moment",)),
        ("{0}.getMilliseconds()", ("length",)), ("math.abs({0})", ("int",)),
        ("math.greatest({0}, {1})", ("int", "int")),
        ("math.bitShiftLeft({0}, {1})", ("int", "int")), ("{0}.orValue({1})", ("perhaps", "int")),
        ("{0}.minBy({v}, {1})", ("ints", Under("int", ("int",)))), ("{0}.value()", ("perhaps",)),
        ("cel.bind({v}, {0}, {1})", ("int", Under("int", ("int",)))),
        ("({0} ? {1} : {2})", ("bool", "int", "int")),
    ],
    "uint": [
        *((f"({{0}} {op} {{1}})", ("uint", "uint")) for op in "+-*/%"), ("uint({0})", ("int",)),
        ("math.bitXor({0}, {1})", ("uint", "uint")),
    ],
    "double": [
        *((f"({{0}} {op} {{1}})", ("double", "double")) for op in "+-*/"), ("(-{0})", ("double",)),
        ("double({0})", ("int",)), ("double({0})", ("text",)), ("math.round({0})", ("double",)),
        ("math.sqrt({0})", ("int",)),
    ],
    "text": [
        ("({0} + {1})", ("text", "text")), ("({0} + {1})", ("any", "text")), ("{0}.substring({1})", ("text", "int")),
        ("{0}.charAt({1})", ("text", "int")), ("{0}.replace({1}, {2})", ("text", "text", "text")),
        ("{0}.reverse()", ("text",)), ("{0}.lowerAscii()", ("text",)), ("{0}.trim()", ("text",)),
        ("{0}.join({1})", ("texts", "text")), ("{0}[{1}]", ("texts", "int")), ("{0}.id", ("key",)),
        ("{0}.metadata['😀']", ("key",)), ("string({0})", ("int",)), ("string({0})", ("any",)),
        ("string({0})", ("moment",)), ("string({0})", ("double",)), ("'%s-%d'.format([{0}, {1}])", ("any", "int")),
        ("base64.encode({0})", ("bytes",)), ("({0} ? {1} : {2})", ("bool", "text", "text")),
        ("cel.bind({v}, {0}, {1})", ("text", Under("text", ("text",)))), ("json.encode({0})", ("anys",)),
    ],
    "bytes": [("({0} + {1})", ("bytes", "bytes")), ("bytes({0})", ("text",))],
    "moment": [
        ("({0} + {1})", ("moment", "length")), ("({0} - {1})", ("moment", "length")), ("timestamp({0})", ("int",)),
        ("timestamp({0})", ("text",)),
    ],
    "length": [
        ("({0} - {1})", ("moment", "moment")), ("({0} + {1})", ("length", "length")), ("duration({0})", ("text",)),
    ],
    "ints": [
        ("[{0}, {1}]", ("int", "int")), ("({0} + {1})", ("ints", "ints")), ("[?{0}, {1}]", ("perhaps", "int")),
        ("{0}.filter({v}, {1})", ("ints", Under("bool", ("int",)))),
        ("{0}.map({v}, {1})", ("ints", Under("int", ("int",)))),
        ("{0}.map({v}, {1})", ("keys", Under("int", ("key",)))),
        ("{0}.map({v}, {1}, {2})", ("texts", Under("bool", ("text",)), Under("int", ("text",)))),
        ("{0}.transformList({v}, {w}, {1})", ("ints", Under("int", ("int", "int")))),
        ("{0}.transformList({v}, {w}, {1}, {2})",
        ("map", Under("bool", ("text", "int")), Under("int", ("text", "int")))),
        ("{0}.sortBy({v}, {1})", ("ints", Under("int", ("int",)))), ("{0}.sort()", ("ints",)),
        ("{0}.distinct()", ("ints",)), ("{0}.slice({1}, {2})", ("ints", "int", "int")),
        ("lists.range({0} % 7)", ("int",)),
        ("({0} ? {1} : {2})", ("bool", "ints", "ints")),
    ],
    "texts": [
        ("[{0}, {1}]", ("text", "text")), ("{0}.split({1})", ("text", "text")),
        ("{0}.map({v}, {1})", ("texts", Under("text", ("text",)))),
        ("{0}.map({v}, {1})", ("map", Under("text", ("text",)))),
        ("{0}.filter({v}, {1})", ("map", Under("bool", ("text",)))),
        ("{0}.filter({v}, {1})", ("keys", Under("bool", ("key",)))),
        ("{0}.sortBy({v}, {1})", ("texts", Under("any", ("text",)))),
    ],
    "anys": [
        ("[{0}, {1}]", ("any", "any")), ("[{0}, {1}]", ("int", "text")),
        ("{0}.filter({v}, {1})", ("anys", Under("bool", ("any",)))),
        ("{0}.map({v}, {1})", ("anys", Under("any", ("any",)))), ("{0}.flatten()", ("anys",)),
        ("{0}.distinct()", ("anys",)),
        ("{0}.sortBy({v}, {1})", ("keys", Under("any", ("key",)))),
    ],
    "keys": [
        ("{0}.filter({v}, {1})", ("keys", Under("bool", ("key",)))), ("[{0}, {1}]", ("key", "key")),
        ("{0}.sortBy({v}, {1})", ("keys", Under("int", ("key",)))),
    ],
    "key": [("{0}[{1}]", ("keys", "int")), ("{0}[0]", ("keys",)),
    ("{0}.maxBy({v}, {1})", ("keys", Under("int", ("key",))))],
    "map": [
        ("{{'a': {0}, 'b': {1}}}", ("int", "int")), ("{{{0}: {1}}}", ("text", "int")), ("{{?'a': {0}}}", ("perhaps",)),
        ("{0}.transformMap({v}, {w}, {1})", ("map", Under("int", ("text", "int")))),
        ("{0}.transformMap({v}, {w}, {1}, {2})",
        ("map", Under("bool", ("text", "int")), Under("int", ("text", "int")))),
        ("{0}.transformMapEntry({v}, {w}, {{{1}: {w}}})", ("map", Under("text", ("text", "int")))),
    ],
    "numbered": [
        ("{{1: {0}, 2u: {1}, true: {2}}}", ("int", "int", "int")), ("{{dyn({0}): {1}}}", ("any", "int")),
        ("{0}.transformMap({v}, {w}, {1})", ("ints", Under("int", ("int", "int")))),
    ],
    "perhaps": [
        ("{0}.?a", ("map",)), ("{0}[?{1}]", ("ints", "int")), ("{0}[?{1}]", ("numbered", "any")),
        ("optional.of({0})", ("int",)),
        ("optional.ofNonZeroValue({0})", ("int",)), ("{0}.or({1})", ("perhaps", "perhaps")), ("{0}.first()", ("ints",)),
        ("{0}.optMap({v}, {1})", ("perhaps", Under("int", ("int",)))), ("{0}.?a.b", ("any",)),
        ("{0}.optFlatMap({v}, {1})", ("perhaps", Under("perhaps", ("int",)))),
    ],
    "any": [
        *(("{0}", (kind,)) for kind in ("int", "text", "bool", "double", "uint", "ints", "map", "moment")),
        ("dyn({0})", ("int",)), ("dyn({0})", ("text",)), ("{0}.a", ("any",)), ("{0}[0]", ("anys",)),
        ("{0}['a']", ("any",)),
        ("{0}.a.b", ("any",)), ("{0}[{1}]", ("any", "any")), ("type({0})", ("any",)), ("json.decode({0})", ("text",)),
        ("({0} ? {1} : {2})", ("bool", "any", "any")), ("{0}.metadata.x", ("key",)),
        ("cel.bind({v}, {0}, {1})", ("any", Under("any", ("any",)))),
    ],
}  # fmt: skip
LEAVES = {
    "bool": ["true", "false", "b"], "int": ["0", "1", "2", "-1", "5", "9223372036854775807", "i", "q.r"],
    "uint": ["0u", "1u", "5u", "u"], "double": ["0.0", "-0.0", "1.5", "1e300", "f"],
    "text": ["''", "'a'", "'x'", "'😀'", "'a😀b'", r"'\U0010ffff'", "'1'", "s", "q.s"],
    "bytes": ["b'a'", r"b'\xff'", "o"],
    "moment": ["timestamp('2026-01-31T23:59:59.5Z')", "timestamp(0)", "ts"],
    "length": ["duration('90m')", "duration('-1ns')", "du"],
    "ints": ["li", "li", "[]", "[3, 1, 2]"], "texts": ["ls", "ls", "['b', 'a😀']"],
    "anys": ["ld", "ld", "[1, 'a', null, 2.5]"],
    "keys": ["lk"], "key": ["k"], "map": ["m", "m", "{}", "{'a': 1, '😀': 2}"],
    "numbered": ["mn", "mn", "{1: 1, 2: 2}"],
    "perhaps": ["optional.none()", "optional.of(1)", "md.?a"],
    "any": ["d", "d", "d.a", "md.a", "md.nope", "null", "ld[0]"],
}  # fmt: skip
KINDS = sorted(FORMS)


@st.composite
def expressions(draw: Callable[..., Any]) -> str:
    """An expression of any kind, up to four forms deep."""
    return grown(draw, draw(st.sampled_from(KINDS)), 4, ())


def grown(draw: Callable[..., Any], kind: str, depth: int, bound: tuple[tuple[str, str], ...]) -> str:
    if draw(st.integers(0, 24)) == 24:
        kind = draw(st.sampled_from(KINDS))
    names = [name for name, of in bound if of == kind]
    if names and draw(st.booleans()):
        return str(draw(st.sampled_from(names)))
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return str(draw(st.sampled_from(LEAVES[kind])))
    form, parts = draw(st.sampled_from(FORMS[kind]))
    first, second = f"v{len(bound)}", f"w{len(bound)}"
    # A name that shadows a variable, now and then.
    first = draw(st.sampled_from([first, first, first, "s", "d"]))
    made = []
    for part in parts:
        inner = (*bound, *zip((first, second), part.bound, strict=False)) if isinstance(part, Under) else bound
        made.append(grown(draw, part.kind if isinstance(part, Under) else part, depth - 1, inner))
    return str(form.format(*made, v=first, w=second))


texts = st.sampled_from(["", "a", "x", "😀", "a😀b", "e\u0301", "\U0010ffff", "1", "\ud800"])
ints = st.sampled_from([0, 1, -1, 2, 5, 2**53 + 1, 2**63 - 1, -(2**63)])
uints = st.sampled_from([0, 1, 5, 2**64 - 1]).map(UInt)
doubles = st.sampled_from([0.0, -0.0, 1.0, 2.5, -1e300, float("inf"), float("nan")])
moments = st.sampled_from([Timestamp(0), Timestamp(10**18 + 1), datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=UTC)])
lengths = st.sampled_from([Duration(0), Duration(-(10**9) - 1), timedelta(hours=25), Duration(2**63 - 1)])
octets = st.sampled_from([b"", b"a", b"\xff"])
perhaps = st.sampled_from([OptionalValue(False), OptionalValue(True, 1), OptionalValue(True, {"b": 2})])
scalars = st.one_of(st.none(), st.booleans(), ints, uints, doubles, texts, octets, moments, lengths, perhaps)
keys_of_maps = st.one_of(st.booleans(), ints, uints, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=2).map(tuple), st.dictionaries(texts, inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        st.dictionaries(keys_of_maps, inner, max_size=2),
    ),
    max_leaves=4,
)  # fmt: skip
named = st.dictionaries(st.sampled_from(["a", "x", "😀"]), scalars, max_size=2)
credentials = st.builds(Key, texts, st.builds(Quota, st.sampled_from([None, 5, 200])), st.booleans(), named)
complete = {
    "i": ints, "u": uints, "f": doubles, "b": st.booleans(), "s": texts, "o": octets, "ts": moments, "du": lengths,
    "d": values,
    "ls": st.lists(texts, max_size=3), "li": st.lists(ints, max_size=4), "ld": st.lists(values, max_size=3),
    "lk": st.lists(credentials, max_size=3), "k": credentials, "m": st.dictionaries(texts, ints, max_size=3),
    "md": st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2),
    "mn": st.dictionaries(st.one_of(st.booleans(), ints, uints), ints, max_size=3), "q.r": ints, "q.s": texts,
}  # fmt: skip
activations = st.fixed_dictionaries({}, optional=complete) | st.fixed_dictionaries(complete)


def result(run: Callable[[], Any]) -> Any:
    """The value, or what the error says, but for keys and types: folding may have found out more of them, or fewer."""
    try:
        return run()
    except EvaluationError as error:
        place = None if isinstance(error, OverBudget) else error.offset
        return "the error", error.message.partition(": ")[0].partition(" (")[0], place


def exactly(text: str, activation: Any, *, lenient: bool, strict: bool) -> Any:
    """What the evaluator makes of the tree as it was written."""
    checked = check(parse(text, Limits()), SCOPE, Limits(), None, strict=strict)
    evaluator = Evaluator(Kinds([KEY, QUOTA]), Limits(), lenient=lenient)
    return result(lambda: evaluator.run(checked.root, activation))


def agree(text: str, activation: dict[str, Any], lenient: bool, strict: bool) -> None:
    try:
        expression = (LENIENT if lenient else STRICT).expression(text, check_types=strict)
    except ExpressionError:
        return
    planned = result(lambda: expression(activation))
    exact = exactly(text, activation, lenient=lenient, strict=strict)
    assert same(exact, planned), (text, exact, planned)


@examples(500)
@given(expressions(), activations, st.booleans(), st.sampled_from([True, True, True, False]))
@example("li.filter(v, v > 0 && lk[0].quota.remaining > v)", {"li": [1]}, True, True)
def test_both_ways_to_evaluate_agree(text: str, activation: dict[str, Any], lenient: bool, strict: bool) -> None:
    agree(text, activation, lenient, strict)


# What may stand for a parameter of a type.
KINDS_OF = {
    "bool": ["bool"], "int": ["int"], "uint": ["uint"], "double": ["double"], "string": ["text"], "bytes": ["bytes"],
    "timestamp": ["moment"], "duration": ["length"], "list": ["ints", "texts", "anys"], "map": ["map", "numbered"],
    "optional_type": ["perhaps"],
}  # fmt: skip
ADDRESSES = {"net.IP": "ip('10.0.0.1')", "net.CIDR": "cidr('10.0.0.0/8')"}
NAMED = [each for each in STANDARD_FUNCTIONS if each.name[0].isalpha() and each.name != "uuid"]


@st.composite
def calls(draw: Callable[..., Any]) -> str:
    """A call of any function, with arguments of the types that it wants, mostly."""
    overload = draw(st.sampled_from(NAMED))
    args = [_argument(draw, param.name) for param in overload.params]
    receiver = f"({args.pop(0)})." if overload.member else ""
    return f"{receiver}{overload.name}({', '.join(args)})"


def _argument(draw: Callable[..., Any], type_name: str) -> str:
    if type_name in ADDRESSES:
        return ADDRESSES[type_name]
    return grown(draw, draw(st.sampled_from(KINDS_OF.get(type_name, KINDS))), 1, ())


@examples(400)
@given(calls(), activations, st.booleans())
def test_both_ways_agree_on_every_function(text: str, activation: dict[str, Any], strict: bool) -> None:
    agree(text, activation, False, strict)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@examples(int(os.environ.get("CEL_EXAMPLES", "400")))
@given(expressions(), activations, st.booleans(), st.booleans())
def test_both_ways_to_evaluate_agree_at_length(
    text: str, activation: dict[str, Any], lenient: bool, strict: bool
) -> None:
    agree(text, activation, lenient, strict)


contradicting = st.fixed_dictionaries({name: st.one_of(of, values) for name, of in complete.items()})


@examples(150)
@given(expressions(), contradicting, st.booleans())
def test_values_that_contradict_their_declaration_break_nothing(
    text: str, activation: dict[str, Any], lenient: bool
) -> None:
    """The generated code trusts declared types, so the two may differ here; but it raises CEL errors only."""
    try:
        expression = (LENIENT if lenient else STRICT).expression(text)
    except ExpressionError:
        return
    result(lambda: expression(activation))


def test_most_forms_are_well_typed() -> None:
    """Else the property would look at little more than refusals."""
    bad = []
    for kind, forms in FORMS.items():
        for form, parts in forms:
            made = [LEAVES[part.kind if isinstance(part, Under) else part][0] for part in parts]
            text = form.format(*made, v="v", w="w")
            try:
                STRICT.expression(text)
            except ExpressionError as error:
                bad.append(f"{kind}: {error}")
    assert not bad, "\n".join(bad)
