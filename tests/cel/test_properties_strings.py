"""String functions against lists of code points; base64, URLs and JSON there and back; templates."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ai_gateway_mw.cel import (
    BYTES,
    DYN,
    INT,
    STRING,
    Environment,
    Expression,
    ListType,
    MapType,
    Template,
    Type,
    Variable,
    render_value,
    template,
)
from tests.cel.agreement import FAILS, examples, outcome, same

# Few letters, so that parts are found; some outside the first plane; some made of two code points.
letters = st.sampled_from(["a", "b", "A", "é", "e\u0301", "😀", "\U0010ffff", "ß", " ", "\n", "\0", "$", "\\", "'"])
words = st.lists(letters, max_size=8).map("".join)
texts = words | st.text(max_size=12)
places = st.integers(-2, 14)


@cache
def expression(text: str, *types: Type) -> Expression:
    return Environment(
        variables=[Variable(name, type_) for name, type_ in zip("xyzw", types, strict=False)]
    ).expression(text)


def found(text: str, *values: Any) -> Any:
    """What an expression gives, the same whether the types of its variables are known or not."""
    types = [_TYPES[type(value)] for value in values]
    activation = dict(zip("xyzw", values, strict=False))
    declared = outcome(expression(text, *types), activation)
    assert same(declared, outcome(expression(text, *[DYN] * len(values)), activation)), (text, values)
    return declared


_TYPES = {str: STRING, int: INT, bytes: BYTES, list: ListType(STRING), dict: MapType(STRING, DYN)}


def points(text: str) -> list[str]:
    """The code points of a text, one by one, by way of UTF-32."""
    data = text.encode("utf-32-be")
    return [data[at : at + 4].decode("utf-32-be") for at in range(0, len(data), 4)]


def index(parts: list[str], wanted: list[str], starts: range) -> int:
    """Where one list of code points occurs in another, at one of these places."""
    return next((at for at in starts if parts[at : at + len(wanted)] == wanted), -1)


@examples(150)
@given(texts)
def test_size_and_single_characters(x: str) -> None:
    parts = points(x)
    assert found("size(x) == x.size()", x) is True
    assert found("x.size()", x) == len(parts)
    assert found("size(bytes(x))", x) == len(x.encode())
    assert found("lists.range(size(x)).map(i, x.charAt(i))", x) == parts
    assert found("x.charAt(size(x))", x) == ""
    assert found("x.charAt(size(x) + 1)", x) is FAILS
    assert found("x.charAt(-1)", x) is FAILS


@examples(150)
@given(texts, places, places)
def test_substring_is_a_range_of_code_points(x: str, start: int, end: int) -> None:
    parts = points(x)
    expected = "".join(parts[start:end]) if 0 <= start <= end <= len(parts) else FAILS
    assert same(found("x.substring(y, z)", x, start, end), expected)
    rest = "".join(parts[start:]) if 0 <= start <= len(parts) else FAILS
    assert same(found("x.substring(y)", x, start), rest)


@examples(200)
@given(words, st.lists(letters, max_size=2).map("".join), places)
def test_searching_counts_code_points(x: str, part: str, start: int) -> None:
    parts, wanted = points(x), points(part)
    forwards = range(len(parts) - len(wanted) + 1)
    assert found("x.indexOf(y)", x, part) == index(parts, wanted, forwards)
    assert found("x.lastIndexOf(y)", x, part) == index(parts, wanted, forwards[::-1])
    assert found("x.contains(y)", x, part) is (index(parts, wanted, forwards) >= 0)
    assert found("x.startsWith(y)", x, part) is (parts[: len(wanted)] == wanted)
    assert found("x.endsWith(y)", x, part) is (
        wanted == parts[len(parts) - len(wanted) :] if len(wanted) <= len(parts) else False
    )
    if 0 <= start <= len(parts):
        assert found("x.indexOf(y, z)", x, part, start) == index(parts, wanted, forwards[start:])
        assert found("x.lastIndexOf(y, z)", x, part, start) == index(parts, wanted, forwards[: start + 1][::-1])


@examples(100)
@given(texts)
def test_reversing_twice_changes_nothing(x: str) -> None:
    assert found("x.reverse()", x) == "".join(reversed(points(x)))
    assert found("x.reverse().reverse() == x", x) is True


@examples(150)
@given(words, st.lists(letters, min_size=1, max_size=2).map("".join), st.integers(-1, 4))
def test_split_and_join_are_inverse(x: str, separator: str, parts: int) -> None:
    assert found("x.split(y).join(y)", x, separator) == x
    assert found("x.split('').join()", x) == x
    assert found("x.split('')", x) == points(x)
    limited = found("x.split(y, z)", x, separator, parts)
    if parts:
        assert separator.join(limited) == x
        assert parts < 0 or len(limited) <= parts
    else:
        assert limited == []


@examples(100)
@given(st.lists(st.sampled_from(["", "a", "é", "😀b"]), max_size=5))
def test_joined_words_split_into_the_same(x: list[str]) -> None:
    assert found("x.join('|').split('|')", x) == (x or [""])


@examples(150)
@given(words, st.lists(letters, max_size=2).map("".join), st.sampled_from(["", "x", "😀😀"]), st.integers(-1, 4))
def test_replacing_goes_from_left_to_right(x: str, old: str, new: str, count: int) -> None:
    left, made, done = points(x), [], 0
    wanted = points(old)
    while left or not wanted:
        if (count < 0 or done < count) and left[: len(wanted)] == wanted:
            made.append(new)
            done += 1
            left = left[len(wanted) :]
            if wanted:
                continue
        made += left[:1]
        if not left:
            break
        left = left[1:]
    assert found("x.replace(y, z, w)", x, old, new, count) == "".join(made)
    assert found("x.replace(y, z)", x, old, new) == found("x.replace(y, z, -1)", x, old, new)


@examples(100)
@given(texts)
def test_ascii_case_leaves_all_else_alone(x: str) -> None:
    lower = "".join(part.lower() if part.isascii() else part for part in points(x))
    assert found("x.lowerAscii()", x) == lower
    assert found("x.upperAscii().lowerAscii()", x) == lower
    assert found("x.trim()", x) == found("x.trim().trim()", x)


@examples(100)
@given(texts, texts)
def test_order_is_that_of_code_points(x: str, y: str) -> None:
    assert found("x < y", x, y) is (list(map(ord, points(x))) < list(map(ord, points(y))))
    assert found("x < y", x, y) is found("bytes(x) < bytes(y)", x, y)
    assert found("x + y == y + x", x, y) is (x + y == y + x)


@examples(100)
@given(texts)
def test_a_quoted_text_is_a_literal_of_itself(x: str) -> None:
    """`strings.quote` writes what the parser reads back; controls that have no letter it leaves as they are."""
    quoted = found("strings.quote(x)", x)
    assert same(outcome(Environment().expression(quoted), {}), x)


@examples(100)
@given(texts)
def test_a_text_written_with_escapes_means_itself(x: str) -> None:
    escaped = "".join(f"\\U{ord(part):08x}" for part in x)
    assert same(outcome(Environment().expression(f"'{escaped}'"), {}), x)


@examples(100)
@given(words)
def test_a_quoted_pattern_matches_its_text_only(x: str) -> None:
    assert found("x.matches('^' + regex.quote(x) + '$')", x) is True
    assert found("(x + 'q').matches('^' + regex.quote(x) + '$')", x) is False


# there and back


@examples(100)
@given(st.binary(max_size=40), texts)
def test_base64_there_and_back(x: bytes, y: str) -> None:
    assert found("base64.encode(x)", x) == base64.b64encode(x).decode()
    assert found("base64.decode(base64.encode(x))", x) == x
    assert found("x.encodeBase64().decodeBase64()", y) == y


@examples(100)
@given(texts, st.dictionaries(texts, texts, max_size=3))
def test_urls_there_and_back(x: str, y: dict[str, str]) -> None:
    assert found("x.escapeUrl().unescapeUrl()", x) == x
    assert found("x.encodeQueryString().decodeQueryString()", y) == y


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@examples(150)
@given(st.lists(documents, max_size=3))
def test_json_there_and_back(x: list[Any]) -> None:
    run = expression("json.decode(json.encode(x))", ListType(DYN))
    assert same(run({"x": x}), x)
    assert json.loads(expression("json.encode(x)", ListType(DYN))({"x": x})) == x


# templates

ENVIRONMENT = Environment(variables=[Variable("x", DYN), Variable("name", STRING)])
ACTIVATION = {"x": {"}": ["${", "😀"]}, "name": "Ada"}
# Expressions with what could be taken for the end of the interpolation, and their texts.
INTERPOLATIONS = [
    ("name", "Ada"), ("'}'", "}"), ('"${"', "${"), ("x['}'][1]", "😀"), ("{'a': {'b': '}'}}.a.b", "}"),
    ("size(name)", "3"),
    ("name + // }\n 'b'", "Adab"), ("r'\\' + '}'", "\\}"), ("'''}'''", "}"), ("x['}']", '["${","😀"]'), ("null", ""),
    ("{}", "{}"), ("1.0", "1"), ("true", "true"), ("'\\'}'", "'}"), ("b'}'", "}"),
]  # fmt: skip


def split(text: str) -> Template:
    return template(text, ENVIRONMENT)


@examples(150)
@given(st.text(st.characters(exclude_characters="$", codec="utf-8"), max_size=30))
def test_text_without_a_dollar_is_unchanged(text: str) -> None:
    made = split(text)
    assert made.constant
    assert made.render({}) == text
    assert made.value({}) == text


@examples(150)
@given(
    st.lists(st.sampled_from(["$", "$$", "a", "}", ">", " ", "$ {", "😀", "$a", "\\$", "\n"]), max_size=8).map("".join)
)
def test_a_dollar_before_anything_but_a_bracket_is_a_dollar(text: str) -> None:
    assert split(text).render({}) == text


@examples(150)
@given(st.text(st.sampled_from("$${<>}a😀"), max_size=12) | st.text(max_size=30))
def test_any_text_can_be_escaped(text: str) -> None:
    escaped = text.replace("${", "$${").replace("$<", "$$<")
    assert split(escaped).render({}) == text


plain = st.sampled_from(["", "a", "{}", "}", "'", '"', "$", "//", "😀", "<", ">", "\\", "$$", " "])
pieces = st.lists(st.tuples(plain, st.sampled_from(INTERPOLATIONS), st.sampled_from(["{}", "<>"])), max_size=4)


@examples(150)
@given(pieces, plain)
def test_interpolations_end_where_their_expressions_do(pieces: list[Any], tail: str) -> None:
    text = expected = ""
    for before, (inner, shown), (opening, closing) in pieces:
        inside = f"({inner}\n)"
        text += f"{before.replace('$', '')}${opening}{inside}{closing}"
        expected += before.replace("$", "") + shown
    made = split(text + tail.replace("$", ""))
    assert made.render(ACTIVATION) == expected + tail.replace("$", "")
    assert len(made.expressions) == len(pieces)
    assert made.constant is (not pieces)


@examples(60)
@given(st.sampled_from(INTERPOLATIONS))
def test_a_lone_interpolation_keeps_its_type(chosen: tuple[str, str]) -> None:
    inner, shown = chosen
    made = split(f"${{{inner}\n}}")
    assert same(made.value(ACTIVATION), ENVIRONMENT.expression(inner)(ACTIVATION))
    assert render_value(made.value(ACTIVATION)) == shown == made.render(ACTIVATION)
