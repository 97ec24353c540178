"""Regular expressions, all of them RE2."""

from __future__ import annotations

import itertools
import re
from typing import Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.limits import OverBudget, checked_size
from ai_gateway_mw.cel.patterns import compiled, finder, most_matches, quoted
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import BOOL, INT, STRING, ListType, OptionalType
from ai_gateway_mw.cel.values import NONE, OptionalValue


def _matches(text: str, pattern: str) -> bool:
    return finder(pattern)(text)


def _group(match: Any) -> str:
    """What is extracted: the group, if there is one."""
    return str(match[match.re.groups] or "")


def _extracting(pattern: str) -> Any:
    """The pattern, which must leave no doubt about the group that is meant."""
    program = compiled(pattern)
    if program.groups > 1:
        raise EvaluationError("a pattern to extract with has at most one group")
    return program


def _extract(text: str, pattern: str) -> OptionalValue:
    match = _extracting(pattern).search(text)
    return NONE if match is None else OptionalValue(True, _group(match))


def _all_matches(text: str, pattern: str) -> list[Any]:
    """Each takes a while, so that there is a limit."""
    most = most_matches(pattern)
    found = list(itertools.islice(compiled(pattern).finditer(text), most + 1))
    if len(found) > most:
        raise OverBudget(f"this pattern matches more than {most:,} times")
    return found


def _extract_all(text: str, pattern: str) -> list[str]:
    _extracting(pattern)
    return [_group(match) for match in _all_matches(text, pattern)]


_REFERENCE = re.compile(r"\\(.?)", re.DOTALL)


def _template(replacement: str) -> list[str | int]:
    """Texts and numbers of groups by turns: `\\1` is the first group, `\\0` all that matched, `\\\\` a backslash."""
    parts: list[str | int] = []
    for place, part in enumerate(_REFERENCE.split(replacement)):
        if place % 2 == 0 or part == "\\":
            parts.append(part)
        elif part.isascii() and part.isdigit():
            parts.append(int(part))
        else:
            raise EvaluationError("regex.replace: a backslash stands before a digit or another backslash")
    return parts


def _replace(text: str, pattern: str, replacement: str, count: int = -1) -> str:
    template = _template(replacement)
    matches = _all_matches(text, pattern)[: count if count >= 0 else None]
    if max((part for part in template if isinstance(part, int)), default=0) > compiled(pattern).groups:
        raise EvaluationError("regex.replace: the pattern has no such group")
    checked_size(len(text) * len(template) + len(matches) * len(replacement))
    pieces, at = [], 0
    for match in matches:
        pieces.append(text[at : match.start()])
        pieces += [part if isinstance(part, str) else match[part] or "" for part in template]
        at = match.end()
    return "".join([*pieces, text[at:]])


REGEX: tuple[Overload, ...] = (
    Overload("matches", (STRING, STRING), BOOL, _matches),
    Overload("matches", (STRING, STRING), BOOL, _matches, member=True),
    Overload("regex.quote", (STRING,), STRING, quoted),
    Overload("regex.extract", (STRING, STRING), OptionalType(STRING), _extract),
    Overload("regex.extractAll", (STRING, STRING), ListType(STRING), _extract_all),
    Overload("regex.replace", (STRING, STRING, STRING), STRING, _replace),
    Overload("regex.replace", (STRING, STRING, STRING, INT), STRING, _replace),
)
