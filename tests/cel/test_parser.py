"""What is an expression and what is not."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import ExpressionError
from tests.cel.support import problems, value

ACCEPTED = [
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("10 - 4 - 3", 3),
    ("-1", -1),
    ("- 1", -1),
    ("--1", 1),
    ("1 - -1", 2),
    ("1-1", 0),
    ("-9223372036854775808", -(2**63)),
    ("0xFF", 255),
    ("-0x10", -16),
    ("7u", 7),
    ("1e3", 1000.0),
    (".5", 0.5),
    ("1.5E-1", 0.15),
    ("true ? 1 : false ? 2 : 3", 1),
    ("!true || !!true", True),
    ("1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3 && 1 != 2", True),
    ("[1, 2, 3,][2]", 3),
    ("{'a': 1,}.a", 1),
    ("{'a-b': 1}.`a-b`", 1),
    ("{'as': 1}.as", 1),
    ("{}", {}),
    ("[]", []),
    ("'a' 'b' == 'a'".replace(" 'b'", ""), True),
    ("'it\\'s'", "it's"),
    ('"a\\nb\\t\\x41\\u00e9\\U0001F600\\101"', "a\nb\tAé😀A"),
    ("r'a\\nb'", "a\\nb"),
    ('R"\'"', "'"),
    ("'''a'b\n'''", "a'b\n"),
    ('"""a"b"""', 'a"b'),
    ("b'\\xff\\377é'", b"\xff\xff\xc3\xa9"),
    ("b'''x'''", b"x"),
    ("bR'\\n'", b"\\n"),
    ("1 // one\n + 1", 2),
    ("\t\r\n\f 1", 1),
    ("null == null", True),
    ("[?optional.of(1), ?optional.none()]", [1]),
    ("{?'a': optional.none()}", {}),
    ("{'a': {'b': 1}}.?a.?b.value()", 1),
    ("[1][?5].hasValue()", False),
    ("google.protobuf.Duration{seconds: 90} == duration('90s')", True),
    ("inner_in == 1".replace("inner_in", "{'inner_in': 1}.inner_in"), True),
]


@pytest.mark.parametrize(("text", "expected"), ACCEPTED, ids=[text for text, _ in ACCEPTED])
def test_is_an_expression(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected) or text == "7u"


# text, part of the message, offset
REFUSED = [
    ("", "missing", 0),
    ("   ", "missing", 0),
    ("// only a comment", "ends too early", 17),
    ("1 +", "ends too early", 3),
    ("(1", "expected an operator or `)`", 2),
    ("[1, 2", "expected an operator or `]`", 5),
    ("{'a': 1", "expected an operator or `}`", 7),
    ("f(", "ends too early", 2),
    ("a.", "expected a name", 2),
    ("a ? 1", "expected", 5),
    ("1)", "unexpected `)`", 1),
    ("1]", "unexpected `]`", 1),
    ("}", "unexpected `}`", 0),
    (")", "unexpected `)`", 0),
    ("()", "unexpected `)`", 1),
    ("[,]", "unexpected `,`", 1),
    ("{,}", "unexpected `,`", 1),
    ("f(,)", "unexpected `,`", 2),
    ("f(1,)", "unexpected `)`", 4),
    ("{1}", "unexpected `}`", 2),
    ("{'a' 1}", "unexpected `1`", 5),
    ("{'a': }", "unexpected `}`", 6),
    ("[1 2]", "unexpected `2`", 3),
    ("1 2", "unexpected `2`", 2),
    ("a b", "unexpected `b`", 2),
    ("'a' 'b'", "unexpected `'b'`", 4),
    ("1 = 1", "`==`", 2),
    ("a & b", "`&&`", 2),
    ("a | b", "`||`", 2),
    ("a === b", "`==`", 4),
    ("a !== b", "`==`", 4),
    ("a <> b", "unexpected `>`", 3),
    ("a and b", "`and` is not an operator", 2),
    ("a or b", "`or` is not an operator", 2),
    ("not a", "unexpected `a`", 4),
    ("a not in b", "`not` is not an operator", 2),
    ("a is b", "`is` is not an operator", 2),
    ("a ** b", "unexpected `*`", 3),
    ("a ^ b", "unexpected '^'", 2),
    ("a ~ b", "unexpected '~'", 2),
    ("a @ b", "unexpected '@'", 2),
    ("a # b", "unexpected '#'", 2),
    ("a;", "no `;`", 1),
    ("a, b", "unexpected `,`", 1),
    ("a ?? b", "unexpected `?`", 3),
    ("a ?: b", "unexpected `:`", 3),
    ("a : b", "unexpected `:`", 2),
    ("a..b", "unexpected `.`", 2),
    ("a.1", "expected a name", 2),
    ("a.'b'", "unexpected `'b'`", 2),
    ("a.[0]", "unexpected `[`", 2),
    ("a[]", "unexpected `]`", 2),
    ("a[1:2]", "unexpected `:`", 3),
    ("a[1, 2]", "unexpected `,`", 3),
    ("a->b", "unexpected `>`", 2),
    ("++a", "unexpected `+`", 0),
    ("+1", "unexpected `+`", 0),
    ("a++", "expected a value", 2),
    ("a += 1", "not an operator", 3),
    ("x => x", "not an operator", 2),
    ("${a}", "`$`", 0),
    ("$a", "`$`", 0),
    ("'a", "not closed", 0),
    ('"a', "not closed", 0),
    ("'a\nb'", "not closed", 0),
    ("b'a", "not closed", 1),
    ("r'a", "not closed", 1),
    ("1 + 'a", "not closed", 4),
    ("'\\q'", "not an escape", 1),
    ("'\\'", "not closed", 0),
    ("'\\x1'", "not an escape", 1),
    ("'\\u12'", "not an escape", 1),
    ("'\\U0011'", "not an escape", 1),
    ("'ab\\ud800'", "not a Unicode character", 3),
    ("'\\U00110000'", "not a Unicode character", 1),
    ("'\\400'", "not an escape", 1),
    ("'\\8'", "not an escape", 1),
    ("b'\\u0041'", "bytes have no", 2),
    ("9223372036854775808", "64-bit int", 0),
    ("-9223372036854775809", "64-bit int", 0),
    ("18446744073709551616u", "64-bit uint", 0),
    ("0xFFFFFFFFFFFFFFFFF", "64-bit int", 0),
    ("1.", "expected a name", 2),
    ("0x", "expected", 1),
    ("1e", "expected", 1),
    ("-1u", "expected", 2),
    ("1_000", "unexpected `_000`", 1),
    ("1.5u", "unexpected `u`", 3),
    ("1f", "unexpected `f`", 1),
    ("as", "reserved word", 0),
    ("var + 1", "reserved word", 0),
    ("1 + function", "reserved word", 4),
    ("for(1)", "reserved word", 0),
    ("a.in", "unexpected `in`", 2),
    ("a.true", "unexpected `true`", 2),
    ("in", "unexpected `in`", 0),
    ("in in in", "unexpected `in`", 0),
    ("a in", "ends too early", 4),
    ("`a`", "backticks", 0),
    ("a.`", "backticks", 2),
    ("a.`b*`", "backticks", 2),
    ("{?}", "unexpected `}`", 2),
    ("[?]", "unexpected `]`", 2),
    ("f(?a)", "unexpected `?`", 2),
    ("'a'{}", "not the name of a type", 3),
    ("f(){a: 1}", "not the name of a type", 3),
    ("T{a}", "unexpected `}`", 3),
    ("T{'a': 1}", "unexpected `'a'`", 2),
    ("if (a) {1} else {2}", "reserved word", 0),
    ("lambda x: x", "unexpected `x`", 7),
    ("x for x in y", "reserved word", 2),
    ("a && ", "ends too early", 4),
    ("&& a", "unexpected `&&`", 0),
    ("a || || b", "unexpected `||`", 5),
    ("!", "ends too early", 1),
    ("-", "ends too early", 1),
    ("a !b", "unexpected `!`", 2),
    ("a == ", "ends too early", 4),
    ("== a", "unexpected `==`", 0),
    ("a ? : b", "unexpected `:`", 4),
    ("\\", "unexpected", 0),
    ("a\x00", "unexpected", 1),
    ("é", "unexpected 'é'", 0),
    ("“a”", "unexpected", 0),
    ("a ≥ 1", "unexpected", 2),
    ("/* c */ 1", "unexpected `/`", 0),
    ("# c", "unexpected '#'", 0),
    ("has(a)", "`has` asks for a field", 4),
    ("has('a')", "`has` asks for a field", 4),
    ("has(a.?b)", "`has` asks for a field", 7),
    ("[1].filter(1, true)", "names a variable", 11),
    ("[1].exists(a.b, true)", "names a variable", 13),
    ("[1].all('x', true)", "names a variable", 8),
    ("[1].map(x + 1, x)", "names a variable", 10),
    ("[1].exists(x, x, true)", "different names", 14),
    ("cel.bind(1, 2, 3)", "names a variable", 9),
    ("cel.bind(x, 2)", "`cel.bind` takes", 4),
    ("(" * 65 + "1" + ")" * 65, "64 deep", 64),
    ("(" * 100 + "1" + ")" * 100, "64 deep", 64),
    ("[" * 100 + "]" * 100, "64 deep", 64),
    ("!" * 2000 + "true", "more than 128", 128),
    ("1" + "+1" * 2000, "more than 128", None),
    ("a" + ".b" * 2000, "more than 128", None),
    ("a" + "[0]" * 2000, "more than 128", None),
    ("true ? 1 : " * 500 + "1", "more than 128", None),
    ("'" + "a" * 20_000 + "'", "16,384 characters", 0),
]


@pytest.mark.parametrize(("text", "message", "offset"), REFUSED, ids=[text[:40] for text, _, _ in REFUSED])
def test_is_refused_with_its_place(text: str, message: str, offset: int | None) -> None:
    (problem,) = problems(text)
    assert message in problem.message
    assert offset is None or problem.offset == offset


def test_operators_of_other_languages_get_a_hint() -> None:
    assert problems("a and b")[0].hint == "&&"
    assert problems("a or b")[0].hint == "||"


def test_brackets_in_strings_and_comments_do_not_nest() -> None:
    assert value(f"'{'(' * 500}' != '' // {'(' * 500}") is True


def test_long_chains_of_and_and_or_are_not_deep() -> None:
    assert value(" && ".join(["true"] * 1000)) is True
    assert value(" || ".join(["false"] * 1000)) is False


def test_the_error_shows_the_line_and_a_caret() -> None:
    with pytest.raises(ExpressionError) as caught:
        value("1 == 1 &&\n  count = 3")
    assert str(caught.value).splitlines()[1:] == ["    count = 3", "          ^"]
