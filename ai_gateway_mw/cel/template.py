"""`${...}` strings: split once, rendered per activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ai_gateway_mw.cel.environment import Environment, Expression
from ai_gateway_mw.cel.problems import ExpressionError, ExpressionProblem
from ai_gateway_mw.cel.rendering import render_value
from ai_gateway_mw.cel.scanner import end_of_expression, without_backslashes

_CLOSING = {"{": "}", "<": ">"}


class Template:
    """Text with expressions in it. `parts` are strings and expressions by turns, as they were written."""

    __slots__ = ("expressions", "parts", "text")

    def __init__(self, text: str, parts: tuple[str | Expression, ...]) -> None:
        self.text = text
        self.parts = parts
        self.expressions = tuple(part for part in parts if isinstance(part, Expression))

    @property
    def constant(self) -> bool:
        """True if there is nothing to evaluate."""
        return not self.expressions

    @property
    def sensitive(self) -> bool:
        """True if some expression calls a function that gives out secrets."""
        return any(each.sensitive for each in self.expressions)

    @property
    def variables(self) -> frozenset[str]:
        return frozenset().union(*(each.variables for each in self.expressions))

    @property
    def functions(self) -> frozenset[str]:
        return frozenset().union(*(each.functions for each in self.expressions))

    @property
    def selects(self) -> frozenset[str]:
        return frozenset().union(*(each.selects for each in self.expressions))

    @property
    def secrets(self) -> frozenset[tuple[Any, ...]]:
        return frozenset().union(*(each.secrets for each in self.expressions))

    @property
    def settled(self) -> bool:
        """True if the text changes only when one of `secrets` does."""
        return all(each.settled for each in self.expressions)

    def render(self, activation: Any) -> str:
        """The text with each expression's value in its place."""
        return "".join([part if isinstance(part, str) else render_value(part.run(activation)) for part in self.parts])

    def value(self, activation: Any) -> Any:
        """The value of the only part, if that is an expression; else the text."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Expression):
            return self.parts[0].run(activation)
        return self.render(activation)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def evaluated(tree: Any, evaluate: Callable[[Template], Any]) -> Any:
    """A tree of maps and lists, with what `evaluate` makes of each template in its place."""
    if isinstance(tree, Template):
        return evaluate(tree)
    if isinstance(tree, dict):
        return {name: evaluated(item, evaluate) for name, item in tree.items()}
    if isinstance(tree, list):
        return [evaluated(item, evaluate) for item in tree]
    return tree


def template(text: str, environment: Environment) -> Template:
    """Splits a text at `${...}` and `$<...>`; raises ExpressionError with every problem of every expression in it."""
    parts: list[str | Expression] = []
    problems: list[ExpressionProblem] = []
    literal, at = "", 0
    while (mark := text.find("$", at)) >= 0:
        literal += text[at:mark]
        following = text[mark + 1 : mark + 3]
        if following in ("${", "$<"):  # `$${` and `$$<` are how `${` and `$<` are written
            literal, at = literal + following, mark + 3
        elif following[:1] not in _CLOSING:
            literal, at = literal + "$", mark + 1
        else:
            if literal:
                parts.append(literal)
            literal = ""
            at = _interpolation(text, mark, environment, parts, problems)
    literal += text[at:]
    if literal:
        parts.append(literal)
    if problems:
        raise ExpressionError(text, problems)
    return Template(text, tuple(parts))


def _interpolation(
    text: str, mark: int, environment: Environment, parts: list[str | Expression], problems: list[ExpressionProblem]
) -> int:
    """Takes the interpolation that begins at `mark`; returns where the text goes on."""
    start = mark + 2
    closing = _CLOSING[text[mark + 1]]
    end = end_of_expression(text, start, closing)
    if end is None:
        problems.append(ExpressionProblem(f"`{text[mark:start]}` is never closed with `{closing}`", mark, 2))
        return len(text)
    if not text[start:end].strip():
        problems.append(ExpressionProblem("there is no expression in these brackets", mark, end + 1 - mark))
        return end + 1
    try:
        parts.append(environment.expression(without_backslashes(text[start:end])))
    except ExpressionError as error:
        problems.extend(problem.moved(start) for problem in error.problems)
    return end + 1
