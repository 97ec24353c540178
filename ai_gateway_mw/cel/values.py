"""The values that expressions work with, as Python objects, and when two of them are equal.

null, bool, int, double, string, bytes, list and map are None, bool, int, float, str, bytes, list or tuple, and any
Mapping. What Python lacks is here. `datetime` and `timedelta` of the host are taken as timestamps and durations.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from ai_gateway_mw.cel.moments import INT_MAX, INT_MIN, Duration, Timestamp
from ai_gateway_mw.cel.problems import EvaluationError

UINT_MAX = 2**64 - 1


class UInt(int):
    """A CEL uint: equal to the int of the same value, but of another type."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}u"

    __str__ = int.__repr__


class CelType:
    """A type as a value, such as `type(1)` gives."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CelType) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"CelType({self.name!r})"

    def __str__(self) -> str:
        return self.name


class OptionalValue:
    """A value that may be absent."""

    __slots__ = ("_value", "present")

    def __init__(self, present: bool, value: Any = None) -> None:
        self.present = present
        self._value = value

    @property
    def value(self) -> Any:
        if not self.present:
            raise EvaluationError("the optional has no value")
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OptionalValue) and equals(self, other)

    def __hash__(self) -> int:
        return hash((self.present, self._value))

    def __repr__(self) -> str:
        return f"OptionalValue({self._value!r})" if self.present else "OptionalValue(absent)"


NONE = OptionalValue(False)


def opened(value: Any) -> OptionalValue:
    """`value`, which must be an optional."""
    if not isinstance(value, OptionalValue):
        raise EvaluationError("expected an optional value")
    return value


class MixedMap(Mapping[Any, Any]):
    """A map that has both booleans and numbers as keys: to Python, True and 1 are one key, to CEL they are two."""

    __slots__ = ("_entries",)

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        self._entries = {(type(key) is bool, key): value for key, value in pairs}

    def __getitem__(self, key: Any) -> Any:
        return self._entries[type(key) is bool, key]

    def __iter__(self) -> Iterator[Any]:
        return (key for _, key in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"MixedMap({list(self.items())!r})"


MISSING: Any = object()
KEY_KINDS = frozenset({"string", "int", "uint", "bool"})
_KEY_CLASSES = (str, int, float)
_FEW = 64


def lookup(mapping: Mapping[Any, Any], key: Any) -> Any:
    """The value under a key, or MISSING. 1, 1u and 1.0 are one key; true is another."""
    if not isinstance(key, _KEY_CLASSES):
        return MISSING
    try:
        value = mapping[key]
    except KeyError:
        return MISSING
    if isinstance(key, str) or key not in (0, 1) or isinstance(mapping, MixedMap):
        return value
    if len(mapping) > _FEW:  # which key is there cannot be told without walking them all; a host's is no boolean
        return MISSING if isinstance(key, bool) else value
    is_bool = isinstance(key, bool)
    return value if any(isinstance(each, bool) is is_bool for each in mapping if each == key) else MISSING


def map_of(pairs: list[tuple[Any, Any]]) -> Mapping[Any, Any]:
    """A map with these entries; the same key twice is an error."""
    made: Mapping[Any, Any] = dict(pairs)
    if len(made) < len(pairs) or True in made or False in made:
        kinds = {type(key) is bool for key, _ in pairs}
        made = MixedMap(pairs) if len(kinds) > 1 else made
    if len(made) < len(pairs):
        raise EvaluationError("a map has the same key twice")
    return made


def merged(maps: list[Any]) -> Mapping[Any, Any]:
    """One map with the entries of several."""
    if not all(isinstance(each, Mapping) for each in maps):
        raise EvaluationError("`transformMapEntry` makes a map of each element")
    return map_of([entry for each in maps for entry in each.items()])


def adapted(value: Any) -> Any:
    """A value of the host as CEL counts it: its dates and times become ours."""
    if isinstance(value, datetime):
        return Timestamp.of(value)
    return Duration.of(value) if isinstance(value, timedelta) else value


def equals(left: Any, right: Any) -> bool:
    """CEL's `==`: numbers by value whatever their type, lists and maps by their elements, otherwise types differ.

    An int beside a double is taken as a double, as the specification's conformance tests want it.
    """
    kind, other = type(left), type(right)
    if kind is other and kind in _PLAIN:
        return bool(left == right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, float) or isinstance(right, float):
        return isinstance(left, (int, float)) and isinstance(right, (int, float)) and float(left) == float(right)
    if isinstance(left, (list, tuple)):
        return isinstance(right, (list, tuple)) and _same_lists(left, right)
    if isinstance(left, Mapping):
        return isinstance(right, Mapping) and _same_maps(left, right)
    if isinstance(left, OptionalValue) and isinstance(right, OptionalValue):
        return left.present == right.present and (not left.present or equals(left.value, right.value))
    return bool(adapted(left) == adapted(right))


_PLAIN = frozenset({str, int, float, bytes, bool, UInt, Timestamp, Duration})


def _same_lists(left: list[Any] | tuple[Any, ...], right: list[Any] | tuple[Any, ...]) -> bool:
    return len(left) == len(right) and all(map(equals, left, right))


def _same_maps(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    if len(left) != len(right):
        return False
    found = ((value, lookup(right, key)) for key, value in left.items())
    return all(other is not MISSING and equals(value, other) for value, other in found)


def int_in_range(value: int) -> int:
    """`value`, if it is a 64-bit int."""
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError("int overflow")
    return value


def uint_in_range(value: int) -> UInt:
    """`value` as a uint, if it is one."""
    if not 0 <= value <= UINT_MAX:
        raise EvaluationError("uint overflow")
    return UInt(value)
