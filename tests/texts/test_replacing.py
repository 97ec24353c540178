from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.texts import Replacer, TooManyMatches, all_replaced, expander, replaced
from ai_gateway_mw.texts.prefixes import begun_pattern


@pytest.mark.parametrize(
    ("pattern", "to", "text", "made"),
    [
        ("b", "x", "abc", "axc"),
        ("b", "", "abcb", "ac"),
        ("(?P<user>[a-z]+)@([a-z]+)", "$2 at $user", "me@home", "home at me"),
        ("(a)(b)?", "[$2$1]", "a", "[a]"),
        ("a", "$1x", "a", ""),
        ("(a)", "${1}x", "a", "ax"),
        ("a", "$$1", "a", "$1"),
        ("a", "$10", "a", ""),
        ("a", "5$ $", "a", "5$ $"),
        ("a", "$nobody", "a", ""),
        (r"\d+", "#", "1 22 333", "# # #"),
        ("x*", "-", "é", "-é-"),
        ("é", "e", "été", "ete"),
        ("(?i)KEY", "*", "a Key", "a *"),
    ],
)
def test_what_takes_the_place_of_a_match(pattern: str, to: str, text: str, made: str) -> None:
    assert replaced(text.encode(), Replacer(pattern, expander(to)))[0].decode() == made


def test_the_first_match_is_told_and_a_text_without_one_is_the_same_object() -> None:
    text = b"one two"
    assert replaced(text, Replacer("t(w)o", expander("$1")))[1] == b"two"
    made, first = replaced(text, Replacer("three", expander("")))
    assert made is text
    assert first is None


def test_bytes_that_are_no_text_stay() -> None:
    assert replaced(b"\xff a \xc3", Replacer("a", expander("b")))[0] == b"\xff b \xc3"


def test_replacements_work_on_what_the_one_before_has_made() -> None:
    made, found = all_replaced(b"a", [Replacer("a", expander("b"), index=0), Replacer("b", expander("c"), index=1)])
    assert (made, found) == (b"c", [(0, b"a"), (1, b"b")])


def test_a_pattern_that_matches_everywhere_in_much_text_is_given_up() -> None:
    with pytest.raises(TooManyMatches):
        replaced(b"a" * 200_000, Replacer("a", expander("b")))


@pytest.mark.parametrize(
    ("pattern", "text", "begins"),
    [
        ("ab+c", "xxab", 2),
        ("ab+c", "xxabc", 2),
        ("ab+c", "xxac", 4),
        ("foo|bar", "a ba", 2),
        ("(?i)secret", "a SEC", 2),
        ("(?i:se)cret", "a SEC", 5),
        ("(?i:se)cret", "a SEcr", 2),
        ("(a|bc){2,3}x?", "zabc", 1),
        (r"\b\d{3}-\d{4}\b", "at 123-4", 3),
        (r"[[:alpha:]]{2}\pN", "1ab", 1),
        (r"\x{41}\x42\103", "-AB", 1),
        ("a(?P<n>b?)c", "-ab", 1),
        ("^abc$", "xab", 1),
        ("a.c", "xa\u00e9", 1),
        ("", "abc", 3),
    ],
)
def test_where_a_text_may_yet_become_a_match(pattern: str, text: str, begins: int) -> None:
    assert begun_pattern(pattern).search(text.encode()).start() == begins


@pytest.mark.parametrize("pattern", [r"\Qa.b\E", r"\C", "(?i)a|b"])
def test_a_pattern_that_is_not_understood_may_begin_anywhere(pattern: str) -> None:
    assert begun_pattern(pattern) is None


def _patterns() -> st.SearchStrategy[str]:
    atoms = st.sampled_from(["a", "b", "c", "[ab]", ".", "(?:ab)", "x"])
    repeated = st.tuples(atoms, st.sampled_from(["", "?", "*", "+", "{2}", "{1,3}", "*?"])).map("".join)
    sequences = st.lists(repeated, min_size=1, max_size=4).map("".join)
    groups = st.lists(sequences, min_size=1, max_size=3).map(lambda each: f"(?:{'|'.join(each)})")
    return st.lists(st.one_of(sequences, groups), min_size=1, max_size=3).map("".join)


@given(_patterns(), st.text(alphabet="abcx", max_size=8))
def test_every_beginning_of_a_match_is_known_as_one(pattern: str, text: str) -> None:
    begun = begun_pattern(pattern)
    match = re.search(pattern, text, re.DOTALL)
    if match is not None and "\n" not in text:
        for end in range(match.start() + 1, match.end() + 1):
            assert begun.search(text[:end].encode()).start() <= match.start()


@given(st.text(alphabet=string.printable, max_size=12))
def test_any_text_that_re2_takes_as_a_pattern_is_understood_or_not(pattern: str) -> None:
    from ai_gateway_mw.cel import bad_pattern

    if not bad_pattern(pattern):
        begun_pattern(pattern)
