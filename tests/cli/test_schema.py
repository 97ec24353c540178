"""`schema` prints what editors take, and `--output` writes the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.actions.examples import EXAMPLES
from tests.cli.conftest import Command
from tests.policy_reference import shown_phase


def test_it_knows_every_action(command: Command) -> None:
    schema = json.loads(command("schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert [branch["title"] for branch in schema["$defs"]["action"]["oneOf"]] == list(ACTIONS)


def test_it_writes_a_file(command: Command, tmp_path: Path) -> None:
    result = command("schema", "--output", "policy.schema.json")
    assert (result.exit_code, result.output) == (0, "Wrote policy.schema.json.\n")
    assert (tmp_path / "policy.schema.json").read_text() == command("schema").stdout
    assert [path.name for path in tmp_path.iterdir()] == ["policy.schema.json"]


def test_a_link_goes_on_leading_there(command: Command, tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    command("schema", "--output", "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())


def test_a_directory_that_is_not_there(command: Command) -> None:
    result = command("schema", "--output", "nowhere/policy.schema.json")
    assert (result.exit_code, result.stderr) == (
        1,
        "nowhere/policy.schema.json: cannot be written: No such file or directory\n",
    )


def test_every_action_says_what_it_does(command: Command) -> None:
    schema = json.loads(command("schema").stdout)
    for branch in schema["$defs"]["action"]["oneOf"]:
        assert branch["description"] != f"The action `{branch['title']}`."
        assert branch["properties"]["type"]["description"] == branch["description"]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_example_is_one(command: Command, tmp_path: Path, name: str) -> None:
    schema = json.loads(command("schema").stdout)
    (branch,) = [each for each in schema["$defs"]["action"]["oneOf"] if each["title"] == name]
    policy = {shown_phase(ACTIONS[name]): [{"actions": branch["examples"]}]}
    assert Draft202012Validator(schema).is_valid(policy)
    (tmp_path / "policy.json").write_text(json.dumps(policy))
    internal = {"AI_GATEWAY_INTERNAL": "orders=http://127.0.0.1:9"}
    assert command("check", "policy.json", env=internal).exit_code == 0


def test_every_action_with_settings_has_an_example() -> None:
    assert EXAMPLES.keys() == {name for name, kind in ACTIONS.items() if kind.Config.model_fields}


def test_everything_is_described(command: Command) -> None:
    def described(node: object) -> None:
        if isinstance(node, dict):
            for name, field in node.get("properties", {}).items():
                assert field.get("description"), name
            for below in node.values():
                described(below)
        elif isinstance(node, list):
            for below in node:
                described(below)

    described({key: value for key, value in json.loads(command("schema").stdout).items() if key != "examples"})
