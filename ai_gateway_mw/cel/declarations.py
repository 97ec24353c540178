"""What an expression may use: variables, functions with their overloads, and the Python classes it may look into."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ai_gateway_mw.cel.moments import Duration, Timestamp
from ai_gateway_mw.cel.types import ObjectType, Type, is_open
from ai_gateway_mw.cel.values import CelType, OptionalValue, UInt


@dataclass(frozen=True, slots=True)
class Variable:
    """A name, which may have dots: where `req.url` and `req.url.path` are both declared, the longer one is meant.

    `read(activation)` gives the value; without it the activation is a mapping and the value is under the name.
    """

    name: str
    type: Type
    read: Callable[[Any], Any] | None = None
    doc: str = ""


@dataclass(frozen=True, slots=True)
class Overload:
    """One form of a function: `call` is used when the arguments are of the types in `params`.

    member: it is called as a method of its first parameter. contextual: `call` gets the activation before the
    arguments. sensitive: what it returns is a secret; comparisons with anything made from it take constant time.
    """

    name: str
    params: tuple[Type, ...]
    result: Type
    call: Callable[..., Any]
    member: bool = False
    sensitive: bool = False
    contextual: bool = False

    def __str__(self) -> str:
        """As an author would write it: `string.startsWith(string)`."""
        params = list(map(str, self.params))
        receiver = f"{params.pop(0)}." if self.member else ""
        return f"{receiver}{self.name}({', '.join(params)})"


_KINDS: dict[type[Any], str] = {
    type(None): "null_type",
    bool: "bool",
    UInt: "uint",
    int: "int",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    tuple: "list",
    dict: "map",
    Mapping: "map",
    Timestamp: "timestamp",
    datetime: "timestamp",
    Duration: "duration",
    timedelta: "duration",
    CelType: "type",
    OptionalValue: "optional_type",
}


class Kinds:
    """Names the CEL type of a Python value; knows the classes that were declared as object types."""

    def __init__(self, objects: Iterable[ObjectType] = ()) -> None:
        self._objects = {each.cls: each for each in objects}
        self._names: dict[type[Any], str] = dict(_KINDS)
        self._names.update({each.cls: each.name for each in self._objects.values()})
        self._fields: dict[type[Any], Mapping[str, Type]] = {}

    def of(self, value: Any) -> str:
        """The name of the value's CEL type; of a class that nobody declared, `object`."""
        cls = type(value)
        name = self._names.get(cls)
        return name if name is not None else self._learn(cls)

    def fields(self, value: Any) -> Mapping[str, Type]:
        """The declared fields of an object; none of any other value."""
        cls = type(value)
        fields = self._fields.get(cls)
        if fields is None:
            declared = next((self._objects[base] for base in cls.__mro__ if base in self._objects), None)
            fields = self._fields[cls] = declared.fields if declared else {}
        return fields

    def _learn(self, cls: type[Any]) -> str:
        declared = next((self._names[base] for base in cls.__mro__ if base in self._objects), None)
        name = self._names[cls] = declared or kind_of_class(cls)
        return name


def kind_of_class(cls: type[Any]) -> str:
    """The name of the CEL type that instances of a Python class have; a class may say it itself in `cel_type`."""
    exact = _KINDS.get(cls)
    if exact is not None:
        return exact
    base = next((base for base in (*cls.__mro__[1:], Mapping) if base in _KINDS and issubclass(cls, base)), None)
    return _KINDS[base] if base else getattr(cls, "cel_type", "object")


def accepts(type_: Type, kind: str) -> bool:
    """True if a parameter of this type takes a value of this kind; what is inside lists and maps is not looked at."""
    if type_.name == kind or type_.is_param or is_open(type_):
        return True
    return type_.name == "wrapper" and kind in ("null_type", type_.params[0].name)


def object_types(types: Iterable[Type]) -> set[ObjectType]:
    """Every object type that occurs in some types, at any depth."""
    found: set[ObjectType] = set()
    pending = list(types)
    while pending:
        type_ = pending.pop()
        pending += type_.params
        if isinstance(type_, ObjectType) and type_ not in found:
            found.add(type_)
            pending += type_.fields.values()
    return found
