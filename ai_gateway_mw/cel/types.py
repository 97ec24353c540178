"""CEL types as the checker sees them, and when a value of one type may stand where another is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Type:
    """A type: its name, and what it is made of. Type parameters have names that start with `$`."""

    name: str
    params: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if self.name == "wrapper":
            return f"{self.params[0]} or null"
        name = self.name.removeprefix("$")
        return f"{name}({', '.join(map(str, self.params))})" if self.params else name

    @property
    def is_param(self) -> bool:
        return self.name.startswith("$")


INT = Type("int")
UINT = Type("uint")
DOUBLE = Type("double")
BOOL = Type("bool")
STRING = Type("string")
BYTES = Type("bytes")
NULL = Type("null_type")
DYN = Type("dyn")
ANY = Type("any")
ERROR = Type("error")
TIMESTAMP = Type("timestamp")
DURATION = Type("duration")
TYPE = Type("type")


def ListType(element: Type = DYN) -> Type:
    """A list whose elements all have one type."""
    return Type("list", (element,))


def MapType(key: Type = DYN, value: Type = DYN) -> Type:
    """A map from keys of one type to values of one type."""
    return Type("map", (key, value))


def OptionalType(value: Type = DYN) -> Type:
    """A value that may be absent, as `a.?b` gives it."""
    return Type("optional_type", (value,))


def Nullable(value: Type) -> Type:
    """A value of a simple type, or null (CEL's wrapper types)."""
    return Type("wrapper", (value,))


def TypeParam(name: str) -> Type:
    """Stands for whatever type the arguments turn out to have; the same letter is the same type."""
    return Type("$" + name)


def TypeType(of: Type = DYN) -> Type:
    """The type of a type used as a value."""
    return Type("type", (of,))


class ObjectType(Type):
    """Values of a Python class, read in place: exactly the declared fields, each by attribute of the same name."""

    __slots__ = ("cls", "fields")

    cls: type[Any]
    fields: Mapping[str, Type]

    def __init__(self, name: str, cls: type[Any], fields: Mapping[str, Type]) -> None:
        super().__init__(name)
        object.__setattr__(self, "cls", cls)
        object.__setattr__(self, "fields", fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectType) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


# Names that `type(x)` shows, where they are not the checker's own.
VALUE_NAMES = {"timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}

_OPEN = frozenset({"dyn", "any", "error"})
_NOT_NULLABLE = frozenset({"int", "uint", "double", "bool", "string", "bytes", "list", "map", "type"})

Bindings = dict[Type, Type]


def is_closed(type_: Type) -> bool:
    """True for types that no type parameter occurs in."""
    return not type_.is_param and all(map(is_closed, type_.params))


def is_open(type_: Type) -> bool:
    """True for types of which nothing is known before the expression runs."""
    return type_.name in _OPEN


def substitute(type_: Type, bindings: Bindings, *, close: bool = False) -> Type:
    """`type_` with its type parameters replaced; `close` turns the unbound ones into dyn."""
    if type_.is_param:
        bound = bindings.get(type_)
        if bound is not None:
            return substitute(bound, bindings, close=close)
        return DYN if close else type_
    if not type_.params:
        return type_
    return Type(type_.name, tuple(substitute(param, bindings, close=close) for param in type_.params))


class _Trial(Bindings):
    """Bindings on top of others, which stay as they are."""

    def __init__(self, under: Bindings) -> None:
        super().__init__()
        self._under = under

    def get(self, key: Type, default: Any = None) -> Any:
        found = super().get(key)
        return self._under.get(key, default) if found is None else found


def assign(actual: Type, formal: Type, bindings: Bindings) -> bool:
    """True if a value of type `actual` may stand where `formal` is wanted; type parameters get bound on the way."""
    if actual is formal:
        return True
    trial = _Trial(bindings)
    if not _assign(actual, formal, trial):
        return False
    bindings.update(trial)
    return True


def assign_all(actuals: tuple[Type, ...], formals: tuple[Type, ...], bindings: Bindings) -> bool:
    """`assign` for each pair, or for none."""
    trial = _Trial(bindings)
    if not all(_assign(actual, formal, trial) for actual, formal in zip(actuals, formals, strict=True)):
        return False
    bindings.update(trial)
    return True


def join(left: Type, right: Type, bindings: Bindings) -> Type:
    """The type of an element that is one or the other."""
    return _more_general(left, right) if assign(left, right, bindings) else DYN


def _assign(actual: Type, formal: Type, bindings: Bindings) -> bool:
    if formal.is_param:
        valid, bound = _bind(actual, formal, bindings)
        if valid or bound:
            return valid
    if actual.is_param:
        return _bind(formal, actual, bindings)[0]
    if is_open(actual) or is_open(formal):
        return True
    if actual.name == "null_type" or formal.name == "null_type":
        other = formal if actual.name == "null_type" else actual
        return other.name not in _NOT_NULLABLE
    if actual.name == "wrapper" or formal.name == "wrapper":
        return unwrapped(actual) == unwrapped(formal)
    if actual.name != formal.name:
        return False
    if actual.name == "type":
        return True
    pairs = zip(actual.params, formal.params, strict=False)
    return len(actual.params) == len(formal.params) and all(_assign(a, f, bindings) for a, f in pairs)


def _bind(type_: Type, param: Type, bindings: Bindings) -> tuple[bool, bool]:
    """Whether `type_` may stand for `param`, and whether that was bound already."""
    if type_ == param:
        return True, True
    bound = bindings.get(param)
    if bound is None:
        if _occurs(param, type_, bindings):
            return False, False
        bindings[param] = type_
        return True, False
    if type_ == bound:
        return True, True
    if not _assign(type_, bound, bindings):
        return False, True
    general = _more_general(type_, bound)
    if not _occurs(param, general, bindings):
        bindings[param] = general
    return True, True


def _occurs(param: Type, type_: Type, bindings: Bindings) -> bool:
    if type_ == param:
        return True
    if type_.is_param:
        bound = bindings.get(type_)
        return bound is not None and _occurs(param, bound, bindings)
    return any(_occurs(param, each, bindings) for each in type_.params)


def unwrapped(type_: Type) -> Type:
    """The type without its `or null`."""
    return type_.params[0] if type_.name == "wrapper" else type_


def _more_general(left: Type, right: Type) -> Type:
    return left if _at_least_as_general(left, right) else right


def _at_least_as_general(left: Type, right: Type) -> bool:
    if is_open(left) or left.is_param:
        return True
    if is_open(right) or right.is_param or left.name != right.name:
        return False
    if left.name == "type":
        return True
    pairs = zip(left.params, right.params, strict=False)
    return len(left.params) == len(right.params) and all(_at_least_as_general(a, b) for a, b in pairs)


def with_article(type_: Type) -> str:
    """`an int`, `a string`."""
    return f"{'an' if type_.name[0] in 'aeiou' and type_.name != 'uint' else 'a'} {type_}"
