"""What tables of configs are tested with. Every action has one of configs that it takes, GOOD, and one of those that it
refuses, BAD. A row of that is the config, what stands in the policy where the problem is shown, and what is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.errors import Problem
from ai_gateway_mw.policy import Phase
from tests.gateways import actions, gateway, problems_of

INTERNAL = {"orders": "http://127.0.0.1:9"}


def loads(kind: str, config: Mapping[str, Any]) -> None:
    """The action takes this config, and nothing about it is doubtful."""
    assert gateway(_policy(kind, config), internal=INTERNAL).warnings == ()


def refuses(kind: str, config: Mapping[str, Any], at: str, says: str) -> Problem:
    """The action does not, for one reason, which is told in its place: `at` is what begins there."""
    policy = _policy(kind, config)
    (problem,) = problems_of(policy, internal=INTERNAL)
    assert says in problem.headline
    assert problem.place is not None
    lines = json.dumps(policy, ensure_ascii=False, indent=2).split("\n")
    assert lines[problem.place.line - 1][problem.place.column - 1 :].startswith(at)
    return problem


def phase_of(kind: str) -> str:
    """A phase in which the action may run; of requests, where it may."""
    phases = ACTIONS[kind].phases
    return (Phase.ON_HTTP_REQUEST if Phase.ON_HTTP_REQUEST in phases else min(phases)).value


def shown(config: Mapping[str, Any]) -> str:
    """What a config goes by among tests."""
    return str(config)[:60]


def _policy(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    return actions((kind, config), phase=phase_of(kind))
