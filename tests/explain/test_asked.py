"""Requests out of curl commands, HAR files and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ai_gateway_mw.explain import Asked, NoRequest, body_of, field_of, from_curl, from_file, from_har


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("curl http://localhost:8080/v1/models", Asked("GET", "/v1/models")),
        ("curl localhost:8080/v1/models?a=b", Asked("GET", "/v1/models?a=b")),
        (
            "curl -X POST 'https://api.openai.com/v1/embeddings' -H 'content-type: application/json' -d '{\"a\": 1}'",
            Asked("POST", "/v1/embeddings", (("content-type", "application/json"),), b'{"a": 1}'),
        ),
        (
            "curl https://a.test/v1/x --json '{}' -sS -o out.txt",
            Asked("POST", "/v1/x", (("content-type", "application/json"),), b"{}"),
        ),
        (
            "curl https://a.test/x \\\n  --header=x-a:1 \\\n  -Hx-b:2 --data-raw @not-a-file",
            Asked(
                "POST",
                "/x",
                (("x-a", "1"), ("x-b", "2"), ("content-type", "application/x-www-form-urlencoded")),
                b"@not-a-file",
            ),
        ),
        ("curl --url https://a.test -A me -b c=d", Asked("GET", "/", (("user-agent", "me"), ("cookie", "c=d")))),
    ],
)
def test_curl_commands(command: str, expected: Asked) -> None:
    assert from_curl(command) == expected


@pytest.mark.parametrize(
    "command",
    ["curl", "curl -X POST", "curl 'http://a.test", "curl http://a.test -H nonsense", "curl 'http://[a.test'"],
)
def test_what_is_no_curl_command(command: str) -> None:
    with pytest.raises(NoRequest):
        from_curl(command)


def test_a_body_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text("{}")
    assert body_of(f"@{tmp_path / 'body.json'}") == b"{}"
    assert body_of("text") == b"text"
    with pytest.raises(NoRequest, match="cannot be read"):
        body_of(f"@{tmp_path / 'nowhere.json'}")


def test_a_body_has_the_bytes_that_were_written() -> None:
    written = b"\xff".decode(errors="surrogateescape")  # as Python reads arguments
    assert body_of(written) == b"\xff"
    assert from_curl(f"curl a.test --data-raw {written}").body == b"\xff"


@pytest.mark.parametrize("reader", [from_file, lambda path: from_har(str(path))])
def test_a_file_that_is_not_there(tmp_path: Path, reader: Callable[[Path], Asked]) -> None:
    with pytest.raises(NoRequest, match="cannot be read: No such file"):
        reader(tmp_path / "nowhere.json")


@pytest.fixture
def har(tmp_path: Path) -> Path:
    headers = [
        {"name": ":authority", "value": "a"},
        {"name": "X-A", "value": "1"},
        {"name": "Content-Length", "value": "2"},
    ]
    entries = [
        {"request": {"method": "GET", "url": "https://a.test/v1/models", "headers": headers}},
        {"request": {"method": "POST", "url": "https://a.test/v1/x?y", "headers": [], "postData": {"text": "{}"}}},
    ]
    file = tmp_path / "all.har"
    file.write_text(json.dumps({"log": {"entries": entries}}))
    return file


def test_har_files(har: Path) -> None:
    assert from_har(str(har)) == Asked("GET", "/v1/models", (("X-A", "1"),))
    assert from_har(f"{har}#2") == Asked("POST", "/v1/x?y", (), b"{}")


@pytest.mark.parametrize("number", ["0", "3"])
def test_an_entry_that_is_not_there(har: Path, number: str) -> None:
    with pytest.raises(NoRequest, match=f"there is no entry {number}"):
        from_har(f"{har}#{number}")


@pytest.mark.parametrize("text", ["{}", "[]", "no json", '{"log": {"entries": [{}]}}', "[" * 100_000])
def test_what_is_no_har_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.har").write_text(text)
    with pytest.raises(NoRequest, match="this is no HAR file"):
        from_har(str(tmp_path / "x.har"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", Asked()),
        ('{"path": "/v1/models"}', Asked("GET", "/v1/models")),
        (
            '{"headers": {"x-a": 1}, "body": {"model": "m"}, "ip": "::1"}',
            Asked(fields=(("x-a", "1"),), body=b'{"model": "m"}', ip="::1"),
        ),
        ('{"headers": [["a", "1"], ["a", "2"]], "body": "x"}', Asked(fields=(("a", "1"), ("a", "2")), body=b"x")),
    ],
)
def test_json_files(tmp_path: Path, text: str, expected: Asked) -> None:
    (tmp_path / "request.json").write_text(text)
    assert from_file(tmp_path / "request.json") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "this is no JSON"),
        ("[]", "a request is a JSON object"),
        ('{"metod": "GET"}', "a request has no `metod`"),
        ('{"headers": 5}', "`headers` is a map"),
        ('{"body": "\\ud800"}', "the body holds characters that cannot be sent"),
    ],
)
def test_json_files_that_hold_no_request(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "request.json").write_text(text)
    with pytest.raises(NoRequest, match=message):
        from_file(tmp_path / "request.json")


@pytest.mark.parametrize(
    "asked",
    [Asked(target="v1"), Asked(target="/\udcff"), Asked(target="/?\udcff")]
    + [Asked(fields=[("a", "b\r\nc: d")]), Asked(fields=[("a", "\u20ac")])],
)
def test_what_no_server_hands_on_is_no_request(asked: Asked) -> None:
    with pytest.raises(NoRequest):
        asked.scope()


def test_fields_are_names_and_values() -> None:
    assert field_of("X-A:  b: c ") == ("X-A", "b: c")
    with pytest.raises(NoRequest):
        field_of("x a: b")
