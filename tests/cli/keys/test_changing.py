"""`keys update` and `revoke`: what is given changes, the rest stays, and a key that leaked is reported on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ai_gateway_mw.keys import well_formed
from tests.cli.conftest import Command
from tests.cli.stored import use

NAME = "production-api-primary"


@pytest.fixture
def key(command: Command) -> dict[str, Any]:
    options = ["--expires", "2099-01-31", "--allow-ip", "10.0.0.0/8", "--allow-model", "gpt-*", "--scope", "chat"]
    options += ["--allow-provider", "openai", "--limit", "requests_per_minute=60", "--meta", "team=search"]
    made: dict[str, Any] = json.loads(command("keys", "create", NAME, "--json", *options).stdout)
    return made


def _shown(command: Command, key: str = NAME) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(command("keys", "show", key, "--json").stdout)
    return shown


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        (["--name", "staging-api-testing"], {"name": "staging-api-testing"}),
        (["--environment", "eu"], {"environment": "eu"}),
        (["--scope", "read"], {"scopes": ["read"]}),
        (["--expires", "2098-01-31"], {"expires_at": "2098-01-31T00:00:00+00:00"}),
        (["--no-expiry"], {"expires_at": None}),
        (["--allow-ip", "192.0.2.0/24"], {"allowed_ips": ["192.0.2.0/24"]}),
        (["--any-ip"], {"allowed_ips": None}),
        (["--any-model"], {"allowed_models": None}),
        (["--any-provider"], {"allowed_providers": None}),
        (["--limit", "usd_per_day=5"], {"limits": {"requests_per_minute": 60, "usd_per_day": 5}}),
        (["--limit", "requests_per_minute=9"], {"limits": {"requests_per_minute": 9}}),
        (["--no-limit", "requests_per_minute"], {"limits": {}}),
        (["--meta", "owner=me", "--no-meta", "team"], {"metadata": {"owner": "me"}}),
        (["--any-ip", "--no-expiry"], {"allowed_ips": None, "expires_at": None}),
    ],
)
def test_what_is_given_changes_and_the_rest_stays(
    command: Command, key: dict[str, Any], options: list[str], changed: dict[str, Any]
) -> None:
    before = _shown(command)
    result = command("keys", "update", NAME, *options, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == before | changed == _shown(command, key["id"])


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ([], 2, "Nothing is to be changed: give an option"),
        (["--expires", "90d", "--no-expiry"], 2, "--expires and --no-expiry contradict each other"),
        (["--allow-ip", "::1", "--any-ip"], 2, "--allow-ip and --any-ip contradict each other"),
        (["--allow-ip", "office"], 2, "--allow-ip: `office` is no address"),
        (["--no-limit", "usd_per_day"], 1, "--no-limit usd_per_day: the key has none; it has requests_per_minute"),
        (["--no-meta", "owner"], 1, "--no-meta owner: the key has none; it has team"),
        (["--expires", "2020-01-31"], 1, "--expires: it would have expired by now; to end it, revoke it"),
        (["--name", "taken"], 1, "NAME: there is a key `taken` already"),
    ],
)
def test_changes_that_are_refused(
    command: Command, key: dict[str, Any], options: list[str], code: int, says: str
) -> None:
    command("keys", "create", "taken")
    before = _shown(command)
    result = command("keys", "update", NAME, *options)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert _shown(command) == before


def test_to_revoke_asks(command: Command, key: dict[str, Any]) -> None:
    assert command("keys", "revoke", NAME, input="n\n").exit_code == 1
    assert _shown(command)["state"] == "active"
    asked = command("keys", "revoke", NAME, input="y\n")
    assert asked.exit_code == 0
    assert f"Revoke {key['id']}, {NAME} ({key['masked']})?" in asked.stderr
    assert _shown(command, key["id"])["state"] == "revoked"


def test_where_nobody_answers_it_says_what_does_not_ask(command: Command, key: dict[str, Any]) -> None:
    result = command("keys", "revoke", NAME, input="")
    assert result.exit_code == 1
    assert "Nothing was changed: nobody answered; --yes does not ask." in result.stderr
    assert _shown(command)["state"] == "active"


def test_who_did_it_is_in_the_audit_log(command: Command, key: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "deploy")
    command("keys", "revoke", NAME, "--yes")
    (entry,) = json.loads(command("audit", "list", "--event", "key.revoked", "--json").stdout)
    assert (entry["actor"], entry["subject"]) == ("cli:deploy", key["id"])


def test_a_revoked_key_cannot_be_changed(command: Command, key: dict[str, Any]) -> None:
    command("keys", "revoke", NAME, "--yes")
    result = command("keys", "update", key["id"], "--any-ip")
    assert (result.exit_code, result.stderr) == (1, f"{key['id']} is revoked and cannot be changed\n")


def test_a_successor_is_printed(command: Command, key: dict[str, Any]) -> None:
    result = command("keys", "revoke", NAME, "--successor", "--yes")
    assert well_formed(result.stdout.removesuffix("\n"))
    assert f"Revoked {key['id']}" in result.stderr
    assert _shown(command)["rotated_from"] == key["id"]
    quiet = command("keys", "revoke", NAME, "--successor", "--yes", "--quiet")
    assert (well_formed(quiet.stdout.removesuffix("\n")), quiet.stderr) == (True, "")


def test_a_compromised_key_is_reported_on(command: Command, key: dict[str, Any]) -> None:
    use(key["id"], times=2, address="192.0.2.7")
    use(key["id"], error=True, address="198.51.100.9")
    result = command("keys", "revoke", NAME, "--compromised", "--yes")
    assert result.exit_code == 0
    assert "3 requests, 1 failed; 45 tokens, $0.0075" in result.stdout
    for told in ("openai    gpt-4o", "192.0.2.7", "198.51.100.9", "openai-python/2.0", "first used 20"):
        assert told in result.stdout
    assert f"ai-gateway audit list --key {key['id']}" in result.stdout
    assert _shown(command, key["id"])["compromised"] is True


def test_the_report_begins_when_it_should(command: Command, key: dict[str, Any]) -> None:
    use(key["id"], address="192.0.2.7", at=1_700_000_000)
    use(key["id"], address="198.51.100.9")
    result = command("keys", "revoke", NAME, "--compromised", "--successor", "--since", "7d", "--yes", "--json")
    told = json.loads(result.stdout)
    assert (told["state"], told["compromised"], well_formed(told["successor"]["key"])) == ("revoked", True, True)
    assert told["incident"]["requests"] == 1
    assert [one["address"] for one in told["incident"]["callers"]] == ["198.51.100.9"]


def test_since_is_for_reports(command: Command, key: dict[str, Any]) -> None:
    result = command("keys", "revoke", NAME, "--since", "7d", "--yes")
    assert (result.exit_code, result.stderr) == (2, "--since belongs to the report of --compromised.\n")
    assert _shown(command)["state"] == "active"


def test_a_report_from_a_day_to_come_is_refused_before_anything_is_done(command: Command, key: dict[str, Any]) -> None:
    result = command("keys", "revoke", NAME, "--compromised", "--since", "2099-01-31", "--yes")
    assert result.exit_code == 2
    assert "2099-01-31 00:00 UTC is still to come" in result.stderr
    assert _shown(command)["state"] == "active"
