"""What can be worked out when an expression is loaded: calls of literals, among them times and types."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from ai_gateway_mw.cel.checker import Checked
from ai_gateway_mw.cel.evaluator import Evaluator
from ai_gateway_mw.cel.functions.net import CelCidr, CelIp
from ai_gateway_mw.cel.limits import Budget
from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.nodes import Apply, Literal, Node, children
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import BOOL

# Only what nobody can change is shared between evaluations; and no secret is worked out ahead.
_SHARED = (type(None), bool, int, float, str, bytes, Timestamp, Duration, CelIp, CelCidr)
_LONGEST = 4096
_STEPS = 5000  # for all of an expression; what would take longer is left for when it is evaluated


def folded(checked: Checked, evaluator: Evaluator) -> Node:
    """The tree with its constant parts replaced by their values; their types are noted in `checked`."""
    return _Folder(checked, evaluator).fold(checked.root)


class _Folder:
    def __init__(self, checked: Checked, evaluator: Evaluator) -> None:
        self._types = checked.types
        self._evaluator = evaluator
        self._budget = Budget(replace(evaluator.limits, steps=_STEPS))

    def fold(self, node: Node) -> Node:
        """The node itself where nothing below it is constant."""
        parts = children(node)
        if not parts:
            return node
        below = {child: self.fold(child) for child in parts}
        made = node if all(old is new for old, new in below.items()) else _rebuilt(node, below)
        if isinstance(made, Apply):
            made = self._call(made)
        if made is not node:
            self._types[made] = self._types.get(node, self._types.get(made, BOOL))
        return made

    def _call(self, node: Apply) -> Node:
        if any(each.contextual or each.sensitive for each in node.overloads) or not node.overloads:
            return node
        return self._constant(node) if all(isinstance(arg, Literal) for arg in node.args) else node

    def _constant(self, node: Apply) -> Node:
        """An error stays in the tree: it may never be reached, or be absorbed."""
        try:
            value = self._evaluator.run(node, None, None, self._budget)
        except EvaluationError:
            return node
        if not isinstance(value, _SHARED) or (isinstance(value, (str, bytes)) and len(value) > _LONGEST):
            return node
        return Literal(node.offset, node.length, value)


def _rebuilt(node: Node, below: dict[Node, Node]) -> Node:
    """A copy of the node with other nodes below it."""
    return type(node)(*(_replaced(getattr(node, field.name), below) for field in fields(node)))


def _replaced(part: Any, below: dict[Node, Node]) -> Any:
    if isinstance(part, tuple):
        return tuple(_replaced(each, below) for each in part)
    if isinstance(part, Node):
        return below[part] if part in below else _rebuilt(part, below)
    return part
