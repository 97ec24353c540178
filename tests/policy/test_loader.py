from __future__ import annotations

from collections import ChainMap
from datetime import date
from pathlib import Path

import pytest

from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.policy import Phase, load_file, load_policy

POLICY = "on_http_request:\n  - type: dény\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_be_unicode_with_or_without_a_byte_order_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "team.yaml"
    path.write_bytes(POLICY.encode(encoding))
    policy = load_file(path)
    action = policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0]
    assert (action.type, str(action.place)) == ("dény", f"{path}:2:11")


def test_a_path_is_a_file_and_text_is_a_policy(tmp_path: Path) -> None:
    path = tmp_path / "team.yaml"
    path.write_text(POLICY, encoding="utf-8")
    assert load_policy(path).rules.keys() == load_policy(POLICY).rules.keys()
    assert load_policy(path).document.name == str(path)
    assert load_policy(POLICY, name="given").document.place().file == "given"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(POLICY.encode("latin-1"), ":2:12: byte 0xE9 is not UTF-8; save the file as UTF-8", id="Latin-1"),
        pytest.param(b"a: \xff", ":1:4: byte 0xFF is not UTF-8; save the file as UTF-8", id="no encoding"),
        pytest.param(b"\xff\xfea", ":1:2: byte 0x61 is not UTF-16-LE; save the file as UTF-8", id="half of UTF-16"),
        pytest.param(b"#" * (1024 * 1024 + 1), ":1:1: a policy may not be larger than 1024 KiB", id="too large"),
    ],
)
def test_bytes_that_are_no_policy(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "team.yaml"
    path.write_bytes(data)
    with pytest.raises(PolicyError) as raised:
        load_file(path)
    assert str(raised.value).split("\n")[0] == f"{path}{message}"


@pytest.mark.parametrize("size", [1024 * 1024, 1024 * 1024 + 1])
def test_text_has_the_size_limit_of_a_file(size: int) -> None:
    text = "#" + "é" * ((size - 1) // 2) + "#" * ((size - 1) % 2)
    try:
        load_policy(text)
    except PolicyError:
        assert size > 1024 * 1024
    else:
        assert size == 1024 * 1024


@pytest.mark.parametrize("name", ["missing.yaml", "."], ids=["no file", "directory"])
def test_a_file_that_cannot_be_read_is_a_problem_of_the_policy(tmp_path: Path, name: str) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_file(tmp_path / name)


def test_a_mapping_is_shown_as_json() -> None:
    with pytest.raises(PolicyError) as raised:
        load_policy({"on_http_request": [{"type": "deny", "confg": {}}]}, name="settings")
    assert (
        str(raised.value) == 'settings:5:7: unknown key `confg`; did you mean `config`?\n        "confg": {}\n        ^'
    )


def test_any_kind_of_mapping_will_do() -> None:
    policy = load_policy(ChainMap({"on_http_request": [ChainMap({"type": "deny"})]}))
    assert policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0].type == "deny"


@pytest.mark.parametrize(
    "value", [date(2024, 1, 1), object(), {1, 2}, b"x", float("nan")], ids=lambda value: type(value).__name__
)
def test_a_mapping_holds_plain_values(value: object) -> None:
    with pytest.raises(PolicyError, match="not a document of plain values"):
        load_policy({"on_http_request": [{"type": "deny", "config": {"x": value}}]})


def test_a_mapping_that_holds_itself_is_refused() -> None:
    rules: list[object] = []
    rules.append(rules)
    with pytest.raises(PolicyError, match="not a document of plain values"):
        load_policy({"on_http_request": rules})


def test_the_document_knows_where_keys_and_values_stand() -> None:
    document = load_policy("on_http_request:\n  - type: deny\n    config:\n      a: [1, 2]\n").document
    path = ("on_http_request", 0, "config", "a")
    places = [
        document.place(),
        document.place(path),
        document.place(path, key=True),
        document.place((*path, 1)),
        document.place((*path, 1), key=True),
        document.place((*path, 9, "x"), key=True),
        document.place(("nowhere",)),
    ]
    assert [(place.line, place.column) for place in places] == [
        (1, 1),
        (4, 10),
        (4, 7),
        (4, 14),
        (4, 14),
        (4, 10),
        (1, 1),
    ]
    assert document.data == {"on_http_request": [{"type": "deny", "config": {"a": [1, 2]}}]}
    assert document.text((*path, 0)) == "1"
    assert document.text(path) is None
    assert document.has(path)
    assert not document.has((*path, 2))
