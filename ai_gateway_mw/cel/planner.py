"""Tree -> one Python function, generated when the expression is loaded.

Its source holds only names that are made here and literals by `repr`. It takes the happy path bare: on any exception,
and wherever a guard fails, the evaluator is asked, whose answer or error is the exact one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ai_gateway_mw.cel import plan_calls
from ai_gateway_mw.cel.checker import Checked
from ai_gateway_mw.cel.evaluator import Evaluator
from ai_gateway_mw.cel.limits import OverBudget
from ai_gateway_mw.cel.nodes import (
    Apply,
    Comprehension,
    Conditional,
    Has,
    Index,
    ListLiteral,
    Literal,
    Local,
    Logic,
    MapLiteral,
    Node,
    Present,
    Read,
    Select,
    children,
)
from ai_gateway_mw.cel.plan_loops import loop
from ai_gateway_mw.cel.types import DYN, ObjectType, Type, unwrapped
from ai_gateway_mw.cel.values import MISSING, UInt


class Unplanned(Exception):
    """A loop holds something that the evaluator, which counts its work, should do as a whole."""


class Stumble(Exception):
    """The generated code met something that it was not made for; the evaluator takes over."""


def stumble() -> Any:
    raise Stumble


def plan(root: Node, checked: Checked, evaluator: Evaluator) -> Callable[[Any], Any]:
    """A function from an activation to the value of the tree."""
    writer = Writer(checked.types, evaluator)
    try:
        return writer.function(root)
    except (RecursionError, SyntaxError, MemoryError):  # too deep for Python's own compiler
        return writer.exact(root)


class Writer:
    """Writes one function: `source` gives the Python expression for a node."""

    def __init__(self, types: dict[Node, Type], evaluator: Evaluator) -> None:
        self._types = types
        self.evaluator = evaluator
        self.names: dict[str, Any] = {"stumble": stumble, "OverBudget": OverBudget}
        self.helpers: list[str] = []
        self.loops: list[str] = []
        self.locals: dict[str, str] = {}
        self.budgeted = False
        self._made = 0
        self._rules: dict[type[Node], Callable[[Any], str]] = {
            Literal: self._literal,
            Read: self._read,
            Local: lambda node: self.locals[node.name],
            Select: self._select,
            Index: self._index,
            Has: self._has,
            Apply: lambda node: plan_calls.source(self, node),
            Logic: self._logic,
            Conditional: self._conditional,
            ListLiteral: self._list,
            MapLiteral: self._map,
            Comprehension: self.walk,
            Present: lambda node: f"({self._read(node.read)} is not None)",
        }

    def function(self, root: Node) -> Callable[[Any], Any]:
        """The generated function; the evaluator itself where nothing can be gained."""
        self.budgeted = _loops(root) > _LOOPS_WITHOUT_BUDGET
        body = self.source(root)
        self.names["exact"] = self.exact(root)
        if body.startswith("exact_"):
            return self.exact(root)
        opening = f"    b = {self.constant('Budget', self.evaluator.budget)}()\n" if self.budgeted else ""
        text = "".join(self.helpers) + _FUNCTION.format(opening=opening, body=body)
        exec(compile(text, "<cel>", "exec"), self.names)  # noqa: S102 - see the head of this file
        made: Callable[[Any], Any] = self.names["expression"]
        return made

    def exact(self, node: Node) -> Callable[[Any], Any]:
        evaluator = self.evaluator
        return lambda activation: evaluator.run(node, activation)

    # what the rules and their neighbours in plan_calls and plan_loops write with

    def type_of(self, node: Node) -> Type:
        return self._types.get(node, DYN)

    def source(self, node: Node) -> str:
        rule = self._rules.get(type(node))
        return rule(node) if rule else self.ask(node)

    def fresh(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made}"

    def constant(self, prefix: str, value: Any) -> str:
        name = self.fresh(f"{prefix}_")
        self.names[name] = value
        return name

    def ask(self, node: Node) -> str:
        """Leaves a part of the tree to the evaluator; inside a loop only what cannot be much work."""
        if self.loops and not _is_cheap(node):
            raise Unplanned
        evaluator = self.evaluator
        name = self.constant("exact", lambda activation, **locals_: evaluator.run(node, activation, locals_))
        passed = "".join(f", {known}={variable}" for known, variable in self.passed())
        return f"{name}(a{passed})"

    def passed(self) -> list[tuple[str, str]]:
        """The variables of macros that are visible here: the evaluator's name and ours."""
        return [(known, variable) for known, variable in self.locals.items() if known.isidentifier()]

    def boolean(self, node: Node) -> str:
        """Source that gives True or False, or stumbles."""
        text = self.source(node)
        if self.type_of(node).name == "bool":
            return text
        held = self.fresh("t")
        return f"(True if ({held} := {text}) is True else False if {held} is False else stumble())"

    def walk(self, node: Comprehension) -> str:
        """A loop; the outermost one is left to the evaluator if anything in it has to be."""
        known = len(self.loops), dict(self.locals)
        try:
            return loop(self, node)
        except Unplanned:
            if known[0]:
                raise
            self.loops.clear()
            self.locals = known[1]
            return self.ask(node)

    # rules

    def _literal(self, node: Literal) -> str:
        value = node.value
        plain = value is None or type(value) in (bool, str) or (type(value) is int and not isinstance(value, UInt))
        if plain or (type(value) is float and math.isfinite(value)):
            return f"({value!r})"
        return self.constant("c", value)

    def _read(self, node: Read) -> str:
        variable = node.variable
        if variable.read is None:
            return f"a[{variable.name!r}]"
        return f"{self.constant('read', variable.read)}(a)"

    def _select(self, node: Select) -> str:
        type_ = unwrapped(self.type_of(node.operand))
        operand = self.source(node.operand)
        if node.optional or type_.name == "optional_type" or isinstance(node.operand, _UNINDEXED):
            return self.ask(node)
        if isinstance(type_, ObjectType):
            return (
                f"{operand}.{node.field}"
                if node.field.isidentifier() and node.field in type_.fields
                else self.ask(node)
            )
        return f"{operand}[{node.field!r}]"

    def _index(self, node: Index) -> str:
        type_, key = self.type_of(node.operand), node.key
        if node.optional or type_.name not in ("list", "map", "dyn") or isinstance(node.operand, _UNINDEXED):
            return self.ask(node)
        if isinstance(key, Literal) and type(key.value) is str and type_.name != "list":
            return f"{self.source(node.operand)}[{key.value!r}]"
        if isinstance(key, Literal) and type(key.value) is int and key.value >= 0 and type_.name == "list":
            return f"{self.source(node.operand)}[{key.value}]"
        if self.type_of(key).name == "string" and type_.name == "map":
            return f"{self.source(node.operand)}[{self.source(key)}]"
        return f"{self.constant('at', self._at)}({self.source(node.operand)}, {self.source(key)})"

    def _at(self, operand: Any, key: Any) -> Any:
        if type(operand) is list and type(key) is int and key >= 0:
            return operand[key]
        value = self.evaluator.at(operand, key)
        return stumble() if value is MISSING else value

    def _has(self, node: Has) -> str:
        type_, key = unwrapped(self.type_of(node.operand)), node.key
        if not isinstance(key, Literal) or type(key.value) is not str:
            return self.ask(node)
        operand = self.source(node.operand)
        if type_.name == "map":
            return f"({key.value!r} in {operand})"
        if isinstance(type_, ObjectType) and key.value in type_.fields and key.value.isidentifier():
            return f"({operand}.{key.value} is not None)"
        if type_.name != "dyn":
            return self.ask(node)
        held = self.fresh("t")
        return (
            f"(({key.value!r} in {held}) if ({held} := {operand}).__class__ is dict else {self._held_has(node, held)})"
        )

    def _held_has(self, node: Has, held: str) -> str:
        evaluator, key = self.evaluator, node.key.value if isinstance(node.key, Literal) else None
        return f"{self.constant('has', lambda operand: evaluator.present(node, operand, key))}({held})"

    def _logic(self, node: Logic) -> str:
        word = " and " if node.op == "&&" else " or "
        return f"({word.join(self.boolean(each) for each in node.operands)})"

    def _conditional(self, node: Conditional) -> str:
        return f"({self.source(node.yes)} if {self.boolean(node.test)} else {self.source(node.no)})"

    def _list(self, node: ListLiteral) -> str:
        return self.ask(node) if node.optional else f"[{', '.join(map(self.source, node.elements))}]"

    def _map(self, node: MapLiteral) -> str:
        keys = [entry.key.value for entry in node.entries if isinstance(entry.key, Literal)]
        named = all(type(key) is str for key in keys) and len(set(keys)) == len(keys) == len(node.entries)
        if not named or any(entry.optional for entry in node.entries):
            return self.ask(node)
        pairs = [f"{key!r}: {self.source(entry.value)}" for key, entry in zip(keys, node.entries, strict=True)]
        return f"{{{', '.join(pairs)}}}"


_FUNCTION = """
def expression(a):
{opening}    try:
        return {body}
    except OverBudget:
        raise
    except Exception:
        return exact(a)
"""
_UNINDEXED = (Literal, ListLiteral)  # Python's compiler warns where their indexes are wrong
_LOOPS_WITHOUT_BUDGET = 4
_CHEAP = (Select, Index, Has, Present, Read, Local, Literal)


def _loops(node: Node) -> int:
    return isinstance(node, Comprehension) + sum(map(_loops, children(node)))


def _is_cheap(node: Node) -> bool:
    return isinstance(node, _CHEAP) and all(map(_is_cheap, children(node)))
