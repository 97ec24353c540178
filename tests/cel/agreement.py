"""What property tests compare with: when two values are one, what an expression comes to, and how hard to try."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import HealthCheck, settings

from ai_gateway_mw.cel import EvaluationError, OptionalValue


class _Fails:
    def __repr__(self) -> str:
        return "FAILS"


FAILS: Any = _Fails()


def examples(count: int) -> settings:
    """So many examples; CEL_EXAMPLES multiplies them, for a search that may take its time."""
    factor = float(os.environ.get("CEL_EXAMPLES", "1"))
    return settings(max_examples=max(1, int(count * factor)), deadline=None, suppress_health_check=list(HealthCheck))


def outcome(run: Callable[..., Any], *args: Any) -> Any:
    """The value, or FAILS for a CEL error."""
    try:
        return run(*args)
    except EvaluationError:
        return FAILS


def same(left: Any, right: Any) -> bool:
    """Stricter than CEL's `==`: 1, 1u, 1.0 and true are four values, 0.0 and -0.0 are two. Maps: in any order."""
    if isinstance(left, (list, tuple)):
        return isinstance(right, (list, tuple)) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Mapping):
        return isinstance(right, Mapping) and _same_entries(left, right)
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return left == right and str(left) == str(right) if left == left else right != right
    if isinstance(left, OptionalValue):
        return left.present == right.present and (not left.present or same(left.value, right.value))
    return left is right if left is FAILS else bool(left == right)


def _same_entries(left: Mapping[Any, Any], right: Mapping[Any, Any]) -> bool:
    others = {(type(key), key): value for key, value in right.items()}
    return len(left) == len(right) and all(
        (type(key), key) in others and same(value, others[type(key), key]) for key, value in left.items()
    )
