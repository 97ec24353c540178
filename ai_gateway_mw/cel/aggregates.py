"""Lists, maps and messages that are written out, as the evaluator makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.frames import Frame
from ai_gateway_mw.cel.nodes import Entry, ListLiteral, MapLiteral, MessageLiteral, Node
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.values import KEY_KINDS, map_of, opened
from ai_gateway_mw.cel.wellknown import message

if TYPE_CHECKING:
    from ai_gateway_mw.cel.evaluator import Evaluator


def _list(evaluator: Evaluator, node: ListLiteral, frame: Frame) -> list[Any]:
    values = []
    for place, element in enumerate(node.elements):
        value = evaluator.evaluate(element, frame)
        if place not in node.optional:
            values.append(value)
        elif opened(value).present:
            values.append(value.value)
    frame.budget.spend(1)
    frame.budget.allocate(values)
    return values


def _pairs(evaluator: Evaluator, entries: tuple[Entry, ...], frame: Frame) -> Iterator[tuple[Any, Any]]:
    for entry in entries:
        key = evaluator.evaluate(entry.key, frame)
        value = evaluator.evaluate(entry.value, frame)
        if not entry.optional:
            yield key, value
        elif opened(value).present:
            yield key, value.value


def _map(evaluator: Evaluator, node: MapLiteral, frame: Frame) -> Mapping[Any, Any]:
    pairs = list(_pairs(evaluator, node.entries, frame))
    for key, _ in pairs:
        if evaluator.kinds.of(key) not in KEY_KINDS:
            raise EvaluationError(f"a {evaluator.kinds.of(key)} cannot be the key of a map", node.offset)
    frame.budget.spend(3 * len(pairs))
    frame.budget.allocate(pairs)
    return map_of(pairs)


def _message(evaluator: Evaluator, node: MessageLiteral, frame: Frame) -> Any:
    return message(node.name, dict(_pairs(evaluator, node.entries, frame)))


AGGREGATES: dict[type[Node], Callable[[Evaluator, Any, Frame], Any]] = {
    ListLiteral: _list,
    MapLiteral: _map,
    MessageLiteral: _message,
}
