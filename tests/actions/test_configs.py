"""Every action has its table of configs, and is refused in phases that are not its own."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.actions.examples import EXAMPLES
from ai_gateway_mw.policy import Phase
from tests.gateways import problems_of

FEWEST = 12
OTHER_PHASES = [(kind, phase.value) for kind in sorted(ACTIONS) for phase in Phase if phase not in ACTIONS[kind].phases]


@pytest.mark.parametrize("kind", sorted(ACTIONS))
def test_every_action_has_a_table_of_good_and_bad_configs(kind: str) -> None:
    table: Any = import_module(f"tests.actions.test_{kind.replace('-', '_')}")
    assert table.GOOD
    assert table.BAD
    assert table.test_configs_that_load
    assert table.test_configs_that_are_refused
    rows = [repr(config) for config in (*table.GOOD, *(config for config, _, _ in table.BAD))]
    assert len(set(rows)) == len(rows) >= FEWEST


@pytest.mark.parametrize(("kind", "phase"), OTHER_PHASES)
def test_an_action_is_refused_in_another_phase(kind: str, phase: str) -> None:
    text = f"{phase}:\n  - type: {kind}\n    config: {dict(EXAMPLES.get(kind, {}))}\n"
    (problem,) = problems_of(text)
    assert problem.headline.startswith(f"`{kind}` cannot run in {phase}; it runs in ")
    assert problem.place is not None
    assert (problem.place.line, problem.place.column) == (2, 11)
