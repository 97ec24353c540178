"""Source for operators and the smallest functions: Python's own where the types allow it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ai_gateway_mw.cel.costs import longest_free
from ai_gateway_mw.cel.moments import INT_MAX, INT_MIN
from ai_gateway_mw.cel.nodes import Apply, ListLiteral, Literal, Node
from ai_gateway_mw.cel.planning import times
from ai_gateway_mw.cel.planning.guards import charging, comparing, grown, joined, within
from ai_gateway_mw.cel.types import Type

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Writer

_ORDER = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}
_ARITHMETIC = {"_+_": "+", "_-_": "-", "_*_": "*"}
_EXACT_INT = 2**53  # as far as an int and the double nearest to it are the same number
_NUMBERS = frozenset({"int", "uint", "double"})
_OPAQUE = frozenset({"list", "map", "timestamp", "duration", "wrapper"})
_FEW_PARTS, _SMALL = 8, 256
_LONG = 50_000  # elements that Python looks through in about a millisecond


def _names(writer: Writer, node: Apply) -> set[str]:
    return {writer.type_of(arg).name for arg in node.args}


def _equality(writer: Writer, node: Apply) -> str:
    left, right = node.args
    names, op = _names(writer, node), node.function.strip("_")
    if names in ({"timestamp"}, {"duration"}):
        return times.compared(writer, left, op, right)
    if names == {"string"} or any(map(_same_to_python, node.args)):
        return f"({writer.source(left)} {op} {writer.source(right)})"
    budget = writer.budget() if writer.loops else "None"
    same = writer.constant("same", comparing(writer.share))
    negated = "not " if op == "!=" else ""
    return f"({negated}{same}({budget}, {writer.source(left)}, {writer.source(right)}))"


def _same_to_python(node: Node) -> bool:
    """Literals that Python compares with anything as CEL does: not 0 and 1, which equal False and True."""
    if not isinstance(node, Literal):
        return False
    value = node.value
    return value is None or type(value) is str or (type(value) is int and 1 < abs(value) < _EXACT_INT)


def _order(writer: Writer, node: Apply) -> str | None:
    left, right = node.args
    names, op = _names(writer, node), _ORDER[node.function]
    if names in ({"timestamp"}, {"duration"}):
        return times.compared(writer, left, op, right)
    if names in ({"string"}, {"int"}, {"uint"}, {"int", "uint"}, {"double"}):
        return f"({writer.source(left)} {op} {writer.source(right)})"
    if _small_number(right) and not names & _OPAQUE:
        held = writer.fresh("t")
        guard = f"({held} := {writer.source(left)}).__class__ is not bool"
        return f"({held} {op} {writer.source(right)} if {guard} else stumble())"
    if _small_number(right) and writer.type_of(left).name == "wrapper":
        return f"({writer.source(left)} {op} {writer.source(right)})"
    return None


def _small_number(node: Node) -> bool:
    return isinstance(node, Literal) and type(node.value) in (int, float) and abs(node.value) < _EXACT_INT


def _membership(writer: Writer, node: Apply) -> str | None:
    left, right = node.args
    name, type_ = writer.type_of(left).name, writer.type_of(right)
    if isinstance(right, ListLiteral) and not right.optional and right.elements and _is_set(name, right):
        text = ", ".join(map(writer.source, right.elements))
        # Python makes a constant of either; a value that cannot be looked up in the set makes it stumble.
        return f"({writer.source(left)} in {f'({text},)' if len(right.elements) < 3 else f'{{{text}}}'})"
    if name == "string" and type_.name == "map":
        return f"({writer.source(left)} in {writer.source(right)})"
    if type_.name == "list" and (_is_alike(name, type_.params[0]) or (name == "string" and isinstance(left, Literal))):
        return _in_list(writer, left, right)
    if name == "string" and isinstance(left, Literal) and not isinstance(right, Literal):
        return _in_whatever(writer, left, right)
    return None


def _is_alike(name: str, element: Type) -> bool:
    return name == element.name and name in ("string", "int", "uint")


def _is_set(name: str, values: ListLiteral) -> bool:
    """True if Python finds the same values in these literals as CEL does."""
    if all(map(_same_to_python, values.elements)):
        return True
    return name in _NUMBERS and all(isinstance(each, Literal) and _small_number(each) for each in values.elements)


def _in_list(writer: Writer, left: Node, right: Node) -> str:
    held = writer.fresh("t")
    key, values = writer.source(left), writer.source(right)
    if isinstance(right, ListLiteral):
        return f"({key} in {values})"
    if not writer.loops:
        return f"({key} in {held} if len({held} := {values}) < {_LONG} else stumble())"
    other = f"{writer.constant('within', within)}({writer.budget()}, {key}, {held})"
    return f"({key} in {held} if len({held} := {values}) < 32 else {other})"


def _in_whatever(writer: Writer, left: Node, right: Node) -> str:
    """A literal string in a list or the keys of a map; a string in a string is no such thing."""
    held, key = writer.fresh("t"), writer.source(left)
    longest = 32 if writer.loops else _LONG
    short = f"{held}.__class__ is list and len({held}) < {longest}"
    return f"({key} in {held} if ({held} := {writer.source(right)}).__class__ is dict or {short} else stumble())"


def _arithmetic(writer: Writer, node: Apply) -> str | None:
    names = _names(writer, node)
    if names & {"timestamp", "duration"}:
        return times.arithmetic(writer, node)
    if names not in ({"double"}, {"int"}):
        return None
    text = f" {_ARITHMETIC[node.function]} ".join(map(writer.source, node.args))
    if names == {"double"}:
        return f"({text})"
    held = writer.fresh("t")
    return f"({held} if {INT_MIN} <= ({held} := {text}) <= {INT_MAX} else stumble())"


def _sum(writer: Writer, node: Apply) -> str | None:
    names = _names(writer, node)
    if "string" not in names or not names <= {"string", "dyn"}:
        return _arithmetic(writer, node)
    parts = _chain(writer, node)
    if len(parts) > _FEW_PARTS:
        text = f"{writer.constant('joined', joined)}({writer.share.size}, {', '.join(parts)})"
        return f"{writer.constant('grown', grown)}({writer.budget()}, {text})" if writer.loops else text
    held = writer.fresh("t")
    other = f"{writer.constant('grown', grown)}({writer.budget()}, {held})" if writer.loops else "stumble()"
    most = _SMALL if writer.loops else writer.share.size
    return f"({held} if len({held} := ''.join(({', '.join(parts)}))) <= {most} else {other})"


def _chain(writer: Writer, node: Node) -> list[str]:
    """`a + b + c` as three parts: joining them once takes time in proportion to the result."""
    if isinstance(node, Apply) and node.function == "_+_" and writer.type_of(node).name == "string":
        return [part for arg in node.args for part in _chain(writer, arg)]
    return [writer.source(node)]


def _not(writer: Writer, node: Apply) -> str:
    return f"(not {writer.boolean(node.args[0])})"


def _size(writer: Writer, node: Apply) -> str | None:
    certain = writer.type_of(node.args[0]).name in ("string", "bytes", "list", "map")
    return f"len({writer.source(node.args[0])})" if certain else None


def _contains(writer: Writer, node: Apply) -> str | None:
    text, part = node.args
    if any(writer.type_of(arg).name != "string" for arg in node.args) or not isinstance(part, Literal):
        return None
    held, sought = writer.fresh("t"), writer.source(part)
    most = longest_free(node.function, 2 if writer.loops else writer.share.steps, texts=True)
    other = "stumble()"
    if writer.loops:
        other = f"{writer.constant('charging', charging(node.function, str.__contains__))}({writer.budget()})"
        other = f"{other}({held}, {sought})"
    return f"({sought} in {held} if len({held} := {writer.source(text)}) <= {most} else {other})"


def _method(name: str) -> Callable[[Writer, Apply], str | None]:
    def write(writer: Writer, node: Apply) -> str | None:
        if any(writer.type_of(arg).name != "string" for arg in node.args):
            return None
        return f"{writer.source(node.args[0])}.{name}({writer.source(node.args[1])})"

    return write


OPERATORS: dict[str, Callable[[Writer, Apply], str | None]] = {
    "_==_": _equality,
    "_!=_": _equality,
    **dict.fromkeys(_ORDER, _order),
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    "_+_": _sum,
    "_in_": _membership,
    "!_": _not,
    "size": _size,
    "contains": _contains,
    "startsWith": _method("startswith"),
    "endsWith": _method("endswith"),
}
