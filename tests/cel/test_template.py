"""Text with expressions in it."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import Duration, ExpressionError, Timestamp, UInt, render_value, template, to_json
from tests.cel.support import ACTIVATION, ENVIRONMENT

RENDERED = [
    ("", ""),
    ("plain", "plain"),
    ("$", "$"),
    ("cost: 5$", "cost: 5$"),
    ("$1 and $name", "$1 and $name"),
    ("${count}", "3"),
    ("a${count}b${rate}c", "a3b0.25c"),
    ("${'a' + 'b'}", "ab"),
    ("${ count > 2 ? '}' : \"}\" }", "}"),
    ("${{'a': {'b': 1}}.a.b}", "1"),
    ("${'it\\'s }'}", "it's }"),
    ("${r'\\}'}", "\\}"),
    ("${'''}'''}", "}"),
    ("${[1, 2].map(x, {'n': x})}", '[{"n":1},{"n":2}]'),
    ("${count // the } ends nothing here\n}", "3"),
    (r"${req.headers[\"accept\"][0]}", "text/html"),
    (r"${req.headers[\'accept\'][0]} or ${\"it's }\"}", "text/html or it's }"),
    (r"${'a\'b' + \"c\"}", "a'bc"),
    (r"$<\"a>b\" + '>'>", "a>b>"),
    ("$<count>", "3"),
    ("$<(count > 2) ? 'yes' : 'no'>", "yes"),
    ("$<'>' + \">\">", ">>"),
    ("$<[1, 2].filter(x, x > 1)>", "[2]"),
    ("<b>$<count></b>", "<b>3</b>"),
    ("$${count}", "${count}"),
    ("$$<count>", "$<count>"),
    ("$$", "$$"),
    ("$$$${a}", "$$${a}"),
    ("a$${b}c${count}", "a${b}c3"),
    ("${null}", ""),
    ("${true} ${1.0} ${1.5} ${1e30} ${7u}", "true 1 1.5 1e+30 7"),
    ("${b'abc'} ${b'\\xff'}", "abc /w=="),
    ("${timestamp('2024-06-24T15:30:00Z')}", "2024-06-24T15:30:00Z"),
    ("${duration('1500ms')} ${duration('90m')}", "1.5s 1h30m0s"),
    ("${req.headers['accept']}", '["text/html","*/*"]'),
    ("${{'a': null, 'b': [true]}}", '{"a":null,"b":[true]}'),
    ("https://x/?q=${req.url.path}", "https://x/?q=/v1/chat"),
]


@pytest.mark.parametrize(("text", "expected"), RENDERED, ids=[text for text, _ in RENDERED])
def test_renders(text: str, expected: str) -> None:
    assert template(text, ENVIRONMENT).render(ACTIVATION) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("${count}", 3), ("$<count>", 3), (" ${count}", " 3"), ("${count}${count}", "33"), ("x", "x"), ("", "")],
)
def test_one_interpolation_keeps_its_type(text: str, expected: object) -> None:
    assert template(text, ENVIRONMENT).value(ACTIVATION) == expected


REFUSED = [
    ("a ${", "never closed", 2),
    ("a ${count", "never closed", 2),
    ("a ${'}", "not closed", 4),
    ("a $<count", "never closed", 2),
    ("${(count}", "never closed", 0),
    ("x ${}", "no expression", 2),
    ("x ${ } y", "no expression", 2),
    ("$<>", "no expression", 0),
    ("ab${nope}", "unknown name `nope`", 4),
    ("ab${  nope}", "unknown name `nope`", 6),
    ("${count > }", "ends too early", 9),
    ("${${count}}", "`$`", 2),
    (r"${\"a\" + nope}", "unknown name `nope`", 10),
    (r"${\"a}", "unexpected", 2),
]


@pytest.mark.parametrize(("text", "message", "offset"), REFUSED, ids=[text for text, *_ in REFUSED])
def test_is_refused_with_its_place_in_the_whole_text(text: str, message: str, offset: int) -> None:
    with pytest.raises(ExpressionError) as caught:
        template(text, ENVIRONMENT)
    (problem,) = caught.value.problems
    assert message in problem.message
    assert problem.offset == offset


def test_every_problem_of_every_expression_is_reported() -> None:
    with pytest.raises(ExpressionError) as caught:
        template("${nope} and ${gone} and ${", ENVIRONMENT)
    assert [problem.offset for problem in caught.value.problems] == [2, 14, 24]


def test_a_template_knows_what_it_uses() -> None:
    made = template("${req.body.model} ${math.abs(count)}", ENVIRONMENT)
    assert made.variables == {"req.body", "count"}
    assert made.functions == {"math.abs"}
    assert made.selects == {"req.body.model", "count"}
    assert not made.constant
    assert template("$${x}", ENVIRONMENT).constant


def test_values_become_json() -> None:
    value = {"a": UInt(1), 2: [Timestamp(0), Duration(1), b"x", float("inf")], True: None}
    expected = {"a": 1, "2": ["1970-01-01T00:00:00Z", "1ns", "eA==", "+Inf"], "true": None}
    assert to_json(value) == expected


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"), (1, "1ns"), (1500, "1.5µs"), (250_000_000, "250ms"), (-1_500_000_000, "-1.5s"),
        (3_600_000_000_000, "1h0m0s"), (61_000_000_000, "1m1s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_go_does(nanoseconds: int, text: str) -> None:
    assert render_value(Duration(nanoseconds)) == text
