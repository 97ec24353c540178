"""`check`: exit codes, the three formats, directories, secrets; and nothing in the output that a terminal obeys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ai_gateway_mw.actions import UNSUPPORTED
from tests.cli.conftest import Command

GOOD = "on_http_request:\n  - actions:\n      - type: ai-gateway\n"
BAD = """\
on_http_request:
  - expressions:
      - req.url.path.startWith("/v1/")
    actions:
      - type: denny
        config: {status_code: 404}
"""
WARNED = """\
on_http_request:
  - actions:
      - type: ai-gateway
        config:
          providers: [{id: here, base_url: "http://models.example.com/v1"}]
"""
WITH_SECRET = """\
on_http_request:
  - actions:
      - type: ai-gateway
        config:
          providers: [{id: openai, api_keys: [{value: "${secrets.get('openai', 'primary')}"}]}]
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    directory = tmp_path / "policies"
    directory.mkdir()
    for name, text in {"good": GOOD, "bad": BAD, "warned": WARNED, "with-secret": WITH_SECRET}.items():
        (directory / f"{name}.yaml").write_text(text)
    return directory


def test_a_good_policy(command: Command, policies: Path) -> None:
    result = command("check", policies / "good.yaml")
    assert (result.exit_code, result.stdout) == (0, "1 policy: good\n")


def test_every_problem_with_its_place(command: Command, policies: Path) -> None:
    result = command("check", "policies/bad.yaml")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "policies/bad.yaml:3:22: unknown function `startWith`; did you mean `startsWith`?",
        '        - req.url.path.startWith("/v1/")',
        "                       ^",
        "policies/bad.yaml:5:15: unknown action type `denny`; did you mean `deny`?",
        "        - type: denny",
        "                ^",
        "1 policy: 2 errors",
    ]


def test_warnings_do_not_fail(command: Command, policies: Path) -> None:
    result = command("check", "policies/warned.yaml")
    assert result.exit_code == 0
    assert result.stdout.startswith("policies/warned.yaml:5:")
    assert ": warning: " in result.stdout
    assert result.stdout.endswith("1 policy: good, 1 warning\n")


def test_several_files_are_all_checked(command: Command, policies: Path) -> None:
    result = command("check", "policies/bad.yaml", "policies/good.yaml", "policies/bad.yaml")
    assert result.exit_code == 1
    assert result.stdout.endswith("3 policies: 4 errors\n")


def test_a_directory_means_its_policies(command: Command, policies: Path) -> None:
    (policies / "notes.txt").write_text("no policy")
    (policies / "policy.schema.json").write_text("{}")
    (policies / "as.json").write_text("{}")
    (policies / "as.yml").write_text("{}")
    assert command("check", policies).stdout.endswith("6 policies: 2 errors, 3 warnings\n")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.yaml", "nowhere.yaml: cannot be read: No such file or directory\n"),
        ("file.txt/policy.yaml", "file.txt/policy.yaml: cannot be read: Not a directory\n"),
        ("empty", "empty: no policies here ("),
    ],
    ids=["no such file", "below a file", "empty directory"],
)
def test_what_cannot_be_read_is_wrong_usage(command: Command, tmp_path: Path, path: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").touch()
    result = command("check", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)


def test_settings_that_cannot_be_used_are_wrong_usage(command: Command, policies: Path) -> None:
    result = command("check", "policies/good.yaml", env={"AI_GATEWAY_SECRETS": "dotnev"})
    assert result.exit_code == 2
    assert "did you mean `dotenv`" in result.stderr


def test_as_json(command: Command, policies: Path) -> None:
    result = command("check", "policies/bad.yaml", "policies/warned.yaml", "--format", "json")
    first, second, third = json.loads(result.stdout)
    assert result.exit_code == 1
    assert first == {
        "file": "policies/bad.yaml",
        "line": 3,
        "column": 22,
        "severity": "error",
        "message": "unknown function `startWith`",
        "hint": "startsWith",
    }
    assert second["hint"] == "deny"
    assert (third["file"], third["severity"], third["hint"]) == ("policies/warned.yaml", "warning", "")


def test_good_policies_as_json_are_an_empty_list(command: Command, policies: Path) -> None:
    assert json.loads(command("check", "policies/good.yaml", "--format", "json").stdout) == []


def test_as_annotations_for_github(command: Command, policies: Path) -> None:
    (policies / "a,b:c%.yaml").write_text(BAD)
    result = command("check", "policies/a,b:c%.yaml", "policies/warned.yaml", "--format", "github")
    first, second, third = result.stdout.splitlines()
    place = "file=policies/a%2Cb%3Ac%25.yaml,line=3,col=22"
    assert first == f"::error {place}::unknown function `startWith`; did you mean `startsWith`?"
    assert second.startswith("::error file=policies/a%2Cb%3Ac%25.yaml,line=5,col=15::unknown action type")
    assert third.startswith("::warning file=policies/warned.yaml,line=5,col=")


def test_an_annotation_stays_on_its_line(command: Command, policies: Path) -> None:
    (policies / "bad.yaml").write_text('on_http_request:\n  - actions: [{type: "a%\\n::error::b"}]\n')
    lines = command("check", "policies/bad.yaml", "--format", "github").stdout.splitlines()
    assert len(lines) == 1
    assert "a%25%0A::error::b" in lines[0]


def test_secrets_are_looked_for_only_on_demand(command: Command, policies: Path) -> None:
    assert command("check", "policies/with-secret.yaml").exit_code == 0
    result = command("check", "--secrets", "policies/with-secret.yaml")
    assert result.exit_code == 1
    line = result.stdout.splitlines()[0]
    assert line.startswith(
        "policies/with-secret.yaml: no secret openai/primary; looked at: variable AI_GATEWAY_SECRET__OPENAI__PRIMARY"
    )
    assert line.endswith("; `ai-gateway secrets set openai primary` stores it")


def test_a_vault_that_nobody_asks_is_not_advised(command: Command, policies: Path) -> None:
    result = command("check", "--secrets", "policies/with-secret.yaml", env={"AI_GATEWAY_SECRETS": "env"})
    assert result.exit_code == 1
    assert "ai-gateway secrets set" not in result.stdout


@pytest.mark.parametrize("text", ["", "\ufeff", "# nothing\n", "{}", "on_http_request: []\n"])
def test_a_policy_without_rules_is_warned_of(command: Command, tmp_path: Path, text: str) -> None:
    (tmp_path / "empty.yaml").write_text(text)
    result = command("check", "empty.yaml")
    assert result.exit_code == 0
    assert "warning: this policy has no rules: every AI path is answered with 404" in result.stdout
    assert result.stdout.endswith("1 policy: good, 1 warning\n")


@pytest.mark.parametrize("type_", ["saml", "terminate-tls", "owasp-crs-request", "owasp-crs-response"])
def test_other_traffic_policy_types_are_refused_by_name(command: Command, tmp_path: Path, type_: str) -> None:
    (tmp_path / "policy.yaml").write_text(f"on_http_request: [{{actions: [{{type: {type_}}}]}}]\n")
    result = command("check", "policy.yaml")
    assert result.exit_code == 1
    assert f"`{type_}` is not supported: {UNSUPPORTED[type_]}" in result.stdout


def test_a_broken_catalogue_file_is_reported_in_its_place(command: Command, policies: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("providers:\n  - id: here\n    base_ulr: https://models.example.com\n")
    result = command("check", "policies/good.yaml", env={"AI_GATEWAY_CATALOG": "mine.yaml"})
    assert result.exit_code == 1
    assert "mine.yaml:3:5: unknown field `base_ulr`; did you mean `base_url`?" in result.stdout


def test_secrets_that_are_there_are_not_shown(command: Command, policies: Path) -> None:
    there = {"AI_GATEWAY_SECRET__OPENAI__PRIMARY": "sk-do-not-show-this"}
    result = command("check", "--secrets", "policies/with-secret.yaml", env=there)
    assert (result.exit_code, result.output) == (0, "1 policy: good\n")


@pytest.mark.parametrize("format_", ["text", "json", "github"])
def test_a_policy_cannot_write_to_the_terminal(command: Command, policies: Path, format_: str) -> None:
    (policies / "bad.yaml").write_text('on_http_request: "\\e[2Jgone \u202e [bold]"\n"\x1b[2J": 1\n')
    result = command("check", "policies/bad.yaml", "--format", format_)
    assert result.exit_code == 1
    assert not {"\x1b", "\u202e"} & set(result.output)
