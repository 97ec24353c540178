"""`schema` prints what editors take, and `--output` writes the same."""

from __future__ import annotations

import json
from pathlib import Path

from ai_gateway_mw.actions import ACTIONS
from tests.cli.conftest import Command


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
