"""What one evaluation carries along."""

from __future__ import annotations

from typing import Any

from ai_gateway_mw.cel.limits import Budget
from ai_gateway_mw.cel.problems import EvaluationError


class Frame:
    """One evaluation: what is read from, the variables of macros, and what work is still allowed."""

    __slots__ = ("activation", "budget", "locals")

    def __init__(self, activation: Any, budget: Budget, locals_: dict[str, Any]) -> None:
        self.activation = activation
        self.budget = budget
        self.locals = locals_


class Failed:
    """Stands for the value of a variable whose making failed; whoever reads it gets the error."""

    __slots__ = ("error",)

    def __init__(self, error: EvaluationError) -> None:
        self.error = error
