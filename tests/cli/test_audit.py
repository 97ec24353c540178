"""`audit`: what was done, by whom, and the proof that nothing was changed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.stored import DATABASE


@pytest.fixture
def keys(command: Command) -> list[str]:
    """The ids of two keys, the first of which was rotated."""
    ids = [json.loads(command("keys", "create", name, "--json").stdout)["id"] for name in ("one", "two")]
    command("keys", "rotate", "one")
    return ids


def _events(command: Command, *options: str) -> list[str]:
    rows: list[dict[str, Any]] = json.loads(command("audit", "list", "--json", *options).stdout)
    return [row["event"] for row in rows]


def _broken(statement: str) -> None:
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.execute(statement)


def test_the_newest_comes_first(command: Command, keys: list[str]) -> None:
    assert _events(command) == ["key.created", "key.rotated", "key.created", "key.created"]
    lines = command("audit", "list").stdout.splitlines()
    assert lines[0].split()[:6] == ["row", "when", "event", "who", "from", "what"]
    assert keys[0] in lines[2]


def test_details_are_what_was_changed(command: Command) -> None:
    command("keys", "create", "one", "--allow-ip", "10.0.0.0/8", "--quiet")
    command("keys", "update", "one", "--any-ip", "--scope", "read")
    changed, created = command("audit", "list").stdout.splitlines()[1:]
    assert 'name=one, allowed_ips=["10.0.0.0/8"] → null, scopes=["full"] → ["read"]' in changed
    assert 'name=one, allowed_ips=["10.0.0.0/8"], masked=gw_sk_' in created


@pytest.mark.parametrize(
    ("options", "events"),
    [
        (["--event", "API Key"], 4),
        (["--event", "key.rotated"], 1),
        (["--event", "admin"], 0),
        (["--limit", "2"], 2),
        (["--since", "1h"], 4),
        (["--since", "2099-01-31"], 0),
        (["--key", "two"], 1),
    ],
)
def test_what_is_listed_can_be_chosen(command: Command, keys: list[str], options: list[str], events: int) -> None:
    assert len(_events(command, *options)) == events


def test_a_key_that_is_gone_is_found_by_its_id(command: Command, keys: list[str]) -> None:
    assert _events(command, "--key", keys[0]) == ["key.rotated", "key.created"]


@pytest.mark.parametrize("options", [["--event", "nonsense"], ["--since", "soon"], ["--limit", "0"]])
def test_wrong_usage(command: Command, options: list[str]) -> None:
    assert command("audit", "list", *options).exit_code == 2


def test_a_whole_log_gives_a_head_to_save(command: Command, keys: list[str], tmp_path: Path) -> None:
    said = command("audit", "verify")
    assert (said.exit_code, said.stdout.splitlines()[0]) == (0, "The audit log is whole: 4 rows.")
    assert "Save the head elsewhere" in said.stderr
    head = json.loads(command("audit", "verify", "--json").stdout)["head"]
    assert said.stdout.splitlines()[1] == f"head {head}"
    (tmp_path / "head").write_text(f"{head}\n")
    command("keys", "create", "three")
    (tmp_path / "printed").write_text(said.stdout)
    for saved in (head, "@head", "@printed"):
        again = command("audit", "verify", "--head", saved)
        assert again.stdout.startswith("The audit log is whole: 5 rows, and it goes on from the head that was saved.")


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2", "row 2 is not what was written"),
        ("DELETE FROM audit WHERE seq = 2", "row 2 is missing"),
        ("DELETE FROM audit WHERE seq = 4", "the log ends with row 3"),
    ],
)
def test_what_was_changed_is_told(command: Command, keys: list[str], statement: str, fault: str) -> None:
    _broken(statement)
    said = command("audit", "verify")
    assert (said.exit_code, said.stdout) == (1, "")
    assert fault in said.stderr
    told = command("audit", "verify", "--json")
    assert told.exit_code == 1
    assert json.loads(told.stdout)["whole"] is False
    assert fault in json.loads(told.stdout)["faults"][0]["text"]


def test_a_log_that_was_cut_shows_against_a_head(command: Command, keys: list[str]) -> None:
    head = json.loads(command("audit", "verify", "--json").stdout)["head"]
    seq, mac = 5, "ab" * 32
    assert command("audit", "verify", "--head", head).exit_code == 0
    cut = command("audit", "verify", "--head", f"{seq}:{mac}")
    assert (cut.exit_code, "it once had row 5" in cut.stderr) == (1, True)


def test_a_head_of_a_log_that_is_not_there(command: Command, tmp_path: Path) -> None:
    assert command("audit", "verify").stdout.startswith("The audit log is whole: 0 rows.")
    lost = command("audit", "verify", "--head", "5:" + "ab" * 32)
    assert lost.exit_code == 1
    assert "There is no audit log here, but it once had row 5" in lost.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("head", ["nonsense", "@nowhere"])
def test_what_is_no_head(command: Command, head: str) -> None:
    assert command("audit", "verify", "--head", head).exit_code == 2


def test_the_export_is_a_line_for_each_row_oldest_first(command: Command, keys: list[str]) -> None:
    rows = [json.loads(line) for line in command("audit", "export").stdout.splitlines()]
    assert [row["seq"] for row in rows] == [1, 2, 3, 4]
    rotated = command("audit", "export", "--event", "key.rotated").stdout.splitlines()
    assert [json.loads(line)["subject"] for line in rotated] == [keys[0]]
