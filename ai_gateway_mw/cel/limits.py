"""Bounds: how long and deep an expression may be, and how much work evaluating it may cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ai_gateway_mw.cel.problems import EvaluationError

# No single text, list or map that a function makes may have more characters or elements than this.
LARGEST_RESULT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`length`, `tokens` and `nesting` of the text, `depth` of its tree and `loops` in each other; `steps` and `size` bound
    one evaluation."""

    length: int = 16 * 1024
    tokens: int = 4096
    nesting: int = 64
    depth: int = 128
    loops: int = 8
    steps: int = 30_000
    size: int = 32 * 1024 * 1024


class OverBudget(EvaluationError):
    """The one error that nothing absorbs: neither `||` nor `exists` nor leniency."""


class Budget:
    """What one evaluation may still use."""

    __slots__ = ("size", "steps")

    def __init__(self, limits: Limits) -> None:
        self.steps = limits.steps
        self.size = limits.size

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise OverBudget("this expression takes too many steps")

    def allocate(self, value: Any) -> None:
        """Charges for a value that was made; an element of a list counts as much as 64 characters."""
        if isinstance(value, (str, bytes)):
            self.size -= len(value)
        elif isinstance(value, (list, Mapping)):
            self.size -= len(value) * 64
        if self.size < 0:
            raise OverBudget("this expression makes values that are too large")


def work(function: str, args: Iterable[Any]) -> int:
    """How many steps a call counts for: most functions look at every element or character that they get."""
    if function in CONSTANT_WORK:
        return 0
    return sum(len(arg) >> _SHIFT.get(type(arg), 10) for arg in args if type(arg) in _SHIFT)


# An element of a list takes a quarter of a step, a thousand characters take one.
_SHIFT: dict[type, int] = {list: 2, tuple: 2, str: 10, bytes: 10}
CONSTANT_WORK = frozenset({"size", "type", "dyn", "optional.of", "first", "last", "startsWith", "endsWith"})


def checked_size(size: int) -> int:
    """`size`, unless nothing that large may be made; functions ask before they make it."""
    if size > LARGEST_RESULT:
        raise OverBudget("this expression makes values that are too large")
    return size
