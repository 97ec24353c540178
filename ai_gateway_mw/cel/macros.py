"""Macros: calls that are rewritten when the text is parsed, since they name variables or look at the form of a call."""

from __future__ import annotations

from collections.abc import Callable

from ai_gateway_mw.cel.literals import Refused
from ai_gateway_mw.cel.nodes import (
    Bind,
    Call,
    Comprehension,
    Has,
    Index,
    ListLiteral,
    Literal,
    Name,
    Node,
    OptionalMap,
    Select,
)

Args = tuple[Node, ...]
Member = Callable[[int, int, Node, Args], Node]
Global = Callable[[int, int, Args], Node]


def expand(function: str, target: Node | None, args: Args, offset: int, length: int) -> Node | None:
    """What a call stands for if it is a macro, else None."""
    if target is None:
        plain = _GLOBAL.get((function, len(args)))
        return plain(offset, length, args) if plain else None
    if isinstance(target, Name) and not target.absolute:
        spaced = _NAMESPACED.get((target.name, function))
        if spaced is not None:
            return spaced(offset, length, args)
    member = _MEMBER.get((function, len(args)))
    return member(offset, length, target, args) if member else None


def _variable(node: Node, macro: str) -> str:
    if isinstance(node, Name) and not node.absolute:
        return node.name
    raise Refused(f"the first argument of `{macro}` names a variable, as in `{macro}(x, …)`", node.offset, node.length)


def _has(offset: int, length: int, args: Args) -> Node:
    match args[0]:
        case Select(operand=operand, field=field, optional=False) as select:
            return Has(offset, length, operand, Literal(select.offset, select.length, field))
        case Index(operand=operand, key=key, optional=False):
            return Has(offset, length, operand, key)
    raise Refused("`has` asks for a field or a key: has(a.b) or has(a['b'])", args[0].offset, args[0].length)


def _walk(kind: str, *, variables: int = 1, test: bool = False, results: int = 0) -> Member:
    """A comprehension whose arguments are its variables, then its test, then its results."""

    def build(offset: int, length: int, target: Node, args: Args) -> Node:
        names = tuple(_variable(arg, kind) for arg in args[:variables])
        if len(set(names)) < len(names):
            raise Refused(f"the two variables of `{kind}` need different names", args[1].offset, args[1].length)
        rest = args[variables:]
        chosen, made = rest[0] if test else None, rest[-results:] if results else ()
        return Comprehension(offset, length, kind, target, names, chosen, made)

    return build


def _bind(offset: int, length: int, args: Args) -> Node:
    if len(args) != 3:
        raise Refused("`cel.bind` takes a name, a value and an expression", offset, length)
    return Bind(offset, length, _variable(args[0], "cel.bind"), args[1], args[2])


def _optional(*, flat: bool) -> Member:
    def build(offset: int, length: int, target: Node, args: Args) -> Node:
        return OptionalMap(offset, length, target, _variable(args[0], "optMap"), args[1], flat)

    return build


def _extreme(function: str) -> Global:
    """math.greatest and math.least take any number of arguments: three and more become one list."""

    def build(offset: int, length: int, args: Args) -> Node:
        operands = (ListLiteral(offset, length, args),) if len(args) > 2 else args
        return Call(offset, length, function, None, operands)

    return build


def _block(offset: int, length: int, args: Args) -> Node:
    """cel.block([a, b], body): each element is bound in turn as `cel.index(n)`."""
    if len(args) != 2 or not isinstance(args[0], ListLiteral):
        raise Refused("`cel.block` takes a list and an expression", offset, length)
    body = args[1]
    for number in reversed(range(len(args[0].elements))):
        body = Bind(offset, length, f"@index{number}", args[0].elements[number], body)
    return body


def _numbered(prefix: str) -> Global:
    def build(offset: int, length: int, args: Args) -> Node:
        numbers = [str(arg.value) for arg in args if isinstance(arg, Literal) and type(arg.value) is int]
        if not numbers or len(numbers) < len(args):
            raise Refused("an index is written as a number", offset, length)
        return Name(offset, length, f"@{prefix}{':'.join(numbers)}")

    return build


_GLOBAL: dict[tuple[str, int], Global] = {("has", 1): _has}

_NAMESPACED: dict[tuple[str, str], Global] = {
    ("cel", "bind"): _bind,
    ("cel", "block"): _block,
    ("cel", "index"): _numbered("index"),
    ("cel", "iterVar"): _numbered("it:"),
    ("cel", "accuVar"): _numbered("ac:"),
    ("math", "greatest"): _extreme("math.greatest"),
    ("math", "least"): _extreme("math.least"),
}

_MEMBER: dict[tuple[str, int], Member] = {
    ("all", 2): _walk("all", test=True),
    ("exists", 2): _walk("exists", test=True),
    ("exists_one", 2): _walk("exists_one", test=True),
    ("existsOne", 2): _walk("exists_one", test=True),
    ("filter", 2): _walk("filter", test=True),
    ("map", 2): _walk("map", results=1),
    ("map", 3): _walk("map", test=True, results=1),
    ("sortBy", 2): _walk("sortBy", results=1),
    ("minBy", 2): _walk("minBy", results=1),
    ("maxBy", 2): _walk("maxBy", results=1),
    ("all", 3): _walk("all", variables=2, test=True),
    ("exists", 3): _walk("exists", variables=2, test=True),
    ("exists_one", 3): _walk("exists_one", variables=2, test=True),
    ("existsOne", 3): _walk("exists_one", variables=2, test=True),
    ("transformList", 3): _walk("map", variables=2, results=1),
    ("transformList", 4): _walk("map", variables=2, test=True, results=1),
    ("transformMap", 3): _walk("transformMap", variables=2, results=1),
    ("transformMap", 4): _walk("transformMap", variables=2, test=True, results=1),
    ("transformMapEntry", 3): _walk("transformMapEntry", variables=2, results=1),
    ("transformMapEntry", 4): _walk("transformMapEntry", variables=2, test=True, results=1),
    ("optMap", 2): _optional(flat=False),
    ("optFlatMap", 2): _optional(flat=True),
}
