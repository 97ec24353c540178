"""Names, arity and types, before anything runs. Replaces names and calls by what they stand for.

A tree that was not checked (`strict=False`) goes the same way, with every type taken as unknown. The rules of each
family of nodes are in checking/; here is what they share, and the logic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.checking.calls import CALLS
from ai_gateway_mw.cel.checking.literals import LITERALS
from ai_gateway_mw.cel.checking.macros import MACRO_RULES
from ai_gateway_mw.cel.checking.paths import PATHS
from ai_gateway_mw.cel.limits import Limits
from ai_gateway_mw.cel.nodes import Conditional, Literal, Logic, Node, children
from ai_gateway_mw.cel.problems import ExpressionProblem
from ai_gateway_mw.cel.types import BOOL, DYN, Bindings, Type, TypeParam, assign, join, substitute

if TYPE_CHECKING:
    from ai_gateway_mw.cel.scope import Scope

Typed = tuple[Node, Type]
Rule = Callable[["Checker", Any], Typed]

_MOST_PROBLEMS = 20  # nobody reads more, and each takes a search for what was meant


@dataclass(slots=True)
class Checked:
    """A tree that can be evaluated, and what was found out about it."""

    root: Node
    types: dict[Node, Type]
    problems: list[ExpressionProblem] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)
    functions: set[str] = field(default_factory=set)
    selects: set[str] = field(default_factory=set)
    sensitive: bool = False
    secret: set[Node] = field(default_factory=set)  # nodes whose value was made from a secret


def check(tree: Node, scope: Scope, limits: Limits, expect: Type | None, *, strict: bool) -> Checked:
    """Everything that is wrong with a tree, and the tree with its names resolved."""
    return Checker(scope, limits, strict=strict).whole(tree, expect)


class _Enough(Exception):
    """There are so many problems that the rest is not looked at."""


class Checker:
    """One tree being checked: `locals` are the variables of the macros around a node, `secret` the nodes whose value
    was made from a secret, `patterns` what the regular expressions may still take."""

    def __init__(self, scope: Scope, limits: Limits, *, strict: bool) -> None:
        self.scope = scope
        self.limits = limits
        self.strict = strict
        self.bindings: Bindings = {}
        self.locals: dict[str, tuple[str, Type]] = {}
        self.secret_locals: set[str] = set()
        self.loops = 0
        self.patterns = limits.patterns
        self.out = Checked(Literal(0, 0, None), {})
        self.secret = self.out.secret
        self._count = 0

    def whole(self, tree: Node, expect: Type | None) -> Checked:
        out = self.out
        try:
            out.root, type_ = self.check(tree)
            if expect is not None and not assign(type_, expect, self.bindings):
                self.problem(tree, f"expected {expect}, but this is {self.shown(type_)}")
        except _Enough:
            return out
        out.types = {node: substitute(each, self.bindings, close=True) for node, each in out.types.items()}
        return out

    def check(self, node: Node) -> Typed:
        """The node that is meant, and its type."""
        made, type_ = _RULES[type(node)](self, node)
        if not self.strict:
            type_ = DYN
        self.out.types[made] = type_
        if self.secret and any(child in self.secret for child in children(made)):
            self.secret.add(made)
        return made, type_

    def problem(self, node: Node, message: str, hint: str = "") -> None:
        """Notes what is wrong with a node; where nothing is checked, it fails only when it is reached."""
        if self.strict:
            self.refuse(node, message, hint)

    def refuse(self, node: Node, message: str, hint: str = "") -> None:
        """Notes what no expression may have, whether it is checked or not."""
        self.out.problems.append(ExpressionProblem(message, node.offset, node.length, hint))
        if len(self.out.problems) == _MOST_PROBLEMS:
            raise _Enough

    def need(self, node: Node, actual: Type, wanted: Type, message: str) -> None:
        """Notes a problem unless a value of type `actual` may stand where `wanted` is."""
        if not assign(actual, wanted, self.bindings):
            self.problem(node, message.format(actual=self.shown(actual), wanted=self.shown(wanted)))

    def boolean(self, node: Node, what: str) -> Node:
        """A node that must be true or false."""
        made, type_ = self.check(node)
        if not assign(type_, BOOL, self.bindings):
            self.problem(node, f"{what} must be bool, but this is {self.shown(type_)}")
        return made

    def known(self, type_: Type) -> Type:
        """The type as far as it is known by now."""
        return substitute(type_, self.bindings)

    def shown(self, type_: Type) -> Type:
        """The type as messages show it."""
        return substitute(type_, self.bindings, close=True)

    def fresh(self, letter: str = "T") -> Type:
        """A type parameter that nothing else has."""
        self._count += 1
        return TypeParam(f"{letter}{self._count}")

    def enter(self, name: str, type_: Type, *, secret: bool = False) -> str:
        """Declares a variable of a macro under a name that no other variable of the expression has."""
        self._count += 1
        unique = f"{name}_{self._count}"
        self.locals[name] = (unique, type_)
        if secret:
            self.secret_locals.add(unique)
        return unique


def _logic(checker: Checker, node: Logic) -> Typed:
    operands = tuple(checker.boolean(each, f"what stands beside `{node.op}`") for each in node.operands)
    return Logic(node.offset, node.length, node.op, operands), BOOL


def _conditional(checker: Checker, node: Conditional) -> Typed:
    test = checker.boolean(node.test, "what stands before `?`")
    yes, yes_type = checker.check(node.yes)
    no, no_type = checker.check(node.no)
    made = Conditional(node.offset, node.length, test, yes, no)
    if not assign(no_type, yes_type, checker.bindings):
        both = f"{checker.shown(yes_type)} and {checker.shown(no_type)}"
        checker.problem(node, f"both sides of `:` must have one type; these are {both}")
        return made, DYN
    return made, join(yes_type, no_type, checker.bindings)


_RULES: dict[type[Node], Rule] = {**PATHS, **CALLS, **LITERALS, **MACRO_RULES, Logic: _logic, Conditional: _conditional}
