"""`keys list`, `show` and `callers`: what there is to know of keys, and nothing that a request could be made with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.stored import made_days_ago, use
from tests.cli.terminals import AtTerminal


def _made(command: Command, name: str, *options: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(command("keys", "create", name, "--json", *options).stdout)
    return made


def _names(command: Command, *options: str) -> list[str]:
    return [row["name"] for row in json.loads(command("keys", "list", "--json", *options).stdout)]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["keys", "list"], 0, "There are no keys. `ai-gateway keys create NAME` makes one.\n"),
        (["keys", "list", "--json"], 0, "[]\n"),
        (["keys", "show", "a"], 1, "there is no key `a`; `ai-gateway keys list --all` shows them all\n"),
        (["keys", "callers", "a"], 1, "there is no key `a`; `ai-gateway keys list --all` shows them all\n"),
        (["keys", "update", "a", "--any-ip"], 1, "there is no key `a`; `ai-gateway keys list --all` shows them all\n"),
        (["keys", "rotate", "a"], 1, "there is no key `a`; `ai-gateway keys list --all` shows them all\n"),
        (["keys", "revoke", "a"], 1, "there is no key `a`; `ai-gateway keys list --all` shows them all\n"),
        (["usage"], 0, "Nothing was used.\n"),
        (["audit", "list"], 0, "There are no such entries.\n"),
        (["audit", "export"], 0, ""),
    ],
)
def test_looking_makes_no_database(
    command: Command, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    result = command(*arguments)
    assert (result.exit_code, result.output) == (code, says)
    assert not list(tmp_path.iterdir())


def test_the_table_has_a_line_for_each_key(command: Command) -> None:
    one = _made(command, "production-api-primary", "--scope", "chat", "--expires", "2099-01-31")
    two = _made(command, "other")
    use(one["id"], times=3)
    use(one["id"], error=True)
    shown = command("keys", "list")
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert " ".join(lines[0]) == "id name environment scopes state created expires last used requests errors key"
    assert lines[1][:5] == [one["id"], "production-api-primary", "production", "chat", "active"]
    assert lines[1][8:11] == ["2099-01-31", "00:00", "UTC"]
    assert lines[1][-3:] == ["4", "25.0%", one["masked"]]
    assert (lines[2][:5], lines[2][-5:]) == (
        [two["id"], "other", "-", "full", "active"], ["never", "never", "0", "-", two["masked"]],
    )  # fmt: skip
    assert one["key"] not in shown.output


def test_of_a_key_in_its_grace_the_table_tells_when_it_stops_to_work(command: Command) -> None:
    _made(command, "a", "--expires", "2099-01-31")
    command("keys", "rotate", "a", "--grace", "1h")
    line = command("keys", "list", "--state", "retiring").stdout.splitlines()[1].split()
    retires = json.loads(command("keys", "list", "--state", "retiring", "--json").stdout)[0]["retires_at"]
    assert line[8:11] == [retires[:10], retires[11:16], "UTC"]


def test_only_keys_that_work_are_listed_unless_others_are_wanted(command: Command) -> None:
    for name in ("kept", "replaced", "ended"):
        _made(command, name)
    command("keys", "rotate", "replaced", "--grace", "0")
    command("keys", "revoke", "ended", "--yes")
    assert _names(command) == ["kept", "replaced"]
    assert _names(command, "--all") == ["kept", "replaced", "ended", "replaced"]
    assert _names(command, "--state", "revoked", "--state", "retired") == ["replaced", "ended"]
    assert command("keys", "list").stderr == "2 more are in other states; --all shows them too.\n"
    assert command("keys", "list", "--all").stderr == ""
    assert command("keys", "list", "--state", "lost").exit_code == 2


@pytest.mark.parametrize(
    ("days", "rotation", "reminder"),
    [
        (97, {}, "rotate: 97 days old"),
        (89, {}, None),
        (8, {"AI_GATEWAY_KEY_ROTATION": "7d"}, "rotate: 8 days old"),
        (400, {"AI_GATEWAY_KEY_ROTATION": "0"}, None),
    ],
)
def test_an_old_key_is_due(command: Command, days: int, rotation: dict[str, str], reminder: str | None) -> None:
    for name in ("old", "young"):
        _made(command, name)
    made_days_ago("old", days)
    old, young = json.loads(command("keys", "list", "--json", env=rotation).stdout)
    assert (old["reminder"], young["reminder"]) == (reminder, None)
    for line in (command("keys", "list", env=rotation).stdout, command("keys", "show", "old", env=rotation).stdout):
        assert ("rotate: " in line) is (reminder is not None)


def test_a_key_that_was_rotated_is_not_due_any_more(command: Command) -> None:
    _made(command, "old")
    made_days_ago("old", 100)
    command("keys", "rotate", "old")
    assert [row["reminder"] for row in json.loads(command("keys", "list", "--json").stdout)] == [None, None]


def test_one_key_in_full(command: Command) -> None:
    made = _made(command, "production-api-primary", "--allow-ip", "10.0.0.0/8", "--limit", "usd_per_day=5")
    use(made["id"], times=2)
    lines = dict(line.split(maxsplit=1) for line in command("keys", "show", made["id"]).stdout.splitlines())
    assert lines["key"] == made["masked"]
    assert lines["addresses"] == "10.0.0.0/8"
    assert lines["models"] == "all"
    assert lines["limits"] == "usd_per_day=5"
    assert lines["requests"] == "2, of which 0 failed (0.0%)"
    assert lines["cost"] == "$0.005"


def test_control_characters_of_callers_are_not_shown_as_such(command: Command) -> None:
    made = _made(command, "production-api-primary")
    use(made["id"], address="\x1b[31m")
    shown = command("keys", "callers", "production-api-primary").stdout
    assert "[31m" in shown
    assert "\x1b" not in shown


def test_callers_and_when_they_last_called(command: Command) -> None:
    made = _made(command, "production-api-primary")
    assert command("keys", "callers", made["id"]).stdout == f"Nobody has used {made['id']}.\n"
    use(made["id"], times=2, address="192.0.2.7")
    use(made["id"], address="192.0.2.9", at=1_700_000_000)
    lines = command("keys", "callers", "production-api-primary").stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["192.0.2.7", "openai-python/2.0", "2"],
        ["192.0.2.9", "openai-python/2.0", "1"],
    ]
    since = json.loads(command("keys", "callers", made["id"], "--since", "1d", "--json").stdout)
    assert [(one["address"], one["requests"]) for one in since] == [("192.0.2.7", 2)]


def test_a_narrow_terminal_shows_whole_ids_and_says_what_it_has_no_room_for(command: Command, tmp_path: Path) -> None:
    made = _made(command, "production-dashboard-models")
    with AtTerminal("keys", "list", directory=tmp_path) as terminal:
        assert terminal.exit_code() == 0
    headings, row, said = terminal.shown.splitlines()
    assert headings.split("  ")[0] == "id"
    assert row.split()[:2] == [made["id"], "production-dashboard-models"]
    assert max(len(headings), len(row)) <= 80
    assert said.startswith("No room for: environment, key, ")
