"""Regular expressions, all of them RE2."""

from __future__ import annotations

from typing import Any

import re2

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.limits import checked_size
from ai_gateway_mw.cel.patterns import compiled, finder
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import BOOL, INT, STRING, ListType, OptionalType
from ai_gateway_mw.cel.values import NONE, OptionalValue


def _matches(text: str, pattern: str) -> bool:
    return finder(pattern)(text)


def _group(match: Any) -> str:
    if match.re.groups > 1:
        raise EvaluationError("regex.extract takes a pattern with at most one group")
    return str(match[1 if match.re.groups else 0] or "")


def _extract(text: str, pattern: str) -> OptionalValue:
    match = compiled(pattern).search(text)
    return NONE if match is None else OptionalValue(True, _group(match))


def _extract_all(text: str, pattern: str) -> list[str]:
    return [_group(match) for match in compiled(pattern).finditer(text)]


def _replace(text: str, pattern: str, replacement: str, count: int = -1) -> str:
    """`\\1` in the replacement is the first group."""
    if count == 0:
        return text
    checked_size(len(text) + (len(text) + 1) * len(replacement))
    return str(compiled(pattern).sub(replacement, text, max(count, 0)))


REGEX: tuple[Overload, ...] = (
    Overload("matches", (STRING, STRING), BOOL, _matches),
    Overload("matches", (STRING, STRING), BOOL, _matches, member=True),
    Overload("regex.quote", (STRING,), STRING, re2.escape),
    Overload("regex.extract", (STRING, STRING), OptionalType(STRING), _extract),
    Overload("regex.extractAll", (STRING, STRING), ListType(STRING), _extract_all),
    Overload("regex.replace", (STRING, STRING, STRING), STRING, _replace),
    Overload("regex.replace", (STRING, STRING, STRING, INT), STRING, _replace),
)
