"""Macros: their variables, and what they make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_gateway_mw.cel.nodes import Bind, Comprehension, Node, OptionalMap
from ai_gateway_mw.cel.types import (
    BOOL,
    DYN,
    INT,
    ListType,
    MapType,
    OptionalType,
    Type,
    is_open,
    substitute,
    with_article,
)

if TYPE_CHECKING:
    from ai_gateway_mw.cel.checker import Checker, Rule, Typed


def _element_types(checker: Checker, node: Comprehension, type_: Type) -> tuple[Type, ...]:
    """The types of the variables: element or key; with two, index and element, or key and value."""
    two = len(node.variables) == 2
    if type_.name == "list":
        return (INT, type_.params[0]) if two else type_.params
    if type_.name == "map":
        return type_.params if two else type_.params[:1]
    if not is_open(type_) and not type_.is_param:
        checker.problem(node, f"`{node.kind}` walks a list or a map, not {with_article(checker.shown(type_))}")
    return (DYN, DYN) if two else (DYN,)


def _comprehension(checker: Checker, node: Comprehension) -> Typed:
    range_, range_type = checker.check(node.range)
    types = _element_types(checker, node, checker.known(range_type))
    outer = dict(checker.locals)
    secret = range_ in checker.secret
    names = tuple(checker.enter(name, each, secret=secret) for name, each in zip(node.variables, types, strict=True))
    checker.loops += 1
    if checker.loops > checker.limits.loops:
        checker.refuse(node, f"macros may nest {checker.limits.loops} deep")
    test = None if node.test is None else checker.boolean(node.test, f"the test of `{node.kind}`")
    results = [checker.check(each) for each in node.result]
    checker.loops -= 1
    checker.locals = outer
    made = Comprehension(node.offset, node.length, node.kind, range_, names, test, tuple(each for each, _ in results))
    return made, _made(node, types, [type_ for _, type_ in results])


def _made(node: Comprehension, types: tuple[Type, ...], results: list[Type]) -> Type:
    match node.kind:
        case "all" | "exists" | "exists_one":
            return BOOL
        case "map":
            return ListType(results[0])
        case "transformMap":
            return MapType(types[0], results[0])
        case "transformMapEntry":
            return results[0]
        case "minBy" | "maxBy":
            return types[0]
        case _:
            return ListType(types[0])


def _bind(checker: Checker, node: Bind) -> Typed:
    value, type_ = checker.check(node.value)
    outer = dict(checker.locals)
    name = checker.enter(node.name, type_, secret=value in checker.secret)
    body, body_type = checker.check(node.body)
    checker.locals = outer
    return Bind(node.offset, node.length, name, value, body), body_type


def _optional_map(checker: Checker, node: OptionalMap) -> Typed:
    target, type_ = checker.check(node.target)
    inner = checker.fresh()
    checker.need(node, type_, OptionalType(inner), "this wants an optional value, not {actual}")
    outer = dict(checker.locals)
    name = checker.enter(node.name, substitute(inner, checker.bindings), secret=target in checker.secret)
    body, body_type = checker.check(node.body)
    checker.locals = outer
    made = OptionalMap(node.offset, node.length, target, name, body, node.flat)
    return made, body_type if node.flat else OptionalType(body_type)


MACRO_RULES: dict[type[Node], Rule] = {Comprehension: _comprehension, Bind: _bind, OptionalMap: _optional_map}
