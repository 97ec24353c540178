"""The benchmark of expressions: it compares what is the same, and generated code has not become many times as dear."""

from __future__ import annotations

import pytest

from benchmarks.cel import CASES, Case, data, ours, run, same, table


def test_there_are_as_many_cases_as_the_figures_speak_of() -> None:
    assert len({case.name for case in CASES}) == len(CASES) == 23


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_an_expression_gives_what_its_floor_gives(case: Case) -> None:
    given = data(case.keys)
    assert same(ours()(case.text)(given), case.floor(given))


@pytest.mark.slow
@pytest.mark.subprocess
def test_an_expression_costs_a_bounded_multiple_of_its_floor() -> None:
    result = run(seconds=2)
    assert result["geometric_mean"]["ours"] < 10
    assert result["compile_us"]["median"] < 10_000
    assert "geometric mean" in table(result)
