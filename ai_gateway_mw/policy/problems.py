"""Collects what is wrong with a policy, so that one load reports all of it."""

from __future__ import annotations

from ai_gateway_mw.errors import Place, PolicyError, Problem

MAX_PROBLEMS = 500


class Problems:
    """Errors and warnings found so far; the same one at the same place counts once."""

    def __init__(self) -> None:
        self._found: dict[Problem, None] = {}

    def error(self, message: str, place: Place, *, hint: str = "") -> None:
        self._add(Problem(message, place, hint))

    def warning(self, message: str, place: Place) -> None:
        self._add(Problem(message, place, severity="warning"))

    def fatal(self, message: str, place: Place, *, hint: str = "") -> PolicyError:
        """All problems so far and a last one, to be raised: what follows cannot be read."""
        self._found[Problem(message, place, hint)] = None
        return PolicyError(self.in_order())

    def warnings(self) -> tuple[Problem, ...]:
        """The warnings, if there is nothing worse; else everything is raised."""
        found = self.in_order()
        if any(problem.severity == "error" for problem in found):
            raise PolicyError(found)
        return found

    def in_order(self) -> tuple[Problem, ...]:
        """What was found, in the order of the file."""
        return tuple(sorted(self._found, key=_position))

    def _add(self, problem: Problem) -> None:
        self._found[problem] = None
        if len(self._found) >= MAX_PROBLEMS and problem.place:
            raise self.fatal("there are too many problems to show; here they stop", problem.place)


def _position(problem: Problem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place else (0, 0)
