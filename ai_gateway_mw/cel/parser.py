"""Text -> syntax tree. The grammar is in cel.lark, its tokens come from scanner.py; tables are made on first use."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
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
    dotted,
)
from ai_gateway_mw.cel.problems import ExpressionError
from ai_gateway_mw.cel.scanner import Token, check_count, check_nesting, tokens
from ai_gateway_mw.cel.syntax import unexpected

_CONSTANTS = {"true": True, "false": False, "null": None}
# What the grammar calls the tokens that go by their own text elsewhere.
_TERMINALS = {
    "?": "QUESTION", ":": "_COLON", ".": "_DOT", ",": "_COMMA", "in": "IN",
    "(": "_LPAR", ")": "_RPAR", "[": "LSQB", "]": "_RSQB", "{": "LBRACE", "}": "_RBRACE",
    "||": "OR", "&&": "AND", "!": "NOT", "+": "PLUS", "-": "MINUS", "*": "MULTIPLY", "/": "MULTIPLY", "%": "MULTIPLY",
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), "RELATION"),
}  # fmt: skip


def parse(text: str, limits: Limits) -> Node:
    """The tree of an expression; raises ExpressionError with the one problem that stopped it."""
    try:
        if len(text) > limits.length:
            raise Refused(f"an expression may have {limits.length:,} characters; this one has {len(text):,}", 0)
        if not text.strip():
            raise Refused("an expression is missing here", 0)
        found = tokens(text)
        check_count(found, limits.tokens)
        check_nesting(found, limits.nesting)
        tree = _tree(found)
        _check_depth(tree, limits)
    except Refused as refused:
        raise ExpressionError(text, [refused.problem]) from None
    return tree


def _tree(found: list[Token]) -> Node:
    from lark.exceptions import UnexpectedToken  # noqa: PLC0415 - see _grammar

    try:
        return cast("Node", _grammar().parse(found))
    except UnexpectedToken as error:
        raise _refusal(error, found[-1]) from None


def _refusal(error: Any, end: Token) -> Refused:
    token, wanted = error.token, _wanted(error.accepts)
    if token.type == "$END":
        return unexpected(*end, wanted)
    kind, text, offset = token.type.lower(), str(token), token.start_pos
    if kind == "double" and text.startswith(".") and "NAME" not in error.accepts:  # `a.1`
        return unexpected(kind, text[1:], offset + 1, "a name")
    return unexpected(kind, text, offset, wanted)


def _wanted(accepted: set[str]) -> str:
    """What could have stood in a place, as an author would say it."""
    if "NAME" in accepted:
        return "a value" if "INT" in accepted else "a name"
    if accepted == {"_COLON"}:
        return "`:`"
    closing = [bracket for bracket in ")]}" if _TERMINALS[bracket] in accepted]
    if "_COLON" in accepted and not closing:
        return "`:`"
    return f"an operator or `{closing[0]}`" if closing else "an operator or the end"


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
    # Importing lark and making the tables takes 0.1 s, which those who only import the package need not wait for.
    from lark import Lark  # noqa: PLC0415
    from lark import Token as Terminal  # noqa: PLC0415
    from lark.lexer import Lexer  # noqa: PLC0415

    class Scanned(Lexer):
        """Hands on the tokens that were found already."""

        def __init__(self, _: Any) -> None: ...

        def lex(self, found: Any) -> Iterator[Terminal]:  # type: ignore[override]  # lark's simple interface
            for kind, text, offset in found[:-1]:
                yield Terminal(_TERMINALS.get(kind) or kind.upper(), text, offset)

    grammar = resources.files("ai_gateway_mw.cel").joinpath("cel.lark").read_text()
    return Lark(grammar, parser="lalr", lexer=Scanned, maybe_placeholders=True, transformer=_Builder())


class _Builder:
    """One method for each rule of the grammar: its parts in, its node out. Lark calls them from the inside out."""

    def start(self, parts: list[Any]) -> Node:
        return cast("Node", parts[0])

    def group(self, parts: list[Any]) -> Node:
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

    def literal(self, parts: list[Any]) -> Node:
        token = parts[0]
        value = literals.VALUES[token.type.lower()](str(token), token.start_pos)
        return Literal(token.start_pos, len(token), value)

    def constant(self, parts: list[Any]) -> Node:
        return Literal(parts[0].start_pos, len(parts[0]), _CONSTANTS[parts[0]])


def _operands(node: Node, op: str) -> Sequence[Node]:
    """`a && b && c` is one node with three operands: long chains must not make deep trees."""
    return node.operands if isinstance(node, Logic) and node.op == op else (node,)


def _call(name: Any, target: Node | None, args: Sequence[Node]) -> Node:
    macro = expand(str(name), target, tuple(args), name.start_pos, len(name))
    return macro or Call(name.start_pos, len(name), str(name), target, tuple(args))
