"""Bounds: how long and deep an expression may be, and how much work evaluating it may cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ai_gateway_mw.cel.problems import EvaluationError

# No single text, list or map that a function makes may be larger than this, in characters; see `Budget.allocate`.
LARGEST_RESULT = 4 * 1024 * 1024
ERROR = 4  # steps that an error takes which is absorbed
_ELEMENT = 64  # characters that an element of a list or an entry of a map counts for


@dataclass(frozen=True, slots=True)
class Limits:
    """`length`, `tokens` (without commas) and `nesting` of the text, `depth` of its tree, `loops` in each other, and
    the size of its `patterns` once they are compiled bound what is loaded; `steps` of about 0.4 microseconds each, and
    `size` in characters, bound one evaluation.
    """

    length: int = 16 * 1024
    tokens: int = 1500
    nesting: int = 64
    depth: int = 128
    loops: int = 8
    patterns: int = 16 * 1024
    steps: int = 30_000
    size: int = 8 * 1024 * 1024


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
        """Charges for a value that was made."""
        if isinstance(value, (str, bytes)):
            self.size -= len(value)
        elif isinstance(value, (list, Mapping)):
            self.size -= len(value) * _ELEMENT
        if self.size < 0:
            raise OverBudget("this expression makes values that are too large")


def checked_size(size: int) -> int:
    """`size` in characters, unless nothing that large may be made; functions ask before they make it."""
    if size > LARGEST_RESULT:
        raise OverBudget("this expression makes values that are too large")
    return size


def checked_count(count: int) -> int:
    """`count` elements, unless no list or map may have so many."""
    checked_size(count * _ELEMENT)
    return count
