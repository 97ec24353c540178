"""The syntax tree. `offset` and `length` point at the word or operator that a message about the node should show.

The parser makes the nodes of the first part; the checker replaces names and calls by those of the second. Nobody
changes a node after it was made; they are not frozen only because that takes three times as long to make and to import.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai_gateway_mw.cel.declarations import Overload, Variable


@dataclass(slots=True, eq=False, repr=False)
class Node:
    """Any node; equal only to itself."""

    offset: int
    length: int


@dataclass(slots=True, eq=False, repr=False)
class Literal(Node):
    """A constant, as the value it stands for."""

    value: Any


@dataclass(slots=True, eq=False, repr=False)
class Name(Node):
    """An identifier; `.name` with a leading dot is looked up outside every container."""

    name: str
    absolute: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Select(Node):
    """`operand.field`, or `operand.?field`."""

    operand: Node
    field: str
    optional: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Index(Node):
    """`operand[key]`, or `operand[?key]`."""

    operand: Node
    key: Node
    optional: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Has(Node):
    """`has(operand.field)`; `has(operand['key'])` is the same thing."""

    operand: Node
    key: Node


@dataclass(slots=True, eq=False, repr=False)
class Call(Node):
    """A function by name; operators are functions called `_+_`, `!_` and so on."""

    function: str
    target: Node | None
    args: tuple[Node, ...]


@dataclass(slots=True, eq=False, repr=False)
class Logic(Node):
    """`&&` or `||` over two or more operands."""

    op: str
    operands: tuple[Node, ...]


@dataclass(slots=True, eq=False, repr=False)
class Conditional(Node):
    """`test ? yes : no`."""

    test: Node
    yes: Node
    no: Node


@dataclass(slots=True, eq=False, repr=False)
class ListLiteral(Node):
    """`[a, ?b]`; `optional` holds the positions marked with a question mark."""

    elements: tuple[Node, ...]
    optional: frozenset[int] = frozenset()


@dataclass(slots=True, eq=False, repr=False)
class Entry(Node):
    """One `key: value` of a map; `field: value` of a message has a text as its key."""

    key: Node
    value: Node
    optional: bool = False


@dataclass(slots=True, eq=False, repr=False)
class MapLiteral(Node):
    """`{key: value}`."""

    entries: tuple[Entry, ...]


@dataclass(slots=True, eq=False, repr=False)
class MessageLiteral(Node):
    """`name{field: value}`."""

    name: str
    entries: tuple[Entry, ...]


@dataclass(slots=True, eq=False, repr=False)
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


@dataclass(slots=True, eq=False, repr=False)
class Bind(Node):
    """`cel.bind(name, value, body)`."""

    name: str
    value: Node
    body: Node


@dataclass(slots=True, eq=False, repr=False)
class OptionalMap(Node):
    """`target.optMap(name, body)`; `flat` for optFlatMap, whose body is an optional itself."""

    target: Node
    name: str
    body: Node
    flat: bool


@dataclass(slots=True, eq=False, repr=False)
class Read(Node):
    """A declared variable."""

    variable: Variable


@dataclass(slots=True, eq=False, repr=False)
class Present(Node):
    """`has(a.b)` where `a.b` as a whole is a declared variable: true unless it is null."""

    read: Read


@dataclass(slots=True, eq=False, repr=False)
class Local(Node):
    """A variable of a macro, under a name that is unique in the expression."""

    name: str


@dataclass(slots=True, eq=False, repr=False)
class Unknown(Node):
    """A name that is not declared; only in expressions that were not checked, where it fails when reached."""

    name: str


@dataclass(slots=True, eq=False, repr=False)
class Apply(Node):
    """A call of a declared function: receiver first, then the arguments. `sensitive` asks for constant time."""

    function: str
    overloads: tuple[Overload, ...]
    args: tuple[Node, ...]
    sensitive: bool = False


_CHILDREN: dict[type[Node], Callable[[Any], tuple[Node, ...]]] = {
    Select: lambda node: (node.operand,),
    Index: lambda node: (node.operand, node.key),
    Has: lambda node: (node.operand, node.key),
    Call: lambda node: node.args if node.target is None else (node.target, *node.args),
    Apply: lambda node: node.args,
    Present: lambda node: (node.read,),
    Logic: lambda node: node.operands,
    Conditional: lambda node: (node.test, node.yes, node.no),
    ListLiteral: lambda node: node.elements,
    MapLiteral: lambda node: tuple(each for entry in node.entries for each in (entry.key, entry.value)),
    MessageLiteral: lambda node: tuple(each for entry in node.entries for each in (entry.key, entry.value)),
    Comprehension: lambda node: (node.range, *(() if node.test is None else (node.test,)), *node.result),
    Bind: lambda node: (node.value, node.body),
    OptionalMap: lambda node: (node.target, node.body),
}


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below, left to right."""
    below = _CHILDREN.get(type(node))
    return below(node) if below else ()


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
