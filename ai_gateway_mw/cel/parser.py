"""Text -> syntax tree. Methods are named after the rules of the specification's grammar
(github.com/google/cel-spec, doc/langdef.md); operators are read by precedence climbing."""

from __future__ import annotations

from collections.abc import Callable

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

# How tightly an operator binds. All of them group to the left.
_BINDING = {
    "||": 1, "&&": 2,
    "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3,
    "+": 4, "-": 4,
    "*": 5, "/": 5, "%": 5,
}  # fmt: skip
_CONSTANTS = {"true": True, "false": False, "null": None}
_NUMBERS = frozenset({"int", "double"})
_SELECTORS = frozenset({"name", "reserved", "quoted"})


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
        tree = _Parser(found).whole()
        _check_depth(tree, limits)
    except Refused as refused:
        raise ExpressionError(text, [refused.problem]) from None
    return tree


def _check_depth(tree: Node, limits: Limits) -> None:
    """Operators nest without brackets as well: `!!!!a`, `a ? b : c ? d : e …`."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > limits.depth:
            raise Refused(f"this expression nests more than {limits.depth} operations", level[0].offset)
        level = [child for node in level for child in children(node)]


class _Parser:
    """Reads tokens from the left; `_token` is the one to be read next."""

    def __init__(self, found: list[Token]) -> None:
        self._rest = iter(found)
        self._token = next(self._rest)
        self._primary: dict[str, Callable[[Token], Node]] = {
            "name": self._name,
            ".": self._absolute,
            "(": self._group,
            "[": self._list,
            "{": self._map,
            **dict.fromkeys(_CONSTANTS, self._constant),
            **dict.fromkeys(("int", "uint", "double", "string", "bytes"), self._literal),
        }

    def whole(self) -> Node:
        tree = self._expr()
        if self._token.kind != "end":
            raise self._unexpected("an operator or the end")
        return tree

    # tokens

    def _take(self) -> Token:
        token = self._token
        self._token = next(self._rest, token)
        return token

    def _taken(self, kind: str) -> bool:
        """Takes the next token if it is of this kind."""
        if self._token.kind != kind:
            return False
        self._take()
        return True

    def _close(self, kind: str, wanted: str = "") -> None:
        if not self._taken(kind):
            raise self._unexpected(wanted or f"an operator or `{kind}`")

    def _unexpected(self, wanted: str) -> Refused:
        return unexpected(*self._token, wanted)

    # operators

    def _expr(self) -> Node:
        """`test ? yes : no`, where `no` may be the next such."""
        forks = []
        node = self._binary(1)
        while self._token.kind == "?":
            mark = self._take()
            yes = self._binary(1)
            self._close(":", "`:`")
            forks.append((mark.offset, node, yes))
            node = self._binary(1)
        for offset, test, yes in reversed(forks):
            node = Conditional(offset, 1, test, yes, node)
        return node

    def _binary(self, least: int) -> Node:
        """Operands joined by operators that bind at least so tightly."""
        left = self._unary()
        while (binding := _BINDING.get(self._token.kind, 0)) >= least:
            operator = self._take()
            if binding < 3:
                left = self._logic(operator, left, binding)
            else:
                right = self._binary(binding + 1)
                left = Call(operator.offset, len(operator.text), f"_{operator.kind}_", None, (left, right))
        return left

    def _logic(self, operator: Token, left: Node, binding: int) -> Node:
        """`a && b && c` is one node with three operands: long chains must not make deep trees."""
        operands = [*_operands(left, operator), *_operands(self._binary(binding + 1), operator)]
        while self._taken(operator.kind):
            operands += _operands(self._binary(binding + 1), operator)
        return Logic(operator.offset, 2, operator.kind, tuple(operands))

    def _unary(self) -> Node:
        sign = self._token.kind
        if sign not in ("-", "!"):
            return self._member(None)
        marks = [self._take()]
        while self._token.kind == sign:
            marks.append(self._take())
        # A minus that touches a number belongs to it: the smallest int has no positive counterpart.
        minus = marks.pop() if sign == "-" and self._is_number_at(marks[-1].offset + 1) else None
        if sign == "!" and self._token.kind == "-":
            minus = self._take()
            if not self._is_number_at(minus.offset + 1):
                raise unexpected(*minus, "a value")
        node = self._member(minus)
        for mark in reversed(marks):
            node = Call(mark.offset, 1, f"{sign}_", None, (node,))
        return node

    def _is_number_at(self, offset: int) -> bool:
        return self._token.kind in _NUMBERS and self._token.offset == offset

    # what binds tightest: fields, indexes, calls, literals

    def _member(self, minus: Token | None) -> Node:
        first = self._take() if self._token.kind in self._primary else None
        if first is None:
            raise self._unexpected("a value")
        node = self._primary[first.kind](first if minus is None else Token(first.kind, f"-{first.text}", minus.offset))
        while True:
            kind = self._token.kind
            if kind == ".":
                node = self._selected(node)
            elif kind == "[":
                node = self._indexed(node)
            elif kind == "{":
                node = self._message(node)
            elif kind == "double" and self._token.text[0] == ".":
                raise unexpected("double", self._token.text[1:], self._token.offset + 1, "a name")
            else:
                return node

    def _selected(self, operand: Node) -> Node:
        self._take()
        optional = self._taken("?")
        field = self._selector()
        if self._token.kind != "(" or field.kind == "quoted" or optional:
            text = field.text.strip("`")
            return Select(field.offset, len(field.text), operand, text, optional)
        return _call(field, operand, self._arguments())

    def _selector(self) -> Token:
        if self._token.kind not in _SELECTORS:
            raise self._unexpected("a name")
        return self._take()

    def _indexed(self, operand: Node) -> Node:
        bracket = self._take()
        optional = self._taken("?")
        key = self._expr()
        self._close("]")
        return Index(bracket.offset, 1, operand, key, optional)

    def _message(self, named: Node) -> Node:
        brace = self._take()
        name = dotted(named)
        if name is None:
            raise Refused("this `{` follows something that is not the name of a type", brace.offset)
        entries = []
        while self._token.kind != "}":
            optional = self._taken("?")
            field = self._selector()
            key = Literal(field.offset, len(field.text), field.text.strip("`"))
            self._close(":", "`:`")
            entries.append(Entry(key.offset, key.length, key, self._expr(), optional))
            if not self._taken(","):
                break
        self._close("}")
        return MessageLiteral(named.offset, named.length, name, tuple(entries))

    def _arguments(self) -> tuple[Node, ...]:
        self._take()
        if self._taken(")"):
            return ()
        args = [self._expr()]
        while self._taken(","):
            args.append(self._expr())
        self._close(")")
        return tuple(args)

    # what a member can start with; its first token was taken

    def _name(self, token: Token) -> Node:
        if self._token.kind == "(":
            return _call(token, None, self._arguments())
        return Name(token.offset, len(token.text), token.text)

    def _absolute(self, _: Token) -> Node:
        if self._token.kind != "name":
            raise self._unexpected("a name")
        name = self._take()
        if self._token.kind == "(":
            return Call(name.offset, len(name.text), f".{name.text}", None, self._arguments())
        return Name(name.offset, len(name.text), name.text, True)

    def _group(self, _: Token) -> Node:
        node = self._expr()
        self._close(")")
        return node

    def _list(self, bracket: Token) -> Node:
        elements: list[Node] = []
        optional = set()
        while self._token.kind != "]":
            if self._taken("?"):
                optional.add(len(elements))
            elements.append(self._expr())
            if not self._taken(","):
                break
        self._close("]")
        return ListLiteral(bracket.offset, 1, tuple(elements), frozenset(optional))

    def _map(self, brace: Token) -> Node:
        entries = []
        while self._token.kind != "}":
            optional = self._taken("?")
            key = self._expr()
            self._close(":", "`:`")
            entries.append(Entry(key.offset, key.length, key, self._expr(), optional))
            if not self._taken(","):
                break
        self._close("}")
        return MapLiteral(brace.offset, 1, tuple(entries))

    def _constant(self, token: Token) -> Node:
        return Literal(token.offset, len(token.text), _CONSTANTS[token.kind])

    def _literal(self, token: Token) -> Node:
        return Literal(token.offset, len(token.text), literals.VALUES[token.kind](token.text, token.offset))


def _operands(node: Node, operator: Token) -> tuple[Node, ...]:
    return node.operands if isinstance(node, Logic) and node.op == operator.kind else (node,)


def _call(name: Token, target: Node | None, args: tuple[Node, ...]) -> Node:
    macro = expand(name.text, target, args, name.offset, len(name.text))
    return macro or Call(name.offset, len(name.text), name.text, target, args)
