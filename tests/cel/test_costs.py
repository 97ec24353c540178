"""What calls count for."""

from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw.cel.costs import cost, extent, is_endless

LONG = "x" * 100_000
LIST = list(range(1000))


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("size", (LIST,)),
        ("startsWith", (LONG, "x")),
        ("_in_", ("a", dict.fromkeys(LIST))),
        ("orValue", (1, 2)),
    ],
)
def test_some_calls_cost_nothing_more(function: str, args: tuple[Any, ...]) -> None:
    assert cost(function, args) == 0


@pytest.mark.parametrize(
    ("function", "args"),
    [
        ("lower", (LONG,)),
        ("contains", (LONG, "y")),
        ("json.decode", (LONG,)),
        ("json.encode", (LIST,)),
        ("_in_", (1, LIST)),
        ("_==_", (LIST, LIST)),
        ("sort", (LIST,)),
        ("format", ("%s", LIST)),
        ("sets.contains", (LIST, [1, 2, 3])),
        ("distinct", ([[1], [2]] * 100,)),
        ("matches", (LONG, "a.{50}b")),
        ("regex.replace", (LONG, "x", "y")),
        ("lists.range", (1000,)),
        ("anything", (LONG, LIST)),
    ],
)
def test_others_cost_more_the_more_they_look_at(function: str, args: tuple[Any, ...]) -> None:
    smaller = tuple(arg[: len(arg) // 4] if isinstance(arg, (str, list)) and len(arg) > 9 else arg for arg in args)
    smaller = (100,) if function == "lists.range" else smaller
    assert cost(function, args) > cost(function, smaller)


def test_all_that_is_inside_counts() -> None:
    assert extent([1, 2, 3]) == 5
    assert extent({"a": [1]}) == 2 + 2 + 2 + 1
    assert extent("x" * 64) == 2
    assert not is_endless([LIST] * 10)
    assert is_endless([LIST] * 40)
    assert is_endless([LIST, [LIST] * 40])
