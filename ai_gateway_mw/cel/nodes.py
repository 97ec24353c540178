"""The syntax tree. `offset` and `length` point at the word or operator that a message about the node should show.

The parser makes the nodes of the first part; the checker replaces names and calls by those of the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai_gateway_mw.cel.declarations import Overload, Variable


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """Any node; equal only to itself."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True, eq=False)
class Literal(Node):
    """A constant, as the value it stands for."""

    value: Any


@dataclass(frozen=True, slots=True, eq=False)
class Name(Node):
    """An identifier; `.name` with a leading dot is looked up outside every container."""

    name: str
    absolute: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Select(Node):
    """`operand.field`, or `operand.?field`."""

    operand: Node
    field: str
    optional: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Index(Node):
    """`operand[key]`, or `operand[?key]`."""

    operand: Node
    key: Node
    optional: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Has(Node):
    """`has(operand.field)`; `has(operand['key'])` is the same thing."""

    operand: Node
    key: Node


@dataclass(frozen=True, slots=True, eq=False)
class Call(Node):
    """A function by name; operators are functions called `_+_`, `!_` and so on."""

    function: str
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Logic(Node):
    """`&&` or `||` over two or more operands."""

    op: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Conditional(Node):
    """`test ? yes : no`."""

    test: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True, eq=False)
class ListLiteral(Node):
    """`[a, ?b]`; `optional` holds the positions marked with a question mark."""

    elements: tuple[Node, ...]
    optional: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Entry(Node):
    """One `key: value` of a map; `field: value` of a message has a text as its key."""

    key: Node
    value: Node
    optional: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class MapLiteral(Node):
    """`{key: value}`."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, eq=False)
class MessageLiteral(Node):
    """`name{field: value}`."""

    name: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comprehension(Node):
    """A macro that walks a list or the keys of a map.

    `variables` are one name, or two for the forms that also see the index or the key. `test` picks elements (all,
    exists, filter ...), `result` says what becomes of each (map, sortBy's key ...); one of them may be absent.
    """

    kind: str
    range: Node
    variables: tuple[str, ...]
    test: Node | None
    result: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bind(Node):
    """`cel.bind(name, value, body)`."""

    name: str
    value: Node
    body: Node


@dataclass(frozen=True, slots=True, eq=False)
class OptionalMap(Node):
    """`target.optMap(name, body)`; `flat` for optFlatMap, whose body is an optional itself."""

    target: Node
    name: str
    body: Node
    flat: bool


@dataclass(frozen=True, slots=True, eq=False)
class Read(Node):
    """A declared variable."""

    variable: Variable


@dataclass(frozen=True, slots=True, eq=False)
class Present(Node):
    """`has(a.b)` where `a.b` as a whole is a declared variable: true unless it is null."""

    read: Read


@dataclass(frozen=True, slots=True, eq=False)
class Local(Node):
    """A variable of a macro, under a name that is unique in the expression."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Unknown(Node):
    """A name that is not declared; only in expressions that were not checked, where it fails when reached."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Apply(Node):
    """A call of a declared function: receiver first, then the arguments. `sensitive` asks for constant time."""

    function: str
    overloads: tuple[Overload, ...]
    args: tuple[Node, ...]
    sensitive: bool = False


def children(node: Node) -> tuple[Node, ...]:  # noqa: C901 - one line a node class, and nothing else
    """The nodes directly below, left to right."""
    match node:
        case Select(operand=operand):
            return (operand,)
        case Index(operand=operand, key=key) | Has(operand=operand, key=key):
            return (operand, key)
        case Call(target=target, args=args):
            return args if target is None else (target, *args)
        case Apply(args=args):
            return args
        case Present(read=read):
            return (read,)
        case Logic(operands=operands):
            return operands
        case Conditional(test=test, yes=yes, no=no):
            return (test, yes, no)
        case ListLiteral(elements=elements):
            return elements
        case MapLiteral(entries=entries) | MessageLiteral(entries=entries):
            return tuple(each for entry in entries for each in (entry.key, entry.value))
        case Comprehension(range=range_, test=test, result=result):
            return (range_, *result) if test is None else (range_, test, *result)
        case Bind(value=value, body=body):
            return (value, body)
        case OptionalMap(target=target, body=body):
            return (target, body)
        case _:
            return ()


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
