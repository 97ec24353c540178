"""Tree -> one Python function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ai_gateway_mw.cel.checker import Checked
from ai_gateway_mw.cel.evaluator import Evaluator
from ai_gateway_mw.cel.nodes import Node


def plan(root: Node, checked: Checked, evaluator: Evaluator) -> Callable[[Any], Any]:
    """A function from an activation to the value of the tree."""
    return lambda activation: evaluator.run(root, activation)
