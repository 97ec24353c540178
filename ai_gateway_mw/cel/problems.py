"""What can be wrong with an expression: problems found when it is loaded, and the error of one that fails when run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExpressionProblem:
    """One thing that is wrong with an expression; `offset` counts characters from 0, `hint` is a name or empty."""

    message: str
    offset: int
    length: int = 1
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.message}; did you mean `{self.hint}`?" if self.hint else self.message

    def moved(self, by: int) -> ExpressionProblem:
        """The same problem in a text where the expression starts `by` characters later."""
        return ExpressionProblem(self.message, self.offset + by, self.length, self.hint)


class ExpressionError(ValueError):
    """An expression that cannot be used; `problems` holds all that is wrong with it, in the order of the text."""

    def __init__(self, text: str, problems: Iterable[ExpressionProblem]) -> None:
        self.text = text
        self.problems = tuple(sorted(problems, key=lambda problem: problem.offset))
        super().__init__("\n".join(self._shown(problem) for problem in self.problems))

    def _shown(self, problem: ExpressionProblem) -> str:
        start = self.text.rfind("\n", 0, problem.offset) + 1
        line = self.text[start:].partition("\n")[0]
        column = problem.offset - start
        if len(line) > 160:
            cut = max(0, column - 60)
            line, column = line[cut : cut + 120], column - cut
        return f"{problem}\n  {line}\n  {' ' * column}^"


class EvaluationError(Exception):
    """A CEL error. Its message names types and words of the expression, never values that it met.

    `offset` is where in the expression it arose, when that is known.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset


_LONGEST_MEANT = 80


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that `name` was probably meant to be, or an empty text."""
    if len(name) > _LONGEST_MEANT:
        return ""
    names = sorted(set(known))
    folded = {each.lower().replace("_", ""): each for each in names}
    same = folded.get(name.lower().replace("_", ""))
    if same is not None:
        return same
    import difflib  # noqa: PLC0415 - only who made a mistake pays for loading it

    near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    return near[0] if near else ""
