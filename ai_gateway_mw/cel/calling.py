"""Calls: the overload that takes some values, and what its errors become."""

from __future__ import annotations

from typing import Any

from ai_gateway_mw.cel.declarations import Kinds, Overload, accepts
from ai_gateway_mw.cel.nodes import Apply
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.values import adapted


class Calls:
    """Applies functions; which overload takes which kinds of values is found out once."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._chosen: dict[tuple[Any, ...], Overload | None] = {}

    def call(self, node: Apply, args: list[Any], activation: Any) -> Any:
        """Applies the overload that takes these values."""
        overload = self.overload(node, args)
        if overload is None:
            kinds = ", ".join(map(self._kinds.of, args))
            raise EvaluationError(f"`{node.function.strip('_')}` does not take ({kinds})", node.offset)
        try:
            taken = [adapted(arg) for arg in args]
            return overload.call(activation, *taken) if overload.contextual else overload.call(*taken)
        except EvaluationError as error:
            if error.offset is None:
                error.offset = node.offset
            raise
        except Exception as error:  # noqa: BLE001 - whatever a function raises is a CEL error
            cause = None if overload.sensitive else error
            raise EvaluationError(f"`{overload.name}` failed: {type(error).__name__}", node.offset) from cause

    def overload(self, node: Apply, args: list[Any]) -> Overload | None:
        """The first of the call's overloads that takes values of these kinds."""
        kinds = tuple(map(self._kinds.of, args))
        key = (node, kinds)
        if key not in self._chosen:
            fitting = (each for each in node.overloads if _takes(each, kinds))
            self._chosen[key] = next(fitting, None)
        return self._chosen[key]


def _takes(overload: Overload, kinds: tuple[str, ...]) -> bool:
    return len(overload.params) == len(kinds) and all(map(accepts, overload.params, kinds))
