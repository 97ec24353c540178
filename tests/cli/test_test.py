"""`test`: exchanges beside a policy, what is said where one comes out otherwise, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command

POLICY = """\
on_http_request:
  - name: gateway
    actions:
      - type: ai-gateway
        config:
          providers:
            - id: openai
              api_keys: [{value: "${secrets.get('openai', 'a')}"}, {value: "${secrets.get('openai', 'b')}"}]
"""
EXCHANGES = """\
exchanges:
  - name: the first key fails
    request: {body: {model: gpt-4o, messages: []}}
    upstream: {openai/a: 500}
    expect: {EXPECT}
"""


@pytest.fixture(autouse=True)
def policy(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)


def write(tmp_path: Path, name: str = "exchanges.yaml", **expect: Any) -> None:
    (tmp_path / name).write_text(EXCHANGES.replace("{EXPECT}", json.dumps(expect)))


def test_good_exchanges(command: Command, tmp_path: Path) -> None:
    write(tmp_path, status=200, tried=["openai/gpt-4o with openai/a", "openai/gpt-4o with openai/b"])
    result = command("test", ".")
    assert (result.exit_code, result.stdout) == (0, "ok    exchanges.yaml: the first key fails\n1 exchange: good\n")


def test_what_came_out_otherwise_is_shown_side_by_side(command: Command, tmp_path: Path) -> None:
    write(tmp_path, status=503, tried=["openai/gpt-4o with openai/a"], headers={"x-gateway-attempts": "1"})
    result = command("test", "exchanges.yaml")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "FAIL  exchanges.yaml:2:11: the first key fails",
        "      status: expected 503, got 200",
        "      tried:",
        "          openai/gpt-4o with openai/a",
        "        + openai/gpt-4o with openai/b",
        '      headers.x-gateway-attempts: expected "1", got "2"',
        "1 exchange: 1 failed",
    ]


@pytest.mark.parametrize(
    ("expect", "what"),
    [
        ({"refused": "no_provider_key"}, "refused"),
        ({"matched": []}, "matched"),
        ({"models": ["openai:gpt-5"]}, "models"),
        ({"keys": []}, "keys"),
        ({"tried_any_order": ["openai/gpt-4o with openai/b"]}, "tried_any_order"),
        ({"headers": {"x-gateway-model": None}}, "headers.x-gateway-model"),
        ({"body": {"id": "other"}}, "body.id"),
        ({"body": {"choices": [{"message": {"role": "user"}}]}}, "body.choices[0].message.role"),
        ({"body": "text"}, "body"),
        ({"body_contains": "nothing of the kind"}, "body_contains"),
        ({"vars": {"a": 1}}, "vars.a"),
        ({"sent": []}, "number of requests sent"),
        ({"sent": [{"url": "https://a.test"}, {}]}, "sent[1].url"),
        ({"sent": [{}, {"to": "openai/gpt-4o with openai/a"}]}, "sent[2].to"),
        ({"sent": [{"headers": {"authorization": None}}, {}]}, "sent[1].headers.authorization"),
        ({"sent": [{"body": {"model": "gpt-5"}}, {}]}, "sent[1].body.model"),
    ],
)
def test_each_expectation_can_fail(command: Command, tmp_path: Path, expect: dict[str, Any], what: str) -> None:
    write(tmp_path, **expect)
    result = command("test", "exchanges.yaml", "--json")
    (verdict,) = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (verdict["file"], verdict["line"], verdict["passed"]) == ("exchanges.yaml", 2, False)
    assert [difference["what"] for difference in verdict["differences"]] == [what]


def test_a_file_is_about_the_policy_of_its_name(command: Command, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").rename(tmp_path / "team.yaml")
    write(tmp_path, "team.exchanges.yaml", status=200)
    assert command("test", "team.exchanges.yaml").exit_code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exchanges: [{name: a, expects: {}}]", "did you mean `expect`"),
        ("exchanges: [{name: a}, {name: a}]", "two exchanges by the name of `a`"),
        ("exchanges: []", "exchanges.yaml:1:"),
        ("policy: other.yaml\nexchanges: [{name: a}]", "other.yaml"),
        ('exchanges: [{name: a, request: {headers: {x: "a\\nb"}}}]', "a header field holds a line break"),
    ],
)
def test_a_file_that_cannot_be_used(command: Command, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "exchanges.yaml").write_text(text)
    result = command("test", "exchanges.yaml")
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_directory_without_tests(command: Command, tmp_path: Path) -> None:
    result = command("test", ".")
    assert result.exit_code == 2
    assert "no tests here" in result.stderr


@pytest.mark.parametrize(
    ("fault", "status", "attempts"),
    [("refused", 502, "1"), ("timeout", 200, "2"), ("reset", 200, "2"), ("break", 200, "2")],
)
def test_faults(command: Command, tmp_path: Path, fault: str, status: int, attempts: str) -> None:
    """A host that cannot be reached is not asked again with another key."""
    write(tmp_path, status=status, headers={"x-gateway-attempts": attempts})
    text = (tmp_path / "exchanges.yaml").read_text().replace("500", f"{{fault: {fault}}}")
    (tmp_path / "exchanges.yaml").write_text(text)
    assert command("test", "exchanges.yaml").stdout.splitlines()[1:] == ["1 exchange: good"]


def test_the_schema(command: Command) -> None:
    schema = json.loads(command("test", "--schema").stdout)
    assert schema["$id"] == "urn:ai-gateway-mw:exchanges"
    assert "exchanges" in schema["properties"]
