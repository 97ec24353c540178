"""Text -> syntax tree. The grammar is in cel.lark; the parser for it is made on first use."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from typing import Any, cast

from ai_gateway_mw.cel import literals
from ai_gateway_mw.cel.limits import Limits
from ai_gateway_mw.cel.literals import Refused
from ai_gateway_mw.cel.macros import expand
from ai_gateway_mw.cel.nodes import (
    Call,
    Conditional,
    Entry,
    Index,
    ListLiteral,
    Literal,
    Logic,
    MapLiteral,
    MessageLiteral,
    Name,
    Node,
    Select,
    children,
)
from ai_gateway_mw.cel.problems import ExpressionError
from ai_gateway_mw.cel.scanner import deepest_bracket
from ai_gateway_mw.cel.syntax import explain

_RESERVED = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)


def parse(text: str, limits: Limits) -> Node:
    """The tree of an expression; raises ExpressionError with the one problem that stopped it."""
    try:
        _check_size(text, limits)
        tree = _parse(text)
        _check_depth(tree, limits)
    except Refused as refused:
        raise ExpressionError(text, [refused.problem]) from None
    return tree


def _parse(text: str) -> Node:
    from lark.exceptions import UnexpectedInput  # noqa: PLC0415 - see _grammar

    try:
        return cast("Node", _grammar().parse(text))
    except UnexpectedInput as error:
        raise explain(text, error) from None


def _check_size(text: str, limits: Limits) -> None:
    if len(text) > limits.length:
        raise Refused(f"an expression may have {limits.length:,} characters; this one has {len(text):,}", 0)
    if not text.strip():
        raise Refused("an expression is missing here", 0)
    place = deepest_bracket(text, limits.nesting)
    if place is not None:
        raise Refused(f"brackets may nest {limits.nesting} deep; this one is deeper", place)


def _check_depth(tree: Node, limits: Limits) -> None:
    """Operators nest without brackets as well: `!!!!a`, `a ? b : c ? d : e …`."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > limits.depth:
            raise Refused(f"this expression nests more than {limits.depth} operations", level[0].offset)
        level = [child for node in level for child in children(node)]


@functools.cache
def _grammar() -> Any:
    # Making the tables takes most of 0.1 s and lark itself 0.04 s, so that neither is done on import.
    from lark import Lark  # noqa: PLC0415

    grammar = resources.files("ai_gateway_mw.cel").joinpath("cel.lark").read_text()
    return Lark(grammar, parser="lalr", lexer="contextual", maybe_placeholders=True, transformer=_Builder())


class _Builder:
    """One method per grammar rule: its parts in, its node out. Lark calls them from the inside out."""

    def start(self, parts: list[Any]) -> Node:
        return cast("Node", parts[0])

    def conditional(self, parts: list[Any]) -> Node:
        test, mark, yes, no = parts
        return Conditional(mark.start_pos, 1, test, yes, no)

    def logic(self, parts: list[Any]) -> Node:
        left, op, right = parts
        operands = [*_operands(left, op), *_operands(right, op)]
        return Logic(op.start_pos, 2, str(op), tuple(operands))

    def binary(self, parts: list[Any]) -> Node:
        left, op, right = parts
        return Call(op.start_pos, len(op), f"_{op}_", None, (left, right))

    def not_(self, parts: list[Any]) -> Node:
        return Call(parts[0].start_pos, 1, "!_", None, (parts[1],))

    def minus(self, parts: list[Any]) -> Node:
        return Call(parts[0].start_pos, 1, "-_", None, (parts[1],))

    def selector(self, parts: list[Any]) -> Any:
        token = parts[0]
        return token.update(value=token[1:-1]) if token.startswith("`") else token

    def select(self, parts: list[Any]) -> Node:
        operand, field = parts
        return Select(field.start_pos, len(field), operand, str(field))

    def optional_select(self, parts: list[Any]) -> Node:
        operand, _, field = parts
        return Select(field.start_pos, len(field), operand, str(field), True)

    def index(self, parts: list[Any]) -> Node:
        operand, bracket, key = parts
        return Index(bracket.start_pos, 1, operand, key)

    def optional_index(self, parts: list[Any]) -> Node:
        operand, bracket, _, key = parts
        return Index(bracket.start_pos, 1, operand, key, True)

    def member_call(self, parts: list[Any]) -> Node:
        target, name, args = parts
        return _call(name, target, args)

    def call(self, parts: list[Any]) -> Node:
        name, args = parts
        return _call(name, None, args)

    def absolute_call(self, parts: list[Any]) -> Node:
        name, args = parts
        return Call(name.start_pos, len(name), f".{name}", None, tuple(args))

    def name(self, parts: list[Any]) -> Node:
        return Name(parts[0].start_pos, len(parts[0]), str(parts[0]))

    def absolute_name(self, parts: list[Any]) -> Node:
        return Name(parts[0].start_pos, len(parts[0]), str(parts[0]), True)

    def expr_list(self, parts: list[Any]) -> list[Any]:
        return parts

    list_inits = map_inits = field_inits = list_init = expr_list

    def list_literal(self, parts: list[Any]) -> Node:
        bracket, inits = parts
        optional = frozenset(place for place, (mark, _) in enumerate(inits) if mark)
        return ListLiteral(bracket.start_pos, 1, tuple(value for _, value in inits), optional)

    def map_init(self, parts: list[Any]) -> Entry:
        mark, key, value = parts
        return Entry(key.offset, key.length, key, value, mark is not None)

    def field_init(self, parts: list[Any]) -> Entry:
        mark, field, value = parts
        key = Literal(field.start_pos, len(field), str(field))
        return Entry(key.offset, key.length, key, value, mark is not None)

    def map_literal(self, parts: list[Any]) -> Node:
        return MapLiteral(parts[0].start_pos, 1, tuple(parts[1]))

    def message(self, parts: list[Any]) -> Node:
        named, brace, fields = parts
        name = dotted(named)
        if name is None:
            raise Refused("this `{` follows something that is not the name of a type", brace.start_pos)
        return MessageLiteral(named.offset, named.length, name, tuple(fields))

    def int_lit(self, parts: list[Any]) -> Node:
        return _literal(parts[0], literals.int_value(parts[0], parts[0].start_pos))

    def uint_lit(self, parts: list[Any]) -> Node:
        return _literal(parts[0], literals.uint_value(parts[0], parts[0].start_pos))

    def double_lit(self, parts: list[Any]) -> Node:
        return _literal(parts[0], float(parts[0]))

    def string_lit(self, parts: list[Any]) -> Node:
        return _literal(parts[0], literals.string_value(parts[0], parts[0].start_pos))

    def bytes_lit(self, parts: list[Any]) -> Node:
        return _literal(parts[0], literals.bytes_value(parts[0], parts[0].start_pos))

    def constant(self, parts: list[Any]) -> Node:
        return _literal(parts[0], {"true": True, "false": False, "null": None}[parts[0]])


def dotted(node: Node) -> str | None:
    """`a.b.c` as one text (with its leading dot, if any), or None for anything else."""
    match node:
        case Name(name=name, absolute=absolute):
            return f".{name}" if absolute else name
        case Select(operand=operand, field=field, optional=False):
            head = dotted(operand)
            return None if head is None else f"{head}.{field}"
        case _:
            return None


def _literal(token: Any, value: Any) -> Node:
    return Literal(token.start_pos, len(token), value)


def _operands(node: Node, op: str) -> Sequence[Node]:
    """`a && b && c` is one node with three operands: long chains must not make deep trees."""
    return node.operands if isinstance(node, Logic) and node.op == op else (node,)


def _call(name: Any, target: Node | None, args: Sequence[Node]) -> Node:
    macro = expand(str(name), target, tuple(args), name.start_pos, len(name))
    return macro or Call(name.start_pos, len(name), str(name), target, tuple(args))
