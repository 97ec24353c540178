"""The first benchmark: that it runs, and that the gateway has not become many times as dear as passing through."""

from __future__ import annotations

import pytest

from benchmarks.passthrough import SCENARIOS, run, table


@pytest.mark.slow
@pytest.mark.subprocess
def test_the_gateway_costs_a_bounded_multiple_of_a_bare_app() -> None:
    results = run(rounds=1, connections=4, seconds=0.3)
    assert list(results) == list(SCENARIOS)
    for result in results.values():
        assert result["rate_ratio"]["median"] > 0.1
        assert result["gateway"]["requests_per_second"] > 0
    assert "gateway : bare" in table(results)
