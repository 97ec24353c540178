"""Source for tests that may fail quietly: where failing and being false come to the same, null and missing keys are
looked for, which is much cheaper than the exception that they would raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_gateway_mw.cel.nodes import Apply, Index, Literal, Logic, Node, Select

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Writer

_ORDER = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">="}


def forgiving(writer: Writer, node: Node) -> str:
    """Source for a test, or a part of it that only `&&` and `||` stand above."""
    if isinstance(node, Logic):
        word = " and " if node.op == "&&" else " or "
        return f"({word.join(forgiving(writer, each) for each in node.operands)})"
    text = _comparison(writer, node) if isinstance(node, Apply) and len(node.args) == 2 and not node.sensitive else None
    return text or writer.boolean(node)


def forgiving_value(writer: Writer, node: Node) -> str:
    """Source for a value that may as well be null where there is none."""
    return _value(writer, node) or writer.source(node)


def _comparison(writer: Writer, node: Apply) -> str | None:
    """A field or a value that may be null beside a literal."""
    left, right = node.args
    if not isinstance(right, Literal) or type(right.value) not in (int, float, str):
        return None
    number = type(right.value) is not str
    if node.function == "_==_" and not number:
        value = _value(writer, left)
        return f"({value} == {right.value!r})" if value else None
    if node.function not in _ORDER or not number or abs(right.value) >= 2**53:
        return None
    value = _value(writer, left) or (writer.source(left) if writer.type_of(left).name == "wrapper" else None)
    if value is None:
        return None
    held, op = writer.fresh("t"), _ORDER[node.function]
    guarded = f"{held} {op} {right.value!r} if {held}.__class__ is not bool else stumble()"
    return f"(({held} := {value}) is not None and ({guarded}))"


def _value(writer: Writer, node: Node) -> str | None:
    """A key's value, or None where the map has no such key; None if this is not a key of a map."""
    if not isinstance(node, (Select, Index)) or node.optional or writer.type_of(node.operand).name != "map":
        return None
    key = node.field if isinstance(node, Select) else node.key.value if isinstance(node.key, Literal) else None
    return f"{writer.source(node.operand)}.get({key!r})" if type(key) is str else None
