"""Source for optional values. Inside a chain such as `a.?b.?c.orValue(d)`, what is absent is MISSING and no optional is
made; only where the value of a node is an optional as a whole is there one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.nodes import Apply, Index, Literal, Node, OptionalMap, Select
from ai_gateway_mw.cel.values import MISSING, NONE, OptionalValue, opened

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Rule, Writer


def wrapped(writer: Writer, node: Select | Index) -> str:
    """The optional that `.?`, `[?` or a step after one of them gives."""
    return f"{writer.constant('optional', _optional)}({_found(writer, node)})"


def _optional(value: Any) -> OptionalValue:
    return NONE if value is MISSING else OptionalValue(True, value)


def _found(writer: Writer, node: Node) -> str:
    """The value of an optional, or MISSING."""
    if not isinstance(node, (Select, Index)) or not _is_optional(writer, node):
        return f"{writer.constant('held', _held)}({writer.source(node)})"
    inner = _is_optional(writer, node.operand)
    operand = _found(writer, node.operand) if inner else writer.source(node.operand)
    key = repr(node.field) if isinstance(node, Select) else writer.source(node.key)
    literal = isinstance(node, Select) or (isinstance(node.key, Literal) and type(node.key.value) is str)
    if literal and not inner and writer.type_of(node.operand).name == "map":
        return f"{operand}.get({key}, {writer.constant('MISSING', MISSING)})"
    return f"{writer.constant('peek', _peeking(writer))}({operand}, {key})"


def _is_optional(writer: Writer, node: Node) -> bool:
    return writer.type_of(node).name == "optional_type" or (isinstance(node, (Select, Index)) and node.optional)


def _held(value: Any) -> Any:
    return value.value if opened(value).present else MISSING


def _peeking(writer: Writer) -> Callable[[Any, Any], Any]:
    lookups = writer.evaluator.lookups

    def peek(operand: Any, key: Any) -> Any:
        if operand.__class__ is dict and key.__class__ is str:
            return operand.get(key, MISSING)
        return MISSING if operand is MISSING else _held(lookups.optional(operand, key))

    return peek


def or_value(writer: Writer, node: Apply) -> str | None:
    """`optional.orValue(other)`: the other one is evaluated only if it is needed."""
    held = writer.fresh("t")
    missing = writer.constant("MISSING", MISSING)
    if not _is_optional(writer, node.args[0]):
        return None
    found = f"({held} := {_found(writer, node.args[0])}) is not {missing}"
    return f"({held} if {found} else {writer.source(node.args[1])})"


def alternative(writer: Writer, node: Apply) -> str | None:
    """`optional.or(other)`."""
    if not _is_optional(writer, node.args[0]):
        return None
    held = writer.fresh("t")
    check = f"({held} := {writer.constant('opened', opened)}({writer.source(node.args[0])})).present"
    return f"({held} if {check} else {writer.constant('opened', opened)}({writer.source(node.args[1])}))"


def has_value(writer: Writer, node: Apply) -> str | None:
    if not _is_optional(writer, node.args[0]):
        return None
    return f"({_found(writer, node.args[0])} is not {writer.constant('MISSING', MISSING)})"


def made(writer: Writer, node: Apply) -> str:
    """`optional.of(value)`."""
    return f"{writer.constant('OptionalValue', OptionalValue)}(True, {writer.source(node.args[0])})"


def _mapped(writer: Writer, node: OptionalMap) -> str:
    """`optional.optMap(x, body)` and optFlatMap."""
    variable = writer.fresh("v")
    found = f"({variable} := {_found(writer, node.target)}) is not {writer.constant('MISSING', MISSING)}"
    writer.locals[node.name] = variable
    body = writer.source(node.body)
    del writer.locals[node.name]
    make = writer.constant("opened", opened) if node.flat else writer.constant("optional", _optional)
    return f"({make}({body}) if {found} else {writer.constant('NONE', NONE)})"


OPTIONALS: dict[type[Node], Rule] = {OptionalMap: _mapped}
