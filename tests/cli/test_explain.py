"""`explain`: the ways to give a request, text and JSON, exit codes; and nothing in the output that a terminal obeys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

POLICY = """\
on_http_request:
  - name: guests may look
    expressions: ["req.method == 'GET' && !hasReqHeader('authorization')"]
    actions: [{type: set-vars, config: {vars: {who: guest}}}]
  - name: gateway
    actions:
      - type: ai-gateway
        config:
          providers: [{id: openai, api_keys: [{value: "${secrets.get('openai', 'primary')}"}]}]
"""
BODY = '{"model": "gpt-4o", "messages": []}'


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "policy.yaml").write_text(POLICY)
    return Path("policy.yaml")


def test_as_text(command: Command, policy: Path) -> None:
    result = command("explain", policy, "--body", BODY)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:6] == [
        "POST /v1/chat/completions from 127.0.0.1",
        "",
        "on_http_request",
        "  · guests may look: not matched  (policy.yaml:2:5)",
        "      req.method == 'GET' && !hasReqHeader('authorization') = false",
        "        req.method == 'GET' = false",
    ]
    assert "        !hasReqHeader('authorization') (not reached)" in lines
    assert "  1. openai/gpt-4o with openai/primary: accepted" in lines
    assert "     authorization: Bearer Secret('openai/primary')" in lines
    assert "answer: 200 (a canned one, through the policy)" in lines
    assert lines[-1] == "note: placeholders stand for secrets: openai/primary"


def test_as_json(command: Command, policy: Path) -> None:
    told = json.loads(command("explain", policy, "--method", "GET", "--path", "/v1/models", "--json").stdout)
    assert told["request"]["method"] == "GET"
    assert told["vars"] == {"who": "guest"}
    assert [rule["verdict"] for rule in told["rules"]] == ["matched", "matched"]
    assert told["sent"] == []


def test_secrets_of_the_machine_are_used_and_not_shown(command: Command, policy: Path) -> None:
    env = {"AI_GATEWAY_SECRET__OPENAI__PRIMARY": "sk-do-not-show-this"}
    result = command("explain", policy, "--body", BODY, env=env)
    assert "note:" not in result.output
    assert "sk-do-not-show-this" not in result.output


@pytest.mark.parametrize(
    "options",
    [
        ["--body", BODY],
        ["--body", "@body.json"],
        ["--curl", f"curl http://localhost:8080/v1/chat/completions -H 'x: y' --json '{BODY}'"],
        ["--request", "request.json"],
        ["--har", "all.har#1"],
    ],
    ids=["text", "file", "curl", "request", "har"],
)
def test_each_way_to_give_a_request(command: Command, policy: Path, tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "body.json").write_text(BODY)
    (tmp_path / "request.json").write_text(json.dumps({"body": json.loads(BODY)}))
    post = {"method": "POST", "url": "http://a/v1/chat/completions", "headers": [], "postData": {"text": BODY}}
    (tmp_path / "all.har").write_text(json.dumps({"log": {"entries": [{"request": post}]}}))
    told = json.loads(command("explain", policy, *options, "--json").stdout)
    assert told["status"] == 200
    assert [sent["candidate"] for sent in told["sent"]] == ["openai/gpt-4o"]


def test_options_come_before_what_a_file_says(command: Command, policy: Path, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text('{"path": "/v1/models", "ip": "10.0.0.1"}')
    options = ["--request", "request.json", "--ip", "203.0.113.7", "--header", "x-a: b", "--path", "/v1/models/gpt-4o"]
    request = json.loads(command("explain", policy, *options, "--json").stdout)["request"]
    assert (request["path"], request["ip"], request["fields"]) == ("/v1/models/gpt-4o", "203.0.113.7", [["x-a", "b"]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--header", "nonsense"], "`nonsense` is no header field"),
        (["--ip", "nowhere"], "`nowhere` is no IP address"),
        (["--body", "@nowhere.json"], "nowhere.json: cannot be read"),
        (["--request", "nowhere.json"], "nowhere.json: cannot be read: No such file"),
        (["--har", "nowhere.har#2"], "nowhere.har: cannot be read: No such file"),
        (["--exchange", "nowhere.yaml"], "nowhere.yaml: cannot be read: No such file"),
        (["--curl", "curl a.test", "--request", "b.json"], "give one of --curl, --har, --request and --exchange"),
        (["--path", "v1"], "a path begins with `/`"),
    ],
)
def test_wrong_usage(command: Command, policy: Path, options: list[str], message: str) -> None:
    result = command("explain", policy, *options)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_policy_that_does_not_load(command: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("on_http_request: [{actions: [{type: denny}]}]\n")
    result = command("explain", "bad.yaml")
    assert result.exit_code == 1
    assert "did you mean `deny`" in result.stderr


def test_a_key_is_pretended(command: Command, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("on_http_request: [{actions: [{type: gateway-auth}, {type: ai-gateway}]}]\n")
    result = command("explain", "policy.yaml", "--key", "web", "--json")
    told = json.loads(result.stdout)
    assert told["rules"][0]["actions"][0]["result"]["key"]["name"] == "web"
    assert "gw_sk_" not in result.output
    assert not (tmp_path / ".ai-gateway").exists()


EXCHANGES = """\
exchanges:
  - name: the key is limited
    request: {body: {model: gpt-4o, messages: []}}
    upstream: {openai: {status: 429, headers: {retry-after: "100"}}}
  - name: later
    request: {body: {model: gpt-4o, messages: []}}
    upstream: {openai: {status: 400, body: {error: {message: "No such thing."}}}}
"""


def test_an_exchange_is_explained_after_those_before_it(command: Command, policy: Path, tmp_path: Path) -> None:
    (tmp_path / "exchanges.yaml").write_text(EXCHANGES)
    first = json.loads(command("explain", policy, "--exchange", "exchanges.yaml", "--json").stdout)
    assert (first["status"], first["sent"][0]["status"]) == (429, 429)
    second = json.loads(command("explain", policy, "--exchange", "exchanges.yaml#2", "--json").stdout)
    assert (second["status"], second["sent"]) == (429, [])
    assert second["keys"][0]["reason"].startswith("stands back: it is cooling for another ")
    assert "there is no exchange 3" in command("explain", policy, "--exchange", "exchanges.yaml#3").stderr
    absent = command("explain", policy, "--exchange", "nowhere.yaml")
    assert (absent.exit_code, absent.stderr) == (2, "nowhere.yaml: cannot be read: No such file or directory\n")


def test_options_come_before_what_an_exchange_says(command: Command, policy: Path, tmp_path: Path) -> None:
    (tmp_path / "exchanges.yaml").write_text(EXCHANGES.replace("429", "200"))
    options = ["--exchange", "exchanges.yaml#2", "--body", '{"model": "o3"}', "--ip", "203.0.113.7"]
    result = command("explain", policy, *options)
    assert "POST /v1/chat/completions from 203.0.113.7" in result.stdout
    assert "  1. openai/o3 with openai/primary: client_fault (400)" in result.stdout
    assert "answer: 400 (that of the exchange, through the policy)" in result.stdout


def test_every_path_is_under_the_policy_where_it_is_to_be(command: Command, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(
        "on_http_request: [{name: no, expressions: [\"req.url.path == '/a'\"], actions: [{type: deny}]}]\n"
    )
    options = ["explain", "policy.yaml", "--method", "GET", "--intercept-all", "--path"]
    assert "  ✓ no: matched  (policy.yaml:1:19)" in command(*options, "/a").stdout.splitlines()
    assert command(*options, "/b").stdout.rstrip().endswith("This is the app.")
    assert "do not go together" in command("explain", "policy.yaml", "--intercept-all", "--exchange", "e.yaml").stderr


def test_a_long_list_is_cut(command: Command, policy: Path) -> None:
    lines = command("explain", policy, "--body", "{}").stdout.splitlines()
    assert "  10. openai:o4-mini  (on offer)" in lines
    assert any(line.startswith("      … and ") and line.endswith(" more  (on offer)") for line in lines)
    assert "whose turn would come, had that failed" in lines


def test_a_request_cannot_write_to_the_terminal(command: Command, policy: Path) -> None:
    result = command(
        "explain", policy, "--body", '{"model": "\x1b[2J\u202e"}', "--path", "/v1/chat/completions?\x1b[2J"
    )
    assert not {"\x1b", "\u202e"} & set(result.output)
