"""Several secrets in one text: a JSON object, or lines of `key: value`. Says what is wrong without showing it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from ai_gateway_mw.errors import SecretUnusable


def members(text: str, place: str) -> dict[str, str]:
    """The secrets of a file: JSON if it starts with a brace, else `key: value` lines, `#` comments and blank lines.

    A value reaches to the end of its line; one pair of quotes around it is taken off. Raises `SecretUnusable`.
    """
    if text.lstrip().startswith("{"):
        return json_members(text, place)
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise SecretUnusable(f"{place}:{number}: expected `key: value`")
            if name.strip() in found:
                raise SecretUnusable(f"{place}:{number}: a name for the second time")
            found[name.strip()] = _unquoted(value.strip())
    return found


def json_members(text: str, place: str) -> dict[str, str]:
    """The strings of a JSON object. Raises `SecretUnusable`."""
    document: Any = None
    with suppress(ValueError, RecursionError):  # json's own error carries the whole text
        document = json.loads(text, object_pairs_hook=_unique)
    if not isinstance(document, dict):
        raise SecretUnusable(f"{place} is not a JSON object whose names are all different")
    for name, value in document.items():
        if not isinstance(value, str):
            raise SecretUnusable(f"{place}: the value of `{name}` is not a string")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError
    return unique


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value
