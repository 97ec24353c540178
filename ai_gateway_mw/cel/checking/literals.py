"""Literals of all kinds: single values, lists, maps, messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.nodes import Entry, ListLiteral, Literal, MapLiteral, MessageLiteral, Node
from ai_gateway_mw.cel.problems import closest
from ai_gateway_mw.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    ListType,
    MapType,
    OptionalType,
    Type,
    TypeType,
    is_open,
    join,
    substitute,
    with_article,
)
from ai_gateway_mw.cel.values import KEY_KINDS, CelType, OptionalValue, UInt
from ai_gateway_mw.cel.wellknown import message_type

if TYPE_CHECKING:
    from ai_gateway_mw.cel.checker import Checker, Rule, Typed


_SINGLE: dict[type[Any], Type] = {
    type(None): NULL, bool: BOOL, int: INT, UInt: UINT, float: DOUBLE, str: STRING, bytes: BYTES,
    CelType: TypeType(DYN), Timestamp: TIMESTAMP, Duration: DURATION, OptionalValue: OptionalType(DYN),
}  # fmt: skip


def _literal(_: Checker, node: Literal) -> Typed:
    return node, _SINGLE.get(type(node.value), DYN)


def _joined(checker: Checker, types: Sequence[Type]) -> Type:
    if not types:
        return checker.fresh()
    first, *rest = types
    for each in rest:
        first = join(first, each, checker.bindings)
    return first


def _list(checker: Checker, node: ListLiteral) -> Typed:
    elements = [checker.check(each) for each in node.elements]
    types = [_optional(checker, each, made, place in node.optional) for place, (made, each) in enumerate(elements)]
    made = ListLiteral(node.offset, node.length, tuple(each for each, _ in elements), node.optional)
    return made, ListType(_joined(checker, types))


def _optional(checker: Checker, type_: Type, node: Node, optional: bool) -> Type:
    """The type that an element marked with `?` adds to its list or map."""
    if not optional:
        return type_
    inner = checker.fresh()
    checker.need(node, type_, OptionalType(inner), "`?` wants an optional value, not {actual}")
    return substitute(inner, checker.bindings)


def _entries(checker: Checker, node: MapLiteral | MessageLiteral) -> tuple[list[Entry], list[Type], list[Type]]:
    entries, keys, values = [], [], []
    for entry in node.entries:
        key, key_type = checker.check(entry.key)
        value, value_type = checker.check(entry.value)
        entries.append(Entry(entry.offset, entry.length, key, value, entry.optional))
        keys.append(key_type)
        values.append(_optional(checker, value_type, value, entry.optional))
    return entries, keys, values


def _map(checker: Checker, node: MapLiteral) -> Typed:
    entries, keys, values = _entries(checker, node)
    for entry, key in zip(entries, keys, strict=True):
        if not (is_open(key) or key.is_param or key.name in KEY_KINDS):
            checker.problem(entry, f"a key is a string, int, uint or bool, not {with_article(checker.shown(key))}")
    made = MapLiteral(node.offset, node.length, tuple(entries))
    return made, MapType(_joined(checker, keys), _joined(checker, values))


def _message(checker: Checker, node: MessageLiteral) -> Typed:
    known = next((each for each in checker.scope.candidates(node.name) if message_type(each)), None)
    entries, _, values = _entries(checker, node)
    made = MessageLiteral(node.offset, node.length, known or node.name.removeprefix("."), tuple(entries))
    described = message_type(known) if known else None
    if described is None:
        checker.problem(node, f"`{node.name}` is not a type that can be made; only google.protobuf's well-known are")
        return made, DYN
    type_, fields = described
    for entry, value in zip(entries, values, strict=True):
        name = entry.key.value if isinstance(entry.key, Literal) else ""
        if name not in fields:
            checker.problem(entry, f"{known} has no field `{name}`", closest(name, fields))
        else:
            checker.need(entry, value, fields[name], f"`{name}` is {{wanted}}, not {{actual}}")
    return made, type_


LITERALS: dict[type[Node], Rule] = {
    Literal: _literal, ListLiteral: _list, MapLiteral: _map, MessageLiteral: _message,
}  # fmt: skip
