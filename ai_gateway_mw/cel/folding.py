"""What can be worked out when the expression is loaded: calls of literals, patterns, time literals."""

from __future__ import annotations

from ai_gateway_mw.cel.checker import Checked
from ai_gateway_mw.cel.evaluator import Evaluator
from ai_gateway_mw.cel.nodes import Node


def folded(checked: Checked, evaluator: Evaluator) -> Node:
    """The tree with its constant parts replaced by their values."""
    return checked.root
