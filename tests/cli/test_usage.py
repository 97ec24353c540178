"""`usage`: requests, tokens and cost of all keys or one, by key, day or model."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cli.conftest import Command
from tests.cli.stored import use

NOW = datetime.now(UTC)
EARLIER = NOW - timedelta(days=10)


@pytest.fixture
def keys(command: Command) -> list[str]:
    """Two keys: one used today and ten days ago, the other today."""
    ids = [json.loads(command("keys", "create", name, "--json").stdout)["id"] for name in ("one", "two")]
    use(ids[0], times=2)
    use(ids[0], at=EARLIER.timestamp())
    use(ids[1], error=True)
    return ids


def _rows(command: Command, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(command("usage", "--json", *options).stdout)
    return rows


def test_by_key_with_a_sum(command: Command, keys: list[str]) -> None:
    lines = [line.split()[:7] for line in command("usage").stdout.splitlines()]
    assert lines[1:] == [
        [keys[0], "one", "3", "0", "30", "15", "$0.0075"],
        [keys[1], "two", "1", "1", "10", "5", "$0.0025"],
        ["total", "4", "1", "40", "20", "$0.01", f"{NOW:%Y-%m-%d}"],
    ]


def test_by_day(command: Command, keys: list[str]) -> None:
    rows = _rows(command, "--by", "day")
    assert [(row["day"], row["requests"]) for row in rows] == [(f"{EARLIER:%Y-%m-%d}", 1), (f"{NOW:%Y-%m-%d}", 3)]


def test_by_model(command: Command, keys: list[str]) -> None:
    (row,) = _rows(command, "--by", "model")
    assert (row["provider"], row["model"], row["requests"], row["cost"]) == ("openai", "gpt-4o", 4, "0.01")


@pytest.mark.parametrize(
    ("options", "requests"),
    [
        (["--since", "7d"], [2, 1]),
        (["--until", "7d"], [1]),
        (["--since", f"{EARLIER:%Y-%m-%d}"], [3, 1]),
        (["--key", "one"], [3]),
        (["--key", "two", "--until", "7d"], []),
    ],
)
def test_of_some_days_or_one_key(command: Command, keys: list[str], options: list[str], requests: list[int]) -> None:
    assert [row["requests"] for row in _rows(command, *options)] == requests


def test_a_key_that_is_not_there(command: Command, keys: list[str]) -> None:
    result = command("usage", "--key", "nobody")
    assert (result.exit_code, result.stderr) == (
        1,
        "there is no key `nobody`; `ai-gateway keys list --all` shows them all\n",
    )
