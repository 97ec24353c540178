"""Explanations: what each part of an expression came to, as it is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from ai_gateway_mw.cel import (
    DYN,
    INT,
    STANDARD_FUNCTIONS,
    STRING,
    Environment,
    EvaluationError,
    Explanation,
    ListType,
    MapType,
    Overload,
    Variable,
)

ACTIVATION: dict[str, Any] = {
    "req.head": {"x": "abc", "h": "Bearer z"},
    "n": 1,
    "ks": [{"q": 5, "z": True}, {"q": 1}, {"q": 7}],
}


def environment(told: list[Explanation], *, lenient: bool = False) -> Environment:
    secret = Overload("secrets.get", (STRING, STRING), STRING, lambda vault, name: "s3cret", sensitive=True)
    variables = [Variable("req.head", MapType(STRING, DYN)), Variable("n", INT), Variable("ks", ListType(DYN))]
    return Environment(
        variables=variables, functions=[*STANDARD_FUNCTIONS, secret], observer=told.append, lenient=lenient
    )


def explained(text: str, *, lenient: bool = False) -> Explanation:
    told: list[Explanation] = []
    expression = environment(told, lenient=lenient).expression(text)
    with suppress(EvaluationError):
        assert expression(ACTIVATION) == told[0].value
    assert len(told) == 1
    return told[0]


def parts(told: Explanation) -> Iterator[Explanation]:
    yield told
    for part in told.parts:
        yield from parts(part)


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("n == 1", ["n == 1", "n"]),
        ("(n + 1) * 2 == 4", ["(n + 1) * 2 == 4", "(n + 1) * 2", "n + 1", "n"]),
        ("!(n > 3)", ["!(n > 3)", "n > 3", "n"]),
        ("req.head['x'] == 'abc'", ["req.head['x'] == 'abc'", "req.head['x']"]),
        ("req.head.x.size() > 2", ["req.head.x.size() > 2", "req.head.x.size()", "req.head.x"]),
        ("has(req.head.x)", ["has(req.head.x)", "req.head"]),
        ("[n, 2] == [1, 2]", ["[n, 2] == [1, 2]", "[n, 2]", "n", "[1, 2]"]),
        ("{'k': n}.k == 1", ["{'k': n}.k == 1", "{'k': n}.k"]),
        ("n in [1, 2]", ["n in [1, 2]", "n", "[1, 2]"]),
        ("cel.bind(x, n, x + 1)", ["cel.bind(x, n, x + 1)", "n", "x + 1", "x"]),
        ("(\n n ==\n 1 )", ["n == 1", "n"]),
        ("math.greatest(n, 2) == 2", ["math.greatest(n, 2) == 2", "math.greatest(n, 2)", "n"]),
        ("-n < 0", ["-n < 0", "-n", "n"]),
    ],
)
def test_parts_are_told_as_they_are_written(text: str, sources: list[str]) -> None:
    assert [part.source for part in parts(explained(text))] == sources


def test_a_constant_is_told_with_its_value() -> None:
    told = explained("'everybody'")
    assert (told.source, told.value, told.parts) == ("'everybody'", "everybody", ())


def test_what_is_not_reached_is_told_as_such() -> None:
    told = explained("n == 1 || req.head.nothing == 'x'")
    assert told.value is True
    assert [(part.source, part.reached) for part in told.parts] == [
        ("n == 1", True),
        ("req.head.nothing == 'x'", False),
    ]
    no = explained("n == 1 ? 'yes' : req.head.x").parts[-1]
    assert (no.source, no.reached) == ("req.head.x", False)


def test_an_error_is_told_where_it_arose() -> None:
    told = explained("req.head.nothing == 'x'")
    assert "nothing" in told.error
    assert told.parts[0].source == "req.head.nothing"
    assert told.parts[0].error == told.error


def test_each_turn_of_a_macro_says_what_its_variable_was() -> None:
    told = explained("ks.filter(k, k.q > 3 && k.z)", lenient=True)
    turns = [part for part in told.parts if part.variables]
    assert [turn.variables["k"]["q"] for turn in turns] == [5, 1, 7]
    assert [turn.error or turn.value for turn in turns] == [True, False, "no such key in this map: `z`"]
    assert told.value == [{"q": 5, "z": True}]


def test_only_the_first_turns_are_told() -> None:
    told = explained(f"[{', '.join(['n'] * 50)}].all(x, x == 1)")
    assert (sum(bool(part.variables) for part in told.parts), told.untold) == (32, 18)


def test_what_was_made_from_a_secret_says_so() -> None:
    told = explained("'Bearer ' + secrets.get('v', 'n') != req.head.h")
    assert [(part.source, part.secret) for part in parts(told)] == [
        ("'Bearer ' + secrets.get('v', 'n') != req.head.h", True),
        ("'Bearer ' + secrets.get('v', 'n')", True),
        ("secrets.get('v', 'n')", True),
        ("req.head.h", False),
    ]


def test_without_an_observer_expressions_are_planned_as_ever() -> None:
    plain = Environment(variables=[Variable("n", INT)]).expression("n + 1")
    watched = environment([]).expression("n + 1")
    assert plain(ACTIVATION) == watched(ACTIVATION) == 2


def test_an_environment_that_is_extended_keeps_its_observer() -> None:
    told: list[Explanation] = []
    environment(told).extend(variables=[Variable("m", INT)]).expression("m")({"m": 3})
    assert [each.value for each in told] == [3]


def test_line_breaks_are_not_told_and_blanks_in_texts_stay() -> None:
    told = explained("(n == 1\n) && (req.head.x\n  != 'a  b'\n)")
    assert told.source == "(n == 1) && (req.head.x != 'a  b')"
