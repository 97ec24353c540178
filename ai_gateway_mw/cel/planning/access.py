"""Source for variables, fields, keys, indexes and `has`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.nodes import Has, Index, ListLiteral, Literal, Local, Node, Present, Read, Select
from ai_gateway_mw.cel.planning import optionals
from ai_gateway_mw.cel.planning.guards import stumble
from ai_gateway_mw.cel.types import ObjectType, unwrapped
from ai_gateway_mw.cel.values import MISSING

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Rule, Writer

_UNINDEXED = (Literal, ListLiteral)  # Python's compiler warns where their indexes are wrong


def _read(writer: Writer, node: Read) -> str:
    variable = node.variable
    if variable.read is None:
        return f"a[{variable.name!r}]"
    return f"{writer.constant('read', variable.read)}(a)"


def _local(writer: Writer, node: Local) -> str:
    return writer.locals[node.name]


def _present(writer: Writer, node: Present) -> str:
    return f"({_read(writer, node.read)} is not None)"


def _select(writer: Writer, node: Select) -> str:
    type_ = unwrapped(writer.type_of(node.operand))
    if node.optional or type_.name == "optional_type":
        return optionals.wrapped(writer, node)
    if isinstance(node.operand, _UNINDEXED):
        return writer.ask(node)
    if not isinstance(type_, ObjectType):
        return f"{writer.source(node.operand)}[{node.field!r}]"
    if node.field.isidentifier() and node.field in type_.fields:
        return f"{writer.source(node.operand)}.{node.field}"
    return writer.ask(node)


def _index(writer: Writer, node: Index) -> str:
    type_, key = writer.type_of(node.operand), node.key
    if node.optional or type_.name == "optional_type":
        return optionals.wrapped(writer, node)
    if type_.name not in ("list", "map", "dyn") or isinstance(node.operand, _UNINDEXED):
        return writer.ask(node)
    operand = writer.source(node.operand)
    if isinstance(key, Literal) and type(key.value) is str and type_.name != "list":
        return f"{operand}[{key.value!r}]"
    if isinstance(key, Literal) and type(key.value) is int and key.value >= 0 and type_.name == "list":
        return f"{operand}[{key.value}]"
    if writer.type_of(key).name == "string" and type_.name == "map":
        return f"{operand}[{writer.source(key)}]"
    return f"{writer.constant('at', _looking(writer))}({operand}, {writer.source(key)})"


def _looking(writer: Writer) -> Callable[[Any, Any], Any]:
    at = writer.evaluator.lookups.at

    def look(operand: Any, key: Any) -> Any:
        if type(operand) is list and type(key) is int and key >= 0:
            return operand[key]
        value = at(operand, key)
        return stumble() if value is MISSING else value

    return look


def _has(writer: Writer, node: Has) -> str:
    type_, key = unwrapped(writer.type_of(node.operand)), node.key
    if not isinstance(key, Literal) or type(key.value) is not str:
        return writer.ask(node)
    operand = writer.source(node.operand)
    if type_.name == "map":
        return f"({key.value!r} in {operand})"
    if isinstance(type_, ObjectType) and key.value in type_.fields and key.value.isidentifier():
        return f"({operand}.{key.value} is not None)"
    held, other = writer.fresh("t"), writer.constant("has", writer.evaluator.lookups.present)
    slowly = f"{other}({held}, {key.value!r})"
    return f"(({key.value!r} in {held}) if ({held} := {operand}).__class__ is dict else {slowly})"


ACCESS: dict[type[Node], Rule] = {
    Read: _read, Local: _local, Present: _present, Select: _select, Index: _index, Has: _has,
}  # fmt: skip
