"""`diff`: changes with their places, and which requests would be answered otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

OLD = "on_http_request:\n  - name: gateway\n    actions: [{type: ai-gateway}]\n"
NEW = """\
on_http_request:
  - name: no embeddings
    expressions: ["req.url.path == '/v1/embeddings'"]
    actions: [{type: deny, config: {status_code: 404}}]
  - name: gateway
    actions: [{type: ai-gateway}]
"""
LOG = """\
INFO {"request":"req_1","method":"POST","path":"/v1/chat/completions","status":200,"model":"gpt-4o"}
{"request":"req_2","method":"POST","path":"/v1/embeddings","status":200,"model":"text-embedding-3-small"}
{"request":"req_3","method":"POST","path":"/v1/embeddings","status":200,"model":"text-embedding-3-small"}
something else
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for name, text in {"old.yaml": OLD, "new.yaml": NEW, "requests.log": LOG}.items():
        (tmp_path / name).write_text(text)


def test_changes_with_their_places(command: Command) -> None:
    result = command("diff", "old.yaml", "new.yaml")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "+ on_http_request, no embeddings: rule added  (new.yaml:2:5)",
        "    + deny",
        "1 change",
    ]


def test_no_changes(command: Command) -> None:
    result = command("diff", "old.yaml", "old.yaml", "--requests", "requests.log")
    assert (result.exit_code, result.stdout) == (0, "0 changes\n\n0 of 2 requests would be answered otherwise\n")


def test_requests_that_would_be_answered_otherwise(command: Command) -> None:
    result = command("diff", "old.yaml", "new.yaml", "--requests", "requests.log")
    assert result.stdout.splitlines()[3:] == [
        "",
        "~ POST /v1/embeddings for text-embedding-3-small (logged 2 times)",
        "    status: 401 -> 404",
        "    refused: no_provider_key -> denied",
        "    models:",
        "      - openai:text-embedding-3-small",
        "1 of 2 requests would be answered otherwise",
    ]


def test_as_json(command: Command) -> None:
    told = json.loads(command("diff", "old.yaml", "new.yaml", "--requests", "requests.log", "--json").stdout)
    assert [change["kind"] for change in told["changes"]] == ["added"]
    assert told["requests"] == 2
    assert told["otherwise"][0]["times"] == 2
    assert {"what": "status", "old": 401, "new": 404} in told["otherwise"][0]["differences"]


def test_requests_of_a_file_of_exchanges(command: Command, tmp_path: Path) -> None:
    exchange = "{name: embed, request: {path: /v1/embeddings, body: {model: text-embedding-3-small, input: hi}}}"
    (tmp_path / "exchanges.yaml").write_text(f"exchanges: [{exchange}]\n")
    result = command("diff", "old.yaml", "new.yaml", "--requests", "exchanges.yaml")
    assert result.stdout.endswith("1 of 1 requests would be answered otherwise\n")
    assert "~ embed" in result.stdout


@pytest.mark.parametrize("name", ["nowhere.yaml", "nowhere.log", "old.yaml", "empty.log"])
def test_what_cannot_be_used(command: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.log").write_text("nothing\n")
    assert command("diff", "old.yaml", "new.yaml", "--requests", name).exit_code == 2
    assert command("diff", "old.yaml", "nowhere.yaml").exit_code == 2
