"""`doctor`: what it looks at, what it finds wrong, and that it shows no secret."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw.cli import checkup_stored
from ai_gateway_mw.database import HEAD
from ai_gateway_mw.settings import Settings
from tests.cli.conftest import Command
from tests.cli.stored import DATABASE, made_days_ago

POLICY = """\
on_http_request:
  - actions:
      - type: ai-gateway
        config:
          providers: [{id: openai, api_keys: [{value: "${secrets.get('openai', 'primary')}"}]}]
"""
THERE = {"AI_GATEWAY_SECRET__OPENAI__PRIMARY": "sk-do-not-show-this"}


def _findings(output: str, state: str) -> list[str]:
    report: dict[str, Any] = json.loads(output)
    return [f"{one['what']}: {one['text']}" for one in report["findings"] if one["state"] == state]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return file


def test_nothing_is_wrong_here(command: Command) -> None:
    result = command("doctor", "--json", "--port", "0")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["ok"] is True
    assert _findings(result.stdout, "wrong") == []


def test_for_people_it_is_a_table_and_lines(command: Command) -> None:
    result = command("doctor", "--port", "0")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["setting", "value", "from"]
    assert any(line.split() == ["AI_GATEWAY_SECRETS", "env,dotenv,files,local", "default"] for line in lines)
    assert any(line.startswith("ok       extras          ") and "server" in line for line in lines)


def test_settings_show_their_source_and_no_secret(command: Command, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("AI_GATEWAY_MAX_BODY=1MiB\n")
    secret = {"AI_GATEWAY_ADMIN_TOKEN": "do-not-show-this-token"}
    result = command("doctor", "--json", env=secret)
    settings = {one["name"]: (one["value"], one["source"]) for one in json.loads(result.stdout)["settings"]}
    assert settings["AI_GATEWAY_MAX_BODY"] == ("1.0MiB", ".env")
    assert settings["AI_GATEWAY_ADMIN_TOKEN"] == ("***", "environment")
    assert "do-not-show-this" not in result.output


def test_a_variable_that_no_setting_has(command: Command) -> None:
    result = command("doctor", "--json", "--port", "0", env={"AI_GATEWAY_DATADIR": "elsewhere"})
    assert result.exit_code == 0
    assert _findings(result.stdout, "warning") == [
        "settings: AI_GATEWAY_DATADIR is no setting; did you mean `AI_GATEWAY_DATA_DIR`?"
    ]


def test_settings_that_cannot_be_used(command: Command) -> None:
    result = command("doctor", "--json", env={"AI_GATEWAY_TRUSTED_PROXIES": "10.0.0.0/99"})
    assert result.exit_code == 1
    assert _findings(result.stdout, "wrong")[0].startswith("settings: AI_GATEWAY_TRUSTED_PROXIES: ")


def test_secrets_of_the_policy_by_name(command: Command, policy: Path) -> None:
    result = command("doctor", "--json", "--policy", policy)
    assert result.exit_code == 1
    assert _findings(result.stdout, "wrong")[0].startswith("secret: no secret openai/primary; looked at: ")
    result = command("doctor", "--json", "--policy", policy, env=THERE)
    assert result.exit_code == 0
    assert "secret: openai/primary" in _findings(result.stdout, "ok")
    assert "sk-do-not-show-this" not in result.output


def test_problems_of_the_policy(command: Command, policy: Path) -> None:
    policy.write_text("on_http_request:\n  - actions: [{type: denny}]\n")
    result = command("doctor", "--policy", "policy.yaml")
    assert result.exit_code == 1
    assert (
        "wrong    policy          policy.yaml:2:22: unknown action type `denny`; did you mean `deny`?" in result.stdout
    )


def test_a_policy_that_is_not_there(command: Command) -> None:
    result = command("doctor", "--json", "--policy", "nowhere.yaml")
    assert result.exit_code == 1
    assert _findings(result.stdout, "wrong") == ["policy: nowhere.yaml: cannot be read: No such file or directory"]


def test_stored_secrets_that_others_may_read(command: Command, tmp_path: Path) -> None:
    command("secrets", "set", "openai", "primary", input="sk-x")
    (tmp_path / ".ai-gateway" / "master.key").chmod(0o644)
    result = command("doctor", "--json")
    assert result.exit_code == 1
    key = Path(".ai-gateway/master.key")
    assert _findings(result.stdout, "wrong") == [
        f"data directory: {key} is open to other users (mode 644); do: chmod 600 {key}"
    ]


def test_a_vault_whose_master_key_is_lost(command: Command, tmp_path: Path) -> None:
    command("secrets", "set", "openai", "primary", input="sk-x")
    assert "source local: 1 stored" in _findings(command("doctor", "--json").stdout, "ok")
    (tmp_path / ".ai-gateway" / "master.key").unlink()
    result = command("doctor", "--json")
    assert result.exit_code == 1
    assert "made with a master key that is not here" in _findings(result.stdout, "wrong")[0]


@pytest.mark.parametrize("where", ["setting", "file"])
def test_a_broken_master_key_before_anything_is_stored(command: Command, tmp_path: Path, where: str) -> None:
    (tmp_path / ".ai-gateway").mkdir()
    if where == "file":
        file = tmp_path / ".ai-gateway" / "master.key"
        file.write_text("no key")
        file.chmod(0o600)
    result = command("doctor", "--json", env={"AI_GATEWAY_MASTER_KEY": "too short"} if where == "setting" else {})
    assert result.exit_code == 1
    says = {
        "setting": "the master key is a passphrase of fewer than 16 characters; AI_GATEWAY_MASTER_KEY takes a longer "
        "one, or 32 bytes in base64 or hexadecimal",
        "file": ".ai-gateway/master.key does not hold a master key; put the file back as it was, from a backup",
    }
    assert _findings(result.stdout, "wrong") == [f"master key: {says[where]}"]


def test_a_data_directory_that_cannot_be_made(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = command("doctor", "--json", "--port", "0", env={"AI_GATEWAY_DATA_DIR": "file/data"})
    (found,) = (one for one in _findings(result.stdout, "wrong") if one.startswith("data directory"))
    assert f"cannot be made: this user may not write to {tmp_path / 'file'}" in found


def test_what_settings_are_for_is_told_on_demand(command: Command) -> None:
    said = "Largest request body that is read"
    assert said not in command("doctor", "--port", "0").stdout
    assert said in command("doctor", "--port", "0", "--explain").stdout
    settings = json.loads(command("doctor", "--port", "0", "--json").stdout)["settings"]
    assert all(one["description"] for one in settings)


def test_a_data_directory_that_is_a_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    result = command("doctor", "--json", env={"AI_GATEWAY_DATA_DIR": "data"})
    assert result.exit_code == 1
    assert any("data is no directory that this user may write to; " in one for one in _findings(result.stdout, "wrong"))


def test_a_port_in_use_is_a_warning(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("doctor", "--json", "--port", port)
    assert result.exit_code == 0
    text = f"port: port {port} of 127.0.0.1 is in use; choose another one with --port"
    assert _findings(result.stdout, "warning") == [text]


# The database -------------------------------------------------------------------------------------------------------


def _of_database(output: str) -> dict[str, str]:
    report: dict[str, Any] = json.loads(output)
    wanted = ("database", "gateway key", "audit log")
    return {one["what"]: f"{one['state']}: {one['text']}" for one in report["findings"] if one["what"] in wanted}


def test_without_keys_there_is_no_database_and_none_is_made(command: Command, tmp_path: Path) -> None:
    found = _of_database(command("doctor", "--json", "--port", "0").stdout)
    assert found == {"database": "ok: none yet; it is made with the first gateway key"}
    assert not list(tmp_path.iterdir())


def test_keys_and_their_audit_log(command: Command, tmp_path: Path) -> None:
    command("keys", "create", "one")
    command("keys", "create", "two")
    command("keys", "revoke", "two", "--yes")
    result = command("doctor", "--json", "--port", "0")
    assert result.exit_code == 0
    file = tmp_path / ".ai-gateway" / "gateway.db"
    assert _of_database(result.stdout) == {
        "database": f"ok: {file}, version {HEAD}, 2 keys, 1 in use",
        "audit log": "ok: whole, 3 rows",
    }


def test_keys_that_are_due(command: Command) -> None:
    key = json.loads(command("keys", "create", "old", "--json").stdout)["id"]
    made_days_ago("old", 97)
    result = command("doctor", "--json", "--port", "0")
    assert result.exit_code == 0
    assert _of_database(result.stdout)["gateway key"] == (
        f"warning: rotate old ({key}), 97 days old: `ai-gateway keys rotate {key}`"
    )
    calm = command("doctor", "--json", "--port", "0", env={"AI_GATEWAY_KEY_ROTATION": "98d"})
    assert "gateway key" not in _of_database(calm.stdout)


def test_an_audit_log_that_was_changed(command: Command) -> None:
    command("keys", "create", "one")
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.execute("UPDATE audit SET actor = 'nobody'")
    result = command("doctor", "--json", "--port", "0")
    assert result.exit_code == 1
    assert _of_database(result.stdout)["audit log"].startswith("wrong: row 1 is not what was written")


def test_a_long_audit_log_is_not_gone_through(command: Command) -> None:
    command("keys", "create", "one")
    command("keys", "create", "two")
    texts = [finding.text for finding in checkup_stored.database(Settings(), most_rows=1)]
    assert texts[-1] == "2 rows, not verified here: `ai-gateway audit verify` does it"


def test_a_database_of_another_master_key(command: Command, tmp_path: Path) -> None:
    command("keys", "create", "one")
    other = {"AI_GATEWAY_MASTER_KEY": "another passphrase altogether"}
    result = command("doctor", "--json", "--port", "0", env=other)
    assert result.exit_code == 1
    assert _of_database(result.stdout)["database"] == (
        f"wrong: AI_GATEWAY_MASTER_KEY is not the master key that {tmp_path / '.ai-gateway' / 'gateway.db'} belongs to"
        "; put that one back"
    )


@pytest.mark.parametrize("url", ["mysql://host/keys", "postgresql://someone:do-not-show@127.0.0.1:1/keys"])
def test_a_database_that_cannot_be_used(command: Command, url: str) -> None:
    result = command("doctor", "--json", "--port", "0", env={"AI_GATEWAY_DATABASE_URL": url})
    assert result.exit_code == 1
    assert _of_database(result.stdout)["database"].startswith("wrong: ")
    assert "do-not-show" not in result.output
