"""`keys create`, `rotate` and `new`: the key alone on standard output, so that it can be piped on, and only once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw.keys import well_formed
from tests.cli.conftest import Command


def _shown(command: Command, key: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(command("keys", "show", key, "--json").stdout)
    return shown


def test_a_key_is_printed_alone_and_stored_nowhere(command: Command, tmp_path: Path) -> None:
    made = command("keys", "create", "production-api-primary")
    key = made.stdout.removesuffix("\n")
    assert (made.exit_code, well_formed(key)) == (0, True)
    assert key not in made.stderr
    assert "shown this once" in made.stderr
    assert "Authorization: Bearer" in made.stderr
    assert all(key.encode() not in file.read_bytes() for file in (tmp_path / ".ai-gateway").iterdir())
    assert key not in command("keys", "list", "--json").stdout
    assert key not in command("audit", "export").stdout


def test_quiet_prints_nothing_else(command: Command) -> None:
    made = command("keys", "create", "whatever", "--quiet")
    assert (well_formed(made.stdout.strip()), made.stderr) == (True, "")


def test_json_has_the_record_and_the_key(command: Command) -> None:
    made = json.loads(command("keys", "create", "ci-github-actions", "--json").stdout)
    assert well_formed(made["key"])
    assert (made["name"], made["environment"], made["state"], made["scopes"]) == (
        "ci-github-actions", "ci", "active", ["full"],
    )  # fmt: skip


@pytest.mark.parametrize(("name", "hint"), [("my key", True), ("production-api-primary", False)])
def test_a_name_that_says_little_gets_a_hint(command: Command, name: str, hint: bool) -> None:
    made = command("keys", "create", name)
    assert made.exit_code == 0
    assert ("tells what a key is for" in made.stderr) is hint


def test_every_rule_can_be_given(command: Command) -> None:
    options = ["--environment", "eu", "--scope", "read", "--scope", "chat", "--expires", "2099-01-31"]
    options += ["--allow-ip", "10.0.0.0/8", "--allow-ip", "::1", "--allow-model", "gpt-*", "--allow-model", "!gpt-4*"]
    options += ["--allow-provider", "openai", "--limit", "requests_per_minute=60", "--limit", "usd_per_day=2.5"]
    command("keys", "create", "production-api-primary", *options, "--meta", "team=search", "--meta", "note=a=b")
    shown = _shown(command, "production-api-primary")
    assert shown["environment"] == "eu"
    assert shown["scopes"] == ["read", "chat"]
    assert shown["expires_at"] == "2099-01-31T00:00:00+00:00"
    assert shown["allowed_ips"] == ["10.0.0.0/8", "::1/128"]
    assert shown["allowed_models"] == ["gpt-*", "!gpt-4*"]
    assert shown["allowed_providers"] == ["openai"]
    assert shown["limits"] == {"requests_per_minute": 60, "usd_per_day": 2.5}
    assert shown["metadata"] == {"team": "search", "note": "a=b"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--expires", "soon"], "none of: a date"),
        (["--expires", "2099-13-01"], "none of: a date"),
        (["--expires", "2099-01-31T12:00:00"], "write 2099-01-31T12:00:00Z"),
        (["--scope", "admin"], "'admin' is not one of 'read', 'chat', 'full'"),
        (["--allow-ip", "office"], "--allow-ip: `office` is no address and no CIDR range such as 10.0.0.0/8"),
        (["--allow-model", "!"], "--allow-model: an empty pattern matches nothing"),
        (["--limit", "requests_per_minute"], "`requests_per_minute` is no pair such as requests_per_minute=60"),
        (["--limit", "requests_per_minute=many"], "`many` is no number; write requests_per_minute=60"),
        (["--limit", "requests_per_minute=-1"], "is no number"),
        (["--limit", "requests_per_minute=nan"], "is no number"),
        (["--limit", "requests_per_fortnight=1"], "--limit requests_per_fortnight: there is no such limit; there are "),
        (["--limit", "requests_per_minute=0"], "--limit requests_per_minute: must be at least 1"),
        (["--meta", "=x"], "is no pair such as team=search"),
        (["--meta", "team=\x1b[31m"], "--meta team: it has control characters"),
    ],
)
def test_options_that_are_refused(command: Command, tmp_path: Path, options: list[str], says: str) -> None:
    result = command("keys", "create", "production-api-primary", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in " ".join(result.stderr.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            ["taken"],
            1,
            "NAME: there is a key `taken` already; to replace it, rotate it; where it has expired, revoke it first\n",
        ),
        (["late", "--expires", "2020-01-31"], 1, "--expires: it would have expired by now\n"),
        (["part", "--limit", "requests_per_day=1.5"], 2, "--limit requests_per_day: must be a whole number\n"),
        (["key_x"], 2, "NAME: names that begin with `key_` are for ids\n"),
        ([""], 2, "NAME: must have 1 or more characters\n"),
        (["a", "--environment", "e" * 51], 2, "--environment: must have 50 or fewer characters\n"),
        (["a", "--meta", "n=" + "v" * 501], 2, "--meta n: must have 500 or fewer characters\n"),
        (["a", *["--allow-ip=10.0.0.1"] * 1001], 2, "--allow-ip: must have 1000 or fewer entries\n"),
    ],
)
def test_keys_that_cannot_be_made(command: Command, arguments: list[str], code: int, says: str) -> None:
    command("keys", "create", "taken")
    result = command("keys", "create", *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", says)


def test_a_wrong_master_key_is_told(command: Command) -> None:
    command("keys", "create", "first")
    result = command("keys", "create", "second", env={"AI_GATEWAY_MASTER_KEY": "another passphrase altogether"})
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("AI_GATEWAY_MASTER_KEY is not the master key that ")


def test_a_database_that_cannot_be_reached_is_told(command: Command) -> None:
    url = "postgresql://someone:do-not-show@127.0.0.1:1/keys"
    result = command("keys", "list", env={"AI_GATEWAY_DATABASE_URL": url})
    assert result.exit_code == 1
    assert result.stderr.startswith("the database cannot be used: PostgreSQL someone:***@127.0.0.1:1/keys: ")
    assert "do-not-show" not in result.output


def test_a_successor_has_the_name_and_the_rules(command: Command) -> None:
    command("keys", "create", "production-api-primary", "--allow-ip", "10.0.0.0/8", "--limit", "usd_per_day=5")
    old = _shown(command, "production-api-primary")
    rotated = command("keys", "rotate", "production-api-primary")
    assert well_formed(rotated.stdout.strip())
    assert f"{old['id']} ({old['masked']}) works until " in rotated.stderr
    assert f"ai-gateway keys callers {old['id']}" in rotated.stderr
    new = _shown(command, "production-api-primary")
    same = ("name", "environment", "scopes", "allowed_ips", "limits")
    assert [new[field] for field in same] == [old[field] for field in same]
    assert (new["rotated_from"], _shown(command, old["id"])["state"]) == (old["id"], "retiring")


def test_a_key_that_expires_before_its_grace_is_over_is_said_to_work_until_then(command: Command) -> None:
    made = json.loads(command("keys", "create", "production-api-primary", "--expires", "1h", "--json").stdout)
    rotated = command("keys", "rotate", "production-api-primary", "--grace", "24h")
    assert f"works until {made['expires_at'][:16].replace('T', ' ')} UTC;" in rotated.stderr


@pytest.mark.parametrize("grace", ["0", "0s", "0d"])
def test_without_grace_the_old_key_ends_at_once(command: Command, grace: str) -> None:
    made = json.loads(command("keys", "create", "production-api-primary", "--json").stdout)
    rotated = command("keys", "rotate", made["id"], "--grace", grace)
    assert rotated.exit_code == 0
    assert "does not work any more" in rotated.stderr
    assert _shown(command, made["id"])["state"] == "retired"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["production-api-primary", "--grace", "91d"], 1, "--grace: it is from 0 to 90 days"),
        (["production-api-primary", "--grace", "-1h"], 2, "`-1h` is no duration"),
        (["nobody"], 1, "there is no key `nobody`; `ai-gateway keys list --all` shows them all"),
    ],
)
def test_rotations_that_are_refused(command: Command, arguments: list[str], code: int, says: str) -> None:
    command("keys", "create", "production-api-primary")
    result = command("keys", "rotate", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


def test_new_makes_another_key_each_time_and_stores_none(command: Command, tmp_path: Path) -> None:
    first, second = command("keys", "new"), command("keys", "new")
    assert first.exit_code == 0
    assert well_formed(first.stdout.removesuffix("\n"))
    assert first.stdout != second.stdout
    assert "gateway-auth" in first.stderr
    assert first.stdout.strip() not in first.stderr
    assert not list(tmp_path.iterdir())


def test_a_new_key_can_go_straight_into_the_vault(command: Command) -> None:
    key = command("keys", "new").stdout
    assert command("secrets", "set", "gateway", "first", input=key).exit_code == 0
