"""`keys new`: the key alone on standard output, so that it can be piped on."""

from __future__ import annotations

from ai_gateway_mw.keys import well_formed
from tests.cli.conftest import Command


def test_it_prints_a_new_key_each_time(command: Command) -> None:
    first, second = command("keys", "new"), command("keys", "new")
    assert first.exit_code == 0
    assert well_formed(first.stdout.removesuffix("\n"))
    assert first.stdout != second.stdout


def test_what_to_do_with_it_stands_beside(command: Command) -> None:
    made = command("keys", "new")
    assert "gateway-auth" in made.stderr
    assert made.stdout.strip() not in made.stderr


def test_it_can_go_straight_into_the_vault(command: Command) -> None:
    key = command("keys", "new").stdout
    assert command("secrets", "set", "gateway", "first", input=key).exit_code == 0
