"""Tree -> one Python function, generated when the expression is loaded.

Its source holds only names that are made here and literals by `repr`. It takes the happy path bare: on any exception,
and wherever a guard fails, the evaluator is asked, whose answer or error is the exact one. The rules for each family of
nodes are in planning/; here is what they write with, and the logic.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ai_gateway_mw.cel.checker import Checked
from ai_gateway_mw.cel.evaluator import Evaluator
from ai_gateway_mw.cel.folds import Walk
from ai_gateway_mw.cel.frames import Frame
from ai_gateway_mw.cel.limits import Budget, OverBudget
from ai_gateway_mw.cel.nodes import Apply, Comprehension, Conditional, Logic, Node, children
from ai_gateway_mw.cel.planning.access import ACCESS
from ai_gateway_mw.cel.planning.calls import CALLS
from ai_gateway_mw.cel.planning.guards import Share, stumble
from ai_gateway_mw.cel.planning.literals import LITERALS
from ai_gateway_mw.cel.planning.loops import AFTERWARDS, MACROS
from ai_gateway_mw.cel.planning.optionals import OPTIONALS
from ai_gateway_mw.cel.types import DYN, Type

Rule = Callable[["Writer", Any], str]

_FUNCTION = """
def expression(a):
{opening}    try:
        return {body}
    except OverBudget:
        raise
    except Exception:
        return exact(a)
"""
_NAMES = {"stumble": stumble, "OverBudget": OverBudget, "datetime": datetime, "UTC": UTC, **AFTERWARDS}
_LOOPS_WITHOUT_BUDGET = 4


def plan(root: Node, checked: Checked, evaluator: Evaluator) -> Callable[[Any], Any]:
    """A function from an activation to the value of the tree."""
    writer = Writer(checked.types, evaluator)
    try:
        return writer.function(root)
    except (RecursionError, SyntaxError, MemoryError):  # too deep for Python's own compiler
        return writer.exact(root)


class Writer:
    """Writes one function: `source` gives the Python expression for a node.

    `loops` are the macros around the node, `locals` the names of their variables. Outside of loops each call may take
    its `share` of the steps; inside, and wherever the evaluator is asked for a part, the work is charged to a budget.
    """

    def __init__(self, types: dict[Node, Type], evaluator: Evaluator) -> None:
        self._types = types
        self.evaluator = evaluator
        self.names: dict[str, Any] = dict(_NAMES)
        self.helpers: list[str] = []
        self.loops: list[str] = []
        self.locals: dict[str, str] = {}
        self.budgeted = False
        self.walks = 0
        self.share = Share(evaluator.limits, 0)
        self._made = 0

    def function(self, root: Node) -> Callable[[Any], Any]:
        """The generated function; the evaluator itself where nothing can be gained."""
        if type(root) not in _RULES:
            return self.exact(root)
        self.walks, calls = _counted(root)
        self.budgeted = self.walks > _LOOPS_WITHOUT_BUDGET
        self.share = Share(self.evaluator.limits, calls)
        body = self.source(root)
        self.names["exact"] = self.exact(root)
        limits = self.evaluator.limits
        opening = f"    b = {self.constant('budget', lambda: Budget(limits))}()\n" if self.budgeted else ""
        text = "".join(self.helpers) + _FUNCTION.format(opening=opening, body=body)
        exec(compile(text, "<cel>", "exec"), self.names)  # noqa: S102 - see the head of this file
        made: Callable[[Any], Any] = self.names["expression"]
        return made

    def exact(self, node: Node) -> Callable[[Any], Any]:
        evaluator = self.evaluator
        return lambda activation: evaluator.run(node, activation)

    # what the rules write with

    def type_of(self, node: Node) -> Type:
        return self._types.get(node, DYN)

    def source(self, node: Node) -> str:
        rule = _RULES.get(type(node))
        return rule(self, node) if rule else self.ask(node)

    def fresh(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made}"

    def constant(self, prefix: str, value: Any) -> str:
        name = self.fresh(f"{prefix}_")
        self.names[name] = value
        return name

    def budget(self) -> str:
        """The name of the budget; whoever asks for it makes that there is one."""
        self.budgeted = True
        return "b"

    def ask(self, node: Node) -> str:
        """Leaves a part of the tree to the evaluator."""
        evaluator = self.evaluator
        asked = lambda activation, budget, **locals_: evaluator.run(node, activation, locals_, budget)  # noqa: E731
        return f"{self.constant('asked', asked)}(a, {self.budget()}{self._passed()})"

    def walking(self, node: Comprehension, look: Callable[[Walk], Any]) -> str:
        """What the evaluator makes of one element of a walk: of its test, or of its key."""
        evaluator = self.evaluator

        def looked(activation: Any, budget: Budget, **locals_: Any) -> Any:
            return look(Walk(evaluator, node, Frame(activation, budget, locals_), ()))

        return f"{self.constant('looked', looked)}(a, {self._late_budget()}{self._passed()})"

    def _late_budget(self) -> str:
        """`budget`, for what few elements need: in an expression that walks once, there is none before one asks."""
        if self.budgeted or self.walks > 1:
            return self.budget()
        limits = self.evaluator.limits
        return f"(b := b or {self.constant('budget', lambda: Budget(limits))}())"

    def _passed(self) -> str:
        """The variables of macros that are visible here, under the evaluator's names."""
        return "".join(f", {known}={variable}" for known, variable in self.locals.items() if known.isidentifier())

    def boolean(self, node: Node) -> str:
        """Source that gives True or False, or stumbles."""
        text = self.source(node)
        if self.type_of(node).name == "bool":
            return text
        held = self.fresh("t")
        return f"(True if ({held} := {text}) is True else False if {held} is False else stumble())"


def _logic(writer: Writer, node: Logic) -> str:
    word = " and " if node.op == "&&" else " or "
    return f"({word.join(writer.boolean(each) for each in node.operands)})"


def _conditional(writer: Writer, node: Conditional) -> str:
    return f"({writer.source(node.yes)} if {writer.boolean(node.test)} else {writer.source(node.no)})"


_RULES: dict[type[Node], Rule] = {
    **ACCESS, **CALLS, **LITERALS, **MACROS, **OPTIONALS, Logic: _logic, Conditional: _conditional,
}  # fmt: skip


def _counted(root: Node) -> tuple[int, int]:
    """How many macros that walk and how many calls there are."""
    loops = calls = 0
    pending = [root]
    while pending:
        node = pending.pop()
        loops += isinstance(node, Comprehension)
        calls += isinstance(node, Apply)
        pending += children(node)
    return loops, calls
