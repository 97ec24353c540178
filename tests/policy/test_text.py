from __future__ import annotations

import pickle

import pytest

from ai_gateway_mw.policy import ExpressionText, Text, load_policy
from ai_gateway_mw.policy.text import Source


def text_in(document: str, *path: str | int) -> Text:
    found = load_policy(document).document.text(path)
    assert found is not None
    return found


def spelled_at(document: str, text: Text, offset: int) -> str:
    """What stands in the document where the character at `offset` is said to be."""
    place = text.place_of(offset)
    assert document.split("\n")[place.line - 1] == place.text
    return place.text[place.column - 1 : place.column]


VALUES = [
    pytest.param("abc def", id="plain"),
    pytest.param("abc\n    def\n\n    ghi", id="plain over lines"),
    pytest.param("'it''s  x'", id="single quotes"),
    pytest.param("'a\n    b''c'", id="single quotes over lines"),
    pytest.param('"abc def"', id="double quotes"),
    pytest.param('"a \\\n    b\n    c"', id="double quotes over lines"),
    pytest.param("|\n    one\n      two\n    three\n", id="literal"),
    pytest.param("|-  # note\n    one\n\n    two", id="literal with a note"),
    pytest.param("|2+\n     one\n    two\n\n", id="literal with indentation and chomping"),
    pytest.param(">\n    one\n    two\n\n    three\n      four\n", id="folded"),
    pytest.param(">-\n    one\n    two", id="folded and stripped"),
    pytest.param("&anchor  abc", id="anchor"),
    pytest.param("&anchor |\n    abc", id="anchor and literal"),
    pytest.param("üé😀x", id="not ASCII"),
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_each_visible_character_knows_its_place(value: str, newline: str) -> None:
    document = f"on_http_request:\n  name: {value}\n  type: deny\n"
    text = text_in(document.replace("\n", newline), "on_http_request", "name")
    visible = [(offset, character) for offset, character in enumerate(text) if not character.isspace()]
    assert visible
    assert [(offset, spelled_at(document, text, offset)) for offset, _ in visible] == visible


def test_an_escape_stands_where_its_backslash_is() -> None:
    document = '{"on_http_request": {"type": "a\\t\\u00e9\\x41\\U0001F600 b"}}'
    text = text_in(document, "on_http_request", "type")
    assert text == "a\té" + "A😀 b"
    columns = [text.place_of(offset).column for offset in range(len(text))]
    assert columns == [31, 32, 34, 40, 44, 54, 55]


@pytest.mark.parametrize(("offset", "column"), [(-3, 9), (0, 9), (3, 12), (4, 13), (99, 13)])
def test_offsets_outside_count_as_the_ends(offset: int, column: int) -> None:
    place = text_in("on_http_request:\n  type: deny\n", "on_http_request", "type").place_of(offset)
    assert (place.line, place.column) == (2, column)


@pytest.mark.parametrize(("value", "column"), [('""', 9), ("''", 9)])
def test_empty_text_has_a_place(value: str, column: int) -> None:
    text = text_in(f"on_http_request:\n  name: {value}\n  type: x\n", "on_http_request", "name")
    assert (text.place_of(0).column, text.place_of(5).column) == (column, column)


def test_text_without_a_file_is_its_own_source() -> None:
    place = Text("one\ntwo").place_of(5)
    assert (place.file, place.line, place.column, place.text) == ("<text>", 2, 2, "two")


def test_text_in_an_embedded_policy_knows_its_place_in_the_file() -> None:
    document = "traffic_policy: |\n  on_http_request:\n    - type: deny\n      name: 'it''s'\n"
    text = load_policy(document, name="api.yaml").document.text(("on_http_request", 0, "name"))
    assert text is not None
    place = text.place_of(3)
    assert (place.file, place.line, place.column) == ("api.yaml", 4, 18)


def test_text_is_a_string_in_every_way() -> None:
    text = text_in("on_http_request: {type: deny}", "on_http_request", "type")
    assert text == "deny"
    assert hash(text) == hash("deny")
    assert type(str(text)) is str
    assert pickle.loads(pickle.dumps(text)) == text


def test_another_kind_of_text_keeps_the_place() -> None:
    text = text_in("on_http_request: {type: deny}", "on_http_request", "type")
    assert ExpressionText.of(text).place_of(2) == text.place_of(2)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_lines_are_counted_as_editors_do(newline: str) -> None:
    source = Source("x", f"ab{newline}cd{newline}")
    places = [source.place(offset) for offset in (0, 1, 2 + len(newline), len(source.text), 99)]
    assert [(place.line, place.column, place.text) for place in places] == [
        (1, 1, "ab"),
        (1, 2, "ab"),
        (2, 1, "cd"),
        (3, 1, ""),
        (3, 1, ""),
    ]
