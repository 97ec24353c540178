"""RE2, and how long a match is taken to last."""

from __future__ import annotations

import pytest

from ai_gateway_mw.cel import Environment, EvaluationError, ExpressionError, Limits
from ai_gateway_mw.cel.patterns import bad_pattern, compiled, cost_of_match, finder, quoted, size_of, time_per_character

# One automaton is enough for these, and takes no longer for longer texts than it must.
CALM = [
    "abc", "^abc$", "a|b|c|d|e|f|g|h", "(?i)ignore (all )?previous instructions", "a.*b.*c", "(x+x+)+y", "(x|x)*y",
    "^gw_sk_[A-Za-z0-9]{32}$", "^(?:GET|POST)$", r"\b\d{3}-\d{2}-\d{4}\b", r"[\w.+-]+@[\w-]+\.[a-z]{2,}",
    r"\Aa[[:alpha:]]\z", r"\Q.*\E", "(?P<name>a)(?:b)(?s).", "a{500}", r"\pL+",
]  # fmt: skip
# These may be followed at many places at once.
BRANCHING = [
    "(a|b)*a(a|b){10}c", "a.{500}c", "[ab]*a[ab]{300}c", "(a{1,30}){30}c", "(?:a{0,20}b{0,20}){20}c",
    "(a|b)" * 20 + "c", "^(?:a?){100}c", "|".join(f"a.*{i}" for i in range(30)), "[a-z]{20}",
]  # fmt: skip
WRONG = [r"\pL" * 33, "(", "a(?=b)", r"(a)\1", "a{1001}", "(a{1000}){1000}", r"\pL{300}", "[z-a]", "*", "x" * 5000]


@pytest.mark.parametrize("pattern", CALM)
def test_most_patterns_take_a_few_nanoseconds_a_character(pattern: str) -> None:
    assert time_per_character(pattern) == 4


@pytest.mark.parametrize("pattern", BRANCHING)
def test_some_may_take_as_much_as_they_are_large(pattern: str) -> None:
    assert time_per_character(pattern) == 5 * size_of(pattern)


@pytest.mark.parametrize("pattern", WRONG)
def test_what_is_no_re2_is_refused(pattern: str) -> None:
    assert bad_pattern(pattern)
    with pytest.raises(EvaluationError):
        compiled(pattern)


def test_other_characters_than_ascii_count_for_their_bytes() -> None:
    assert cost_of_match("a", "é" * 1000) - cost_of_match("a", "") == 3 * (
        cost_of_match("a", "e" * 1000) - cost_of_match("a", "")
    )


def test_finding() -> None:
    find = finder("é.x$")
    assert find("aé😀x")
    assert not find("é😀xa")
    assert finder("é" * 4096)("é" * 5000)
    assert finder("")("")


def test_quoting() -> None:
    assert finder(f"^{quoted('a.b(é)*')}$")("a.b(é)*")


def test_many_large_patterns_are_refused_together() -> None:
    text = " || ".join(f"'a'.matches('[a-z]{{{i}}}b')" for i in range(100, 130))
    environment = Environment(limits=Limits(patterns=1000))
    with pytest.raises(ExpressionError, match="too large together"):
        environment.expression(text)
    assert Environment().expression(text)({}) is False
