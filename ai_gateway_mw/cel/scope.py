"""What names mean: declared variables, types as values, namespaced functions, and what was probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ai_gateway_mw.cel.declarations import Overload, Variable
from ai_gateway_mw.cel.nodes import Name, Node, Select
from ai_gateway_mw.cel.problems import closest
from ai_gateway_mw.cel.types import DYN, INT, NULL, Type, TypeType
from ai_gateway_mw.cel.values import CelType

_TYPE_NAMES = (
    "int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type", "optional_type",
    "google.protobuf.Timestamp", "google.protobuf.Duration", "net.IP", "net.CIDR",
)  # fmt: skip

# Names of other languages, and what CEL calls the same thing.
_ELSEWHERE = {
    "len": "size", "length": "size", "count": "size", "any": "exists", "some": "exists", "every": "all",
    "toLowerCase": "lower", "toLower": "lower", "lowercase": "lower", "toUpperCase": "upper", "toUpper": "upper",
    "uppercase": "upper", "strip": "trim", "substr": "substring", "str": "string", "toString": "string",
    "float": "double", "number": "double", "bool_": "bool", "match": "matches", "test": "matches", "select": "map",
    "where": "filter", "find": "filter", "now": "time.now", "includesAny": "exists", "sorted": "sort",
    "unique": "distinct", "cidrMatch": "inCidrRange", "first": "slice",
}  # fmt: skip


class Scope:
    """The declarations of an environment, as the checker looks them up."""

    def __init__(self, variables: Mapping[str, Variable], functions: Iterable[Overload], container: str) -> None:
        self.variables = variables
        self.functions: dict[str, list[Overload]] = {}
        for overload in functions:
            self.functions.setdefault(overload.name, []).append(overload)
        self.resolved: dict[Any, tuple[tuple[Overload, ...], Type]] = {}  # what calls came to; see checking/overloads
        self._constants: dict[str, tuple[Any, Type]] = {name: (CelType(name), TypeType(DYN)) for name in _TYPE_NAMES}
        self._constants["google.protobuf.NullValue.NULL_VALUE"] = (None, NULL)
        self._constants["google.protobuf.NullValue"] = (CelType("google.protobuf.NullValue"), TypeType(INT))
        self._container = container

    def candidates(self, name: str) -> Iterator[str]:
        """The full names that a name may stand for inside the container, innermost first."""
        if name.startswith("."):
            yield name[1:]
            return
        container = self._container
        while container:
            yield f"{container}.{name}"
            container = container.rpartition(".")[0]
        yield name

    def variable(self, name: str) -> Variable | None:
        return next((self.variables[each] for each in self.candidates(name) if each in self.variables), None)

    def constant(self, name: str) -> tuple[Any, Type] | None:
        return next((self._constants[each] for each in self.candidates(name) if each in self._constants), None)

    def function(self, name: str) -> str | None:
        return next((each for each in self.candidates(name) if each in self.functions), None)

    def is_namespace(self, name: str) -> bool:
        """True for the `math` of `math.abs`."""
        return any(each.startswith(f"{name}.") for each in self.functions)

    def meant_name(self, name: str) -> str:
        return closest(name, [*self.variables, *(each for each in self._constants if "." not in each)])

    def meant_field(self, variable: str, field: str) -> str:
        """Where `req.url` has no `pth`: `req.url.path`, if that is declared."""
        inside = {each.removeprefix(f"{variable}.") for each in self.variables if each.startswith(f"{variable}.")}
        near = closest(field, inside)
        return f"{variable}.{near}" if near else ""

    def meant_function(self, name: str, *, member: bool | None) -> str:
        meant = _ELSEWHERE.get(name, "")
        if meant:
            return meant
        known = {
            each
            for each, overloads in self.functions.items()
            if each[0].isalpha() and (member is None or any(overload.member is member for overload in overloads))
        }
        return closest(name, known | (MACROS.keys() if member else set()))


# How macros are used, for those who use them otherwise.
MACROS = {
    "all": "list.all(x, test)",
    "exists": "list.exists(x, test)",
    "exists_one": "list.exists_one(x, test)",
    "existsOne": "list.existsOne(x, test)",
    "filter": "list.filter(x, test)",
    "map": "list.map(x, value)",
    "sortBy": "list.sortBy(x, key)",
    "minBy": "list.minBy(x, key)",
    "maxBy": "list.maxBy(x, key)",
    "transformList": "list.transformList(i, x, value)",
    "transformMap": "map.transformMap(k, v, value)",
    "transformMapEntry": "map.transformMapEntry(k, v, {key: value})",
    "optMap": "optional.optMap(x, value)",
    "optFlatMap": "optional.optFlatMap(x, optional)",
    "has": "has(a.b)",
}


def chain(node: Node) -> list[Name | Select] | None:
    """`a.b.c` as its nodes from the left; None for anything that is not only names and dots."""
    parts: list[Name | Select] = []
    while isinstance(node, Select) and not node.optional:
        parts.append(node)
        node = node.operand
    if not isinstance(node, Name):
        return None
    return [node, *reversed(parts)]


def spelled(parts: list[Name | Select]) -> str:
    """The nodes of a chain as text."""
    words = [part.name if isinstance(part, Name) else part.field for part in parts]
    root = parts[0]
    return ("." if isinstance(root, Name) and root.absolute else "") + ".".join(words)
