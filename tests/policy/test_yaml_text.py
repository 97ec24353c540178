from __future__ import annotations

import json
import time

import pytest

from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.policy import load_policy
from ai_gateway_mw.policy.problems import Problems
from ai_gateway_mw.policy.text import Source
from ai_gateway_mw.policy.yaml_text import MAX_ALIASED_NODES, MAX_DEPTH, MAX_NODES, parse


def value(text: str) -> object:
    problems = Problems()
    node = parse(Source("<text>", text), problems)
    assert problems.warnings() == ()
    return node.value if node else None


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as raised:
        value(text)
    return str(raised.value.problems[-1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", None, id="nothing"),
        pytest.param("# only a comment\n", None, id="comment"),
        pytest.param("---\n", None, id="empty document"),
        pytest.param("%YAML 1.2\n---\na: 1\n...\n", {"a": 1}, id="markers"),
        pytest.param("a: no\nb: 'true'\nc: \"1\"\n", {"a": "no", "b": "true", "c": "1"}, id="text"),
        pytest.param("a: [1, 1.5, true, ~, x]", {"a": [1, 1.5, True, None, "x"]}, id="scalars"),
        pytest.param("on: 1\nno: 2\n404: 3\nnull: 4\n", {"on": 1, "no": 2, "404": 3, "null": 4}, id="keys are text"),
        pytest.param("'<<': 1", {"<<": 1}, id="quoted merge key"),
        pytest.param("a: &x [1]\nb: *x", {"a": [1], "b": [1]}, id="alias"),
        pytest.param("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}, id="anchor given again"),
        pytest.param("- &k a\n- *k : 1", ["a", {"a": 1}], id="alias as key"),
        pytest.param("v: ${secrets.get('a', 'b')}", {"v": "${secrets.get('a', 'b')}"}, id="unquoted template"),
        pytest.param("v: >-\n  a\n  b\n", {"v": "a b"}, id="folded"),
        pytest.param('a: "\U0001f600\u2028b"', {"a": "\U0001f600\u2028b"}, id="line separator"),
    ],
)
def test_values(text: str, expected: object) -> None:
    assert value(text) == expected


@pytest.mark.parametrize("indent", [None, 2, "\t"], ids=["one line", "spaces", "tabs"])
@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "raw"])
def test_json_is_read_as_json_reads_it(indent: int | str | None, ascii_only: bool) -> None:
    data: dict[str, object] = {
        "a": [1, -2.5, 1e30, True, None, {}],
        "no": '\U0001f600 \\ud83d\\ude00 \\" / \n\t é',
    }
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    assert value(text) == data


def test_a_slash_may_be_escaped_in_json() -> None:
    assert value(r'{"a": "\/x"}') == {"a": "/x"}


def test_places_behind_joined_surrogates_stay_on_their_line() -> None:
    message = refusal('{"a": "\\ud83d\\ude00",\n "b": 1, "b": 2}')
    assert message.startswith("<text>:2:10: `b` is given twice; the first one is at line 2, column 2")


@pytest.mark.parametrize("text", ["? \n: 1", '"": 1'])
def test_a_key_is_not_empty(text: str) -> None:
    assert "a key may not be empty" in refusal(text)


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


def test_nesting_is_limited() -> None:
    value(nested(MAX_DEPTH))
    assert "nested more than 64 levels deep" in refusal(nested(MAX_DEPTH + 1))


def test_the_number_of_values_is_limited() -> None:
    value("[" + "1," * (MAX_NODES - 1) + "]")
    assert "more than 50,000 values" in refusal("[" + "1," * MAX_NODES + "]")


def test_aliases_expand_to_a_limited_number_of_values() -> None:
    shared = "- &x [" + "1," * 99 + "]\n"
    uses = MAX_ALIASED_NODES // 100
    value(shared + "- *x\n" * uses)
    assert "aliases may not expand to more than 10,000 values" in refusal(shared + "- *x\n" * (uses + 1))


def test_aliases_of_aliases_count_in_full() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert refusal("l0: &l0 x\n" + "\n".join(levels)).startswith("<text>:5:")


HOSTILE = {
    "brackets": "[" * 500_000,
    "braces": "{a: " * 200_000,
    "dashes": "- " * 500_000,
    "questions": "? " * 500_000,
    "anchors": "&a " * 300_000,
    "tags": "!!str " * 150_000,
    "colons": ": " * 500_000,
    "tabs": "\t" * 1_000_000,
    "quotes": "'" * 1_000_001,
    "digits": "a: " + "1" * 1_000_000,
    "hexadecimal": "a: 0x" + "f" * 1_000_000,
    "tagged items": "- !a b\n" * 100_000,
    "one key": "a: 1\n" * 200_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_refused_soon(text: str) -> None:
    started = time.process_time()
    assert refusal(text)
    assert time.process_time() - started < 1.0  # tens of milliseconds when nothing else runs


def test_an_alias_shows_the_place_of_what_it_repeats() -> None:
    with pytest.raises(PolicyError) as raised:
        load_policy("on_http_request:\n  - actions: &a\n      - typ: deny\n  - actions: *a\n")
    assert [str(problem.place) for problem in raised.value.problems] == ["<policy>:3:9", "<policy>:3:9"]
