"""What is found before an expression runs, and what is said about it."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import BOOL, INT, STRING, Environment, Overload, TypeParam, Variable
from tests.cel.support import ENVIRONMENT, problems

# text, part of the message, hint, the words that offset and length point at
WRONG = [
    ("nope", "unknown name `nope`", "", "nope"),
    ("cuont > 1", "unknown name `cuont`", "count", "cuont"),
    ("req.metod == 'GET'", "unknown name `req.metod`", "req.method", "req.metod"),
    ("request.method", "unknown name `request.method`", "req.method", "request.method"),
    ("req", "unknown name `req`", "", "req"),
    ("1 + req.header['a'][0]", "unknown name `req.header`", "req.headers", "req.header"),
    ("req.url.pth", "`req.url` is a string, which has no field `pth`", "req.url.path", "pth"),
    ("count.x", "`count` is an int, which has no field `x`", "", "x"),
    ("req.method.__class__", "`req.method` is a string, which has no field `__class__`", "", "__class__"),
    ("'a'.x", "a string has no field `x`", "", "x"),
    ("ai.keys[0].qouta", "Key has no field `qouta`", "quota", "qouta"),
    ("ai.keys[0].quota.hidden", "Quota has no field `hidden`", "", "hidden"),
    ("ai.keys.filter(k, k.ids == 'a')", "Key has no field `ids`", "id", "ids"),
    ("has(ai.keys[0].nope)", "Key has no field `nope`", "", "nope"),
    ("'a'.startWith('a')", "unknown function `startWith`", "startsWith", "startWith"),
    ("'a'.starts_with('a')", "unknown function `starts_with`", "startsWith", "starts_with"),
    ("'a'.toLowerCase()", "unknown function `toLowerCase`", "lower", "toLowerCase"),
    ("len('a')", "unknown function `len`", "size", "len"),
    ("vars.get('x')", "m['key']", "", "get"),
    ("math.maximum(1, 2)", "unknown function `math.maximum`", "", "maximum"),
    ("math.absolute(1)", "unknown function `math.absolute`", "math.abs", "absolute"),
    ("hash.sha265('a')", "unknown function `hash.sha265`", "hash.sha256", "sha265"),
    ("size(1, 2)", "`size` takes 1 argument, not 2", "", "size"),
    ("'a'.startsWith()", "`startsWith` takes 1 argument, not 0: `string.startsWith(string)`", "", "startsWith"),
    ("'a'.substring()", "`substring` takes 1 or 2 arguments, not 0", "", "substring"),
    ("startsWith('a', 'b')", "`startsWith` is called as a method", "", "startsWith"),
    ("'a'.timestamp()", "`timestamp` is not called as a method", "", "timestamp"),
    ("[1].filter(x > 1)", "`filter` is used as in `list.filter(x, test)`", "", "filter"),
    ("has(count.a, 1)", "`has` is used as in `has(a.b)`", "", "has"),
    ("1 + 'a'", "int and string cannot be added with `+`", "", "+"),
    ("'a' - 'b'", "string and string cannot be subtracted with `-`", "", "-"),
    ("1 + 1.0", "int and double cannot be added with `+`", "", "+"),
    ("count == 'a'", "int and string cannot be compared with `==`", "", "=="),
    (
        "req.headers['a'] != ''",
        "list(string) and string cannot be compared with `!=`; take one of the list, such as [0], or look in it with",
        "",
        "!=",
    ),
    ("['a'] == 1", "list(string) and int cannot be compared with `==`", "", "=="),
    (
        "req.headers('a')[0]",
        "`req.headers` is no function; what is in it is read as `req.headers['name']`",
        "",
        "headers",
    ),
    ("req.method() == 'GET'", "`req.method` is no function; write it without `()`", "", "method"),
    ("[2, 1].sort(x, y, x < y)", "to sort by a key, write list.sortBy(x, key)", "", "sort"),
    ("count < '200'", "int and string cannot be compared with `<`", "", "<"),
    ("'1' in count", "`in` looks for a value in a list", "", "in"),
    ("1 in ['a']", "cannot look for int in list(string)", "", "in"),
    ("!req.method in ['GET']", "use brackets: !(a in b)", "", "!"),
    ("-'a'", "`-` negates int and double, not string", "", "-"),
    ("count && true", "must be bool, but this is int", "", "count"),
    ("true || 'x'", "must be bool, but this is string", "", "'x'"),
    ("count ? 1 : 2", "what stands before `?` must be bool", "", "count"),
    ("true ? 1 : 'a'", "one type; these are int and string", "", "?"),
    ("[1].all(x, x + 1)", "the test of `all` must be bool", "", "+"),
    ("'abc'.all(c, true)", "`all` walks a list or a map, not a string", "", "all"),
    ("'abc'[0]", "a string cannot be indexed; use charAt", "", "["),
    ("[1]['a']", "a list is indexed by int, not string", "", "'a'"),
    ("req.headers[1]", "the keys of this map are string, not int", "", "1"),
    ("{1.5: 1}", "a key is a string, int, uint or bool, not a double", "", "1.5"),
    ("{null: 1}", "not a null_type", "", "null"),
    ("'a'.matches('(')", "this regular expression is not RE2", "", "'('"),
    ("'a'.matches('(?=x)')", "this regular expression is not RE2", "", "'(?=x)'"),
    ("matches('a', '[')", "this regular expression is not RE2", "", "'['"),
    ("Message{a: 1}", "`Message` is not a type that can be made", "", "Message"),
    ("google.protobuf.Int64Value{val: 1}", "has no field `val`", "value", "val"),
    ("google.protobuf.Int64Value{value: 'a'}", "`value` is int, not string", "", "value"),
    ("[?1]", "`?` wants an optional value, not int", "", "1"),
    ("1.optMap(x, x)", "wants an optional value, not int", "", "optMap"),
    ("'%d'.format(1)", "`format` of string does not take (int)", "", "format"),
    ("timestamp(true)", "`timestamp` does not take (bool)", "", "timestamp"),
    ("[1].map(x, x.map(y, y))", "walks a list or a map, not an int", "", "map"),
    ("int == 1", "cannot be compared", "", "=="),
]


@pytest.mark.parametrize(("text", "message", "hint", "words"), WRONG, ids=[text for text, *_ in WRONG])
def test_is_refused_at_load(text: str, message: str, hint: str, words: str) -> None:
    (problem,) = problems(text)
    assert message in problem.message
    assert problem.hint == hint
    assert text[problem.offset : problem.offset + problem.length] == words


def test_every_problem_is_reported_in_order() -> None:
    found = problems("nope == 1 && count.x && 'a'.foo() && 1 + 'b' == 2")
    assert [problem.offset for problem in found] == [0, 19, 28, 39]


@pytest.mark.parametrize(("text", "type_"), [("count", BOOL), ("'a'", INT), ("[1]", STRING)])
def test_an_expected_type_is_held_to(text: str, type_: object) -> None:
    (problem,) = problems(text, expect=type_)
    assert problem.message.startswith(f"expected {type_}")


def test_names_inside_macros_shadow_declared_ones() -> None:
    assert not problems("[{'method': 1}].all(req, req.method == 1)")


def test_the_longest_declared_name_is_meant() -> None:
    expression = ENVIRONMENT.expression("req.url.path.startsWith('/v1') && req.url != ''")
    assert expression.variables == {"req.url", "req.url.path"}


def test_what_an_expression_uses_is_known() -> None:
    text = "req.body.model.startsWith('gpt') && has(req.body.user) && req.headers['x-a'][0] == vars['b']"
    text += " && math.abs(1) > 0"
    expression = ENVIRONMENT.expression(text)
    assert expression.variables == {"req.body", "req.headers", "vars"}
    assert expression.functions == {"startsWith", "math.abs"}
    assert {"req.body.model", "req.body.user", "req.headers.x-a", "vars.b"} <= expression.selects
    assert expression.type == BOOL


def test_an_overload_is_chosen_by_its_type_parameters() -> None:
    t = TypeParam("T")
    pair = Overload("same", (t, t), BOOL, lambda left, right: left == right)
    environment = ENVIRONMENT.extend(functions=[pair])
    assert not problems("same(1, 2) || same('a', 'b')", environment)
    assert "does not take (int, string)" in problems("same(1, 'b')", environment)[0].message


def test_macros_nest_only_so_deep() -> None:
    text = "[1].all(x, " * 9 + "true" + ")" * 9
    assert "8 deep" in problems(text)[0].message


def test_names_are_looked_up_in_the_container_first() -> None:
    environment = Environment(variables=[Variable("a.b.x", INT), Variable("x", STRING)], container="a.b.c")
    assert environment.expression("x").type == INT
    assert environment.expression(".x").type == STRING
