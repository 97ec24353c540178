"""`init` writes a policy that is good, with the schema that it names; and writes over nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Command


def test_what_it_writes_is_good(command: Command, tmp_path: Path) -> None:
    written = command("init")
    assert written.exit_code == 0
    assert written.stdout.startswith("Wrote policy.yaml and policy.schema.json.\n")
    assert "ai-gateway secrets set openai primary" in written.stdout
    checked = command("check", ".")
    assert (checked.exit_code, checked.stdout) == (0, "1 policy: good\n")


def test_its_modeline_leads_to_the_schema(command: Command, tmp_path: Path) -> None:
    command("init", "policy.yaml")
    first = (tmp_path / "policy.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=policy.schema.json"
    assert (tmp_path / "policy.schema.json").read_text() == command("schema").stdout


@pytest.mark.parametrize(
    ("provider", "id_"), [("anthropic", "anthropic"), ("open-ai", "openai"), ("azure-openai", "azure-openai")]
)
def test_it_starts_with_any_known_provider(command: Command, tmp_path: Path, provider: str, id_: str) -> None:
    assert command("init", "--provider", provider).exit_code == 0
    policy = yaml.safe_load((tmp_path / "policy.yaml").read_text())
    config = policy["on_http_request"][1]["actions"][0]["config"]
    assert [each["id"] for each in config["providers"]] == [id_]
    assert config["providers"][0]["api_keys"] == [{"value": f"${{secrets.get('{id_}', 'primary')}}"}]


def test_an_address_that_only_the_user_knows_is_asked_for_by_check(command: Command, tmp_path: Path) -> None:
    written = command("init", "--provider", "azure-openai")
    assert "put the address that this provider gave you into policy.yaml, as base_url" in written.stdout
    checked = command("check", "policy.yaml")
    assert checked.exit_code == 1
    assert "`providers[0].base_url`: a base_url names a host" in checked.stdout
    file = tmp_path / "policy.yaml"
    file.write_text(file.read_text().replace("https://<your-address>", "https://mine.openai.azure.com"))
    assert command("check", "policy.yaml").stdout == "1 policy: good\n"


def test_each_step_that_follows_is_a_command_with_what_it_does(command: Command) -> None:
    steps = command("init").stdout.partition("Next:\n")[2].splitlines()
    assert [step.partition("#")[0].split()[:3] for step in steps] == [
        ["ai-gateway", "secrets", "set"],
        ["ai-gateway", "keys", "new"],
        ["ai-gateway", "secrets", "set"],
        ["ai-gateway", "check", "--secrets"],
        ["ai-gateway", "run", "--watch"],
    ]


def test_an_unknown_provider(command: Command, tmp_path: Path) -> None:
    result = command("init", "--provider", "opnai")
    assert (result.exit_code, result.stderr) == (2, "unknown provider opnai; did you mean openai?\n")
    assert not list(tmp_path.iterdir())


def test_it_does_not_write_over_a_policy(command: Command, tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("mine")
    result = command("init")
    assert (result.exit_code, result.stderr) == (1, "policy.yaml is there already; --force writes over it\n")
    assert (tmp_path / "policy.yaml").read_text() == "mine"
    assert command("init", "--force").exit_code == 0
    assert (tmp_path / "policy.yaml").read_text() != "mine"


@pytest.mark.parametrize("there", ["mine", "{}", "[]", '{"$id": "https://example.com/mine"}'])
def test_it_does_not_write_over_another_schema(command: Command, tmp_path: Path, there: str) -> None:
    (tmp_path / "policy.schema.json").write_text(there)
    assert command("init").exit_code == 1
    assert (tmp_path / "policy.schema.json").read_text() == there
    assert not (tmp_path / "policy.yaml").exists()


def test_a_schema_of_an_older_version_is_replaced(command: Command, tmp_path: Path) -> None:
    older = json.loads(command("schema").stdout) | {"title": "older"}
    (tmp_path / "policy.schema.json").write_text(json.dumps(older))
    assert command("init").exit_code == 0
    assert json.loads((tmp_path / "policy.schema.json").read_text())["title"] != "older"


def test_a_directory_that_is_not_there(command: Command) -> None:
    result = command("init", "nowhere/policy.yaml")
    assert (result.exit_code, result.stderr) == (1, "cannot write into nowhere: No such file or directory\n")
