"""Source for literals: by `repr` where that is a Python literal of the same value, else a constant by name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.nodes import ListLiteral, Literal, MapLiteral, Node
from ai_gateway_mw.cel.values import map_of

if TYPE_CHECKING:
    from ai_gateway_mw.cel.planner import Rule, Writer


def _literal(writer: Writer, node: Literal) -> str:
    return f"({node.value!r})" if is_plain(node.value) else writer.constant("c", node.value)


def is_plain(value: Any) -> bool:
    """True for values that `repr` shows as Python would read them."""
    return value is None or type(value) in (bool, str, int) or (type(value) is float and math.isfinite(value))


def _list(writer: Writer, node: ListLiteral) -> str:
    if node.optional:
        return writer.ask(node)
    return f"[{', '.join(map(writer.source, node.elements))}]"


def _map(writer: Writer, node: MapLiteral) -> str:
    types = {writer.type_of(entry.key).name for entry in node.entries}
    if any(entry.optional for entry in node.entries) or not (types <= {"string"} or types <= {"int", "uint"}):
        return writer.ask(node)
    keys = [entry.key.value for entry in node.entries if isinstance(entry.key, Literal)]
    pairs = [(writer.source(entry.key), writer.source(entry.value)) for entry in node.entries]
    if len(set(keys)) == len(pairs):
        return f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"
    return f"{writer.constant('map_of', map_of)}([{', '.join(f'({key}, {value})' for key, value in pairs)}])"


LITERALS: dict[type[Node], Rule] = {Literal: _literal, ListLiteral: _list, MapLiteral: _map}
