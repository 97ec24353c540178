"""`secrets`: values come in by prompt or standard input, are kept encrypted, and never come out."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.stored import DATABASE
from tests.cli.terminals import AtTerminal

VALUE = "sk-do-not-show-this"
POLICY = """\
on_http_request:
  - actions:
      - type: ai-gateway
        config:
          providers: [{id: openai, api_keys: [{value: "${secrets.get('openai', 'primary')}"}]}]
"""


def test_what_is_set_can_be_had_by_a_policy(command: Command, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY)
    assert command("check", "--secrets", "policy.yaml").exit_code == 1
    stored = command("secrets", "set", "openai", "primary", input=f"{VALUE}\n")
    assert (stored.exit_code, stored.output) == (0, "Stored openai/primary.\n")
    assert command("check", "--secrets", "policy.yaml").exit_code == 0
    assert VALUE.encode() not in b"".join(path.read_bytes() for path in (tmp_path / ".ai-gateway").iterdir())


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo\n", "holds a line break or another control character"),
        (b"one\n\n", "holds a line break or another control character"),
        (b"bell\a", "holds a line break or another control character"),
        (b"\xff" + VALUE.encode(), "is not UTF-8 text"),
        (VALUE.encode() * 20_000, "is larger than 256 KiB"),
        (VALUE.encode() * 5_000, "is longer than 65,536 characters"),
    ],
    ids=["empty", "line break", "two lines", "two line breaks", "control character", "binary", "huge", "long"],
)
def test_what_cannot_be_a_credential_is_refused_by_name(command: Command, given: bytes, fault: str) -> None:
    result = command("secrets", "set", "openai", "primary", input=given)
    assert result.exit_code == 1
    assert result.stderr.startswith("secret openai/primary (")
    assert result.stderr.endswith(f") {fault}\n")
    assert json.loads(command("secrets", "list", "--json").stdout) == []


@pytest.mark.parametrize("line_break", ["", "\n", "\r\n"], ids=["none", "LF", "CR LF"])
def test_one_line_break_at_the_end_is_dropped(command: Command, line_break: str) -> None:
    assert command("secrets", "set", "openai", "primary", input=VALUE + line_break).exit_code == 0


@pytest.mark.parametrize("name", ["..", "../up", "a//b", "with space", ""])
def test_names_that_lead_elsewhere_are_refused(command: Command, name: str) -> None:
    result = command("secrets", "set", "openai", name, input=VALUE)
    assert result.exit_code == 1
    assert "cannot name a secret" in result.stderr


@pytest.mark.parametrize("arguments", [[VALUE], ["--value", VALUE], [f"--value={VALUE}"]], ids=str)
def test_a_value_among_the_arguments_is_refused_and_not_repeated(command: Command, arguments: list[str]) -> None:
    result = command("secrets", "set", "openai", "primary", *arguments, input="other")
    assert result.exit_code == 2
    assert VALUE not in result.output


def test_the_list_shows_names_and_times_only(command: Command) -> None:
    for vault, name in [("openai", "primary"), ("anthropic", "team/a")]:
        command("secrets", "set", vault, name, input=VALUE)
    shown = command("secrets", "list")
    assert [line.split()[:2] for line in shown.stdout.splitlines()] == [
        ["vault", "name"],
        ["anthropic", "team/a"],
        ["openai", "primary"],
    ]
    listed = json.loads(command("secrets", "list", "--json").stdout)
    assert [sorted(row) for row in listed] == [["changed", "name", "vault"]] * 2
    assert VALUE not in shown.output


def test_an_empty_list_says_how_to_begin(command: Command, tmp_path: Path) -> None:
    assert "ai-gateway secrets set VAULT NAME" in command("secrets", "list").stdout
    assert not list(tmp_path.iterdir())


def test_delete_asks(command: Command) -> None:
    command("secrets", "set", "openai", "primary", input=VALUE)
    assert command("secrets", "delete", "openai", "primary", input="n\n").exit_code == 1
    assert len(json.loads(command("secrets", "list", "--json").stdout)) == 1
    assert command("secrets", "delete", "openai", "primary", input="y\n").exit_code == 0
    assert json.loads(command("secrets", "list", "--json").stdout) == []


def test_delete_with_yes_does_not_ask(command: Command) -> None:
    command("secrets", "set", "openai", "primary", input=VALUE)
    assert command("secrets", "delete", "openai", "primary", "--yes").output == "Deleted openai/primary.\n"


def test_deleting_what_is_not_there(command: Command) -> None:
    result = command("secrets", "delete", "openai", "primary", "--yes")
    assert (result.exit_code, result.stderr) == (1, "no secret openai/primary is stored\n")


def test_another_master_key_is_refused(command: Command) -> None:
    command("secrets", "set", "openai", "primary", input=VALUE)
    other = {"AI_GATEWAY_MASTER_KEY": "another passphrase altogether"}
    result = command("secrets", "set", "openai", "backup", input=VALUE, env=other)
    assert result.exit_code == 1
    assert "AI_GATEWAY_MASTER_KEY is not the master key" in result.stderr
    assert "another passphrase" not in result.output


@pytest.mark.parametrize(
    ("variable", "value", "warning"),
    [
        ("AI_GATEWAY_SECRET__OPENAI__PRIMARY", "sk-elsewhere", "AI_GATEWAY_SECRET__OPENAI__PRIMARY is asked first"),
        ("AI_GATEWAY_SECRETS", "env,files", "nothing reads it: AI_GATEWAY_SECRETS is env,files, without local"),
    ],
    ids=["shadowed", "not asked"],
)
def test_it_tells_when_a_policy_would_not_get_it(command: Command, variable: str, value: str, warning: str) -> None:
    result = command("secrets", "set", "openai", "primary", input=VALUE, env={variable: value})
    assert result.exit_code == 0
    assert warning in result.stderr
    assert "sk-elsewhere" not in result.output


def test_on_a_terminal_it_asks_twice_and_shows_nothing(tmp_path: Path) -> None:
    with AtTerminal("secrets", "set", "openai", "primary", directory=tmp_path) as terminal:
        terminal.type_after("Value of openai/primary: ", VALUE)
        terminal.type_after("Repeat for confirmation: ", VALUE)
        assert terminal.exit_code() == 0
    assert "Stored openai/primary." in terminal.shown
    assert VALUE not in terminal.shown


# The audit log ------------------------------------------------------------------------------------------------------


def _audited(command: Command) -> list[tuple[str, str, str]]:
    rows = json.loads(command("audit", "list", "--event", "secret", "--json").stdout)
    return [(row["event"], row["subject"], json.dumps(row["details"])) for row in rows]


def test_before_the_first_key_no_database_is_made_for_it(command: Command, tmp_path: Path) -> None:
    command("secrets", "set", "openai", "primary", input=VALUE)
    assert sorted(path.name for path in (tmp_path / ".ai-gateway").iterdir()) == ["master.key", "secrets.db"]


def test_changes_are_in_the_audit_log_without_values(command: Command) -> None:
    command("keys", "create", "first")
    command("secrets", "set", "openai", "primary", input=VALUE)
    command("secrets", "delete", "openai", "primary", "--yes")
    assert _audited(command) == [("secret.deleted", "openai/primary", "{}"), ("secret.set", "openai/primary", "{}")]
    assert VALUE not in command("audit", "export").stdout


@pytest.mark.parametrize(("vault", "value"), [("..", VALUE), ("openai", "two\nlines")], ids=["name", "value"])
def test_what_is_refused_is_not_in_it(command: Command, vault: str, value: str) -> None:
    command("keys", "create", "first")
    assert command("secrets", "set", vault, "primary", input=value).exit_code == 1
    assert _audited(command) == []


@pytest.mark.parametrize("arguments", [["set", "openai", "backup"], ["delete", "openai", "primary", "--yes"]], ids=str)
def test_a_log_that_cannot_be_written_prevents_the_change(command: Command, arguments: list[str]) -> None:
    command("keys", "create", "first")
    command("secrets", "set", "openai", "primary", input=VALUE)
    before = command("secrets", "list", "--json").stdout
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.execute("DROP TABLE audit")
    result = command("secrets", *arguments, input=VALUE)
    assert result.exit_code == 1
    assert "; nothing was changed\n" in result.stderr
    assert command("secrets", "list", "--json").stdout == before
