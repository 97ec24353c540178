"""Calls of functions; literal regular expressions are looked at as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_gateway_mw.cel.checking.overloads import CallError, resolve
from ai_gateway_mw.cel.nodes import Apply, Call, Literal, Name, Node
from ai_gateway_mw.cel.patterns import PATTERN_ARGUMENT, bad_pattern, size_of
from ai_gateway_mw.cel.scope import MACROS, chain, spelled
from ai_gateway_mw.cel.secrecy import CONSTANT_TIME
from ai_gateway_mw.cel.types import DYN

if TYPE_CHECKING:
    from ai_gateway_mw.cel.checker import Checker, Rule, Typed
_READ_AS = {True: "what is in it is read as `{0}['name']`", False: "write it without `()`"}
_PLACES_OF_A_WRONG_ONE = 4096  # RE2 takes time to refuse one, too


def _call(checker: Checker, node: Call) -> Typed:
    name, target = _function(checker, node)
    if name in MACROS and name not in checker.scope.functions:
        return _refused(checker, node, f"`{name}` is used as in `{MACROS[name]}`")
    if name == "sort" and target is not None and node.args:  # often written with names that only a macro would declare
        return _refused(checker, node, "`sort` takes no arguments; to sort by a key, write list.sortBy(x, key)")
    value = _called_value(checker, node)
    if value:
        return _refused(checker, node, f"`{value}` is no function; {_READ_AS[bool(node.args)].format(value)}")
    args = [checker.check(arg) for arg in ((target, *node.args) if target is not None else node.args)]
    types = tuple(type_ for _, type_ in args)
    checker.out.functions.add(name)
    try:
        overloads, result = resolve(
            checker.scope,
            name,
            types,
            checker.bindings,
            checker.fresh,
            member=target is not None,
            strict=checker.strict,
        )
    except CallError as error:
        checker.problem(node, str(error), error.hint)
        return Apply(node.offset, node.length, name, (), tuple(arg for arg, _ in args)), DYN
    nodes = tuple(_pattern(checker, name, place, arg) for place, (arg, _) in enumerate(args))
    secret = any(arg in checker.secret for arg in nodes)
    made = Apply(node.offset, node.length, name, overloads, nodes, secret and name in CONSTANT_TIME)
    if any(overload.sensitive for overload in overloads):
        checker.secret.add(made)
        checker.out.sensitive = True
    return made, result


def _refused(checker: Checker, node: Call, message: str) -> Typed:
    """A call with one problem; what else is wrong with its arguments comes from that."""
    checker.problem(node, message)
    return Apply(node.offset, node.length, node.function, (), ()), DYN


def _called_value(checker: Checker, node: Call) -> str:
    """What is called although it is a declared value, such as `req.headers`; an empty string where that is not so."""
    parts = None if node.target is None or node.function in checker.scope.functions else chain(node.target)
    if parts is None or (isinstance(parts[0], Name) and parts[0].name in checker.locals):
        return ""
    qualified = f"{spelled(parts)}.{node.function}"
    known = checker.scope.function(qualified) is None and checker.scope.variable(qualified) is not None
    return qualified if known else ""


def _function(checker: Checker, node: Call) -> tuple[str, Node | None]:
    """The full name of what is called, and its receiver: none if the dots belong to the name."""
    if node.target is None:
        return checker.scope.function(node.function) or node.function.removeprefix("."), None
    parts = chain(node.target)
    if parts is None or (isinstance(parts[0], Name) and parts[0].name in checker.locals):
        return node.function, node.target
    qualified = f"{spelled(parts)}.{node.function}"
    found = checker.scope.function(qualified)
    if found is None and checker.scope.is_namespace(spelled(parts)) and checker.scope.variable(spelled(parts)) is None:
        return qualified, None
    return (found, None) if found else (node.function, node.target)


def _pattern(checker: Checker, function: str, place: int, arg: Node) -> Node:
    """A literal regular expression that RE2 refuses is a problem now."""
    if PATTERN_ARGUMENT.get(function) == place and isinstance(arg, Literal) and isinstance(arg.value, str):
        wrong = bad_pattern(arg.value)
        checker.patterns -= _PLACES_OF_A_WRONG_ONE if wrong else size_of(arg.value)
        if wrong:
            checker.refuse(arg, wrong)
        elif checker.patterns < 0:
            checker.refuse(arg, "the regular expressions of this expression are too large together")
    return arg


CALLS: dict[type[Node], Rule] = {Call: _call}
