"""Bounds: how long and deep an expression may be, and how much work evaluating it may cause."""

from __future__ import annotations

from dataclasses import dataclass

from ai_gateway_mw.cel.problems import EvaluationError

# No single text, list or map that a function makes may have more characters or elements than this.
LARGEST_RESULT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """`length` and `nesting` of the text, `depth` of its tree and `loops` in each other; `steps` and `size` bound
    one evaluation."""

    length: int = 16 * 1024
    nesting: int = 64
    depth: int = 128
    loops: int = 8
    steps: int = 100_000
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

    def allocate(self, size: int) -> None:
        self.size -= size
        if self.size < 0:
            raise OverBudget("this expression makes values that are too large")


def checked_size(size: int) -> int:
    """`size`, unless nothing that large may be made; functions ask before they make it."""
    if size > LARGEST_RESULT:
        raise OverBudget("this expression makes values that are too large")
    return size
