"""What is under a field, a key or an index of a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai_gateway_mw.cel.declarations import Kinds
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.values import MISSING, NONE, OptionalValue, lookup


class Lookups:
    """Looks into maps, lists and objects of declared classes, and into nothing else."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def at(self, operand: Any, key: Any) -> Any:
        """An element, field or key's value; MISSING if there is no such thing."""
        if isinstance(operand, Mapping):
            return lookup(operand, key)
        if isinstance(operand, (list, tuple)):
            return _element(operand, key)
        known = isinstance(key, str) and key in self._kinds.fields(operand)
        return getattr(operand, key, MISSING) if known else MISSING

    def field(self, operand: Any, name: str) -> Any:
        """`operand.name`; a list has no fields."""
        return MISSING if isinstance(operand, (list, tuple)) else self.at(operand, name)

    def optional(self, operand: Any, key: Any) -> OptionalValue:
        """What is under a key, or absent; but a value that has neither fields nor keys is an error even so."""
        if isinstance(operand, OptionalValue):
            if not operand.present:
                return NONE
            operand = operand.value
        value = self.at(operand, key)
        if value is not MISSING:
            return OptionalValue(True, value)
        if isinstance(operand, (Mapping, list, tuple)):
            return NONE
        raise EvaluationError(f"a {self._kinds.of(operand)} has no fields")

    def present(self, operand: Any, key: Any) -> bool:
        """What `has` says of a field or key."""
        if isinstance(operand, OptionalValue):
            return self.optional(operand, key).present
        indexed = isinstance(operand, (list, tuple)) and not isinstance(key, str)
        if indexed or isinstance(operand, Mapping):
            return self.at(operand, key) is not MISSING
        if not isinstance(key, str) or key not in self._kinds.fields(operand):
            raise EvaluationError(f"a {self._kinds.of(operand)} has no such field")
        return getattr(operand, key, None) is not None

    def no_field(self, operand: Any, name: str) -> EvaluationError:
        kind = self._kinds.of(operand)
        return EvaluationError(f"no such {'key' if kind == 'map' else 'field'} in this {kind}: `{name}`")

    def no_key(self, operand: Any, shown: str) -> EvaluationError:
        """`shown` is the key as it was written, or empty."""
        kind = self._kinds.of(operand)
        if kind == "list":
            return EvaluationError(f"the list has {len(operand)} elements, none at this index{shown}")
        if kind == "map":
            return EvaluationError(f"no such key in this map{shown}")
        return EvaluationError(f"a {kind} has nothing to index")


def _element(values: list[Any] | tuple[Any, ...], key: Any) -> Any:
    whole = isinstance(key, int) or (isinstance(key, float) and key.is_integer())
    if not whole or isinstance(key, bool):
        return MISSING
    place = int(key)
    return values[place] if 0 <= place < len(values) else MISSING
