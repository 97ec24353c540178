"""`doctor`: what it looks at, what it finds wrong, and that it shows no secret."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command

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
        "setting": "the master key is a passphrase of fewer than 16 characters",
        "file": ".ai-gateway/master.key does not hold a master key",
    }
    assert _findings(result.stdout, "wrong") == [f"master key: {says[where]}"]


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
    assert "data directory: data is no directory that this user may write to" in _findings(result.stdout, "wrong")


def test_a_port_in_use_is_a_warning(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = command("doctor", "--json", "--port", port)
    assert result.exit_code == 0
    text = f"port: port {port} of 127.0.0.1 is in use; choose another one with --port"
    assert _findings(result.stdout, "warning") == [text]
