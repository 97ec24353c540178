"""Source for moments and lengths of time: as ints of nanoseconds where they are only compared or computed with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ai_gateway_mw.cel.functions.time import zone_of
from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.nodes import Apply, Literal, Node
from ai_gateway_mw.cel.planning.guards import elapsed, nanoseconds
from ai_gateway_mw.cel.problems import EvaluationError

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Writer

_CLASSES: dict[str, type[Timestamp] | type[Duration]] = {"timestamp": Timestamp, "duration": Duration}
_SIGNS = {"_+_": "+", "_-_": "-"}
# What a `datetime` in UTC has of its own.
_OF_DATETIME = {
    "getFullYear": "year", "getMonth": "month - 1", "getDate": "day", "getDayOfMonth": "day - 1", "getHours": "hour",
    "getMinutes": "minute", "getSeconds": "second", "getDayOfWeek": "isoweekday() % 7",
    "getMilliseconds": "microsecond // 1000",
}  # fmt: skip


def compared(writer: Writer, left: Node, op: str, right: Node) -> str:
    """Two timestamps or two durations, beside each other."""
    if isinstance(right, Literal) and type(right.value) is Timestamp and right.value.ns % 1000 == 0:
        held = writer.fresh("t")
        there = f"({held} := {writer.source(left)}).__class__ is datetime and {held}.tzinfo is UTC"
        moment = right.value.at().replace(microsecond=right.value.nanos // 1000)
        slowly = f"{writer.constant('ns', nanoseconds)}({held}) {op} {right.value.ns}"
        return f"({held} {op} {writer.constant('c', moment)} if {there} else {slowly})"
    return f"({nanos(writer, left)} {op} {nanos(writer, right)})"


def nanos(writer: Writer, node: Node) -> str:
    """An int in place of a timestamp or duration."""
    if isinstance(node, Literal):
        return f"({node.value.ns})"
    if isinstance(node, Apply) and node.function in _SIGNS and _is_timed(writer, node):
        class_ = _CLASSES[writer.type_of(node).name]
        held = writer.fresh("t")
        return f"({held} if {class_.LOWEST} <= ({held} := {_total(writer, node)}) <= {class_.HIGHEST} else stumble())"
    return f"{writer.constant('ns', nanoseconds)}({writer.source(node)})"


def _total(writer: Writer, node: Apply) -> str:
    if node.function == "_-_" and all(_is_moment(writer, arg) for arg in node.args):
        return f"{writer.constant('elapsed', elapsed)}({', '.join(map(writer.source, node.args))})"
    return f" {_SIGNS[node.function]} ".join(nanos(writer, arg) for arg in node.args)


def _is_moment(writer: Writer, node: Node) -> bool:
    return writer.type_of(node).name == "timestamp" and not isinstance(node, (Literal, Apply))


def _is_timed(writer: Writer, node: Apply) -> bool:
    return len(node.args) == 2 and all(writer.type_of(each).name in _CLASSES for each in (*node.args, node))


def arithmetic(writer: Writer, node: Apply) -> str | None:
    """A sum or difference whose value is wanted."""
    if not _is_timed(writer, node):
        return None
    class_ = _CLASSES[writer.type_of(node).name]
    return f"{writer.constant(class_.__name__, class_)}({nanos(writer, node)})"


def _part(writer: Writer, node: Apply) -> str | None:
    """`moment.getHours()`, without or with a time zone."""
    if not node.overloads or writer.type_of(node.args[0]).name != "timestamp":
        return None
    call = writer.constant("call", node.overloads[0].call)
    if len(node.args) > 1:
        return f"{call}({', '.join(map(writer.source, node.args))})" if _is_zone(node.args[1]) else None
    if node.function not in _OF_DATETIME:
        return f"{call}({writer.source(node.args[0])})"
    held = writer.fresh("t")
    plain = f"({held} := {writer.source(node.args[0])}).__class__ is datetime and {held}.tzinfo is UTC"
    return f"({held}.{_OF_DATETIME[node.function]} if {plain} else {call}({held}))"


def _is_zone(node: Node) -> bool:
    """True for a literal zone, which is found now: evaluating shall not go to the disk."""
    if not isinstance(node, Literal) or type(node.value) is not str:
        return False
    try:
        zone_of(node.value)
    except EvaluationError:
        return False
    return True


TIMES: dict[str, Callable[[Writer, Apply], str | None]] = {
    **dict.fromkeys((*_OF_DATETIME, "getDayOfYear"), _part),
}
