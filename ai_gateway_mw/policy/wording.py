"""How messages name what was found and what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_LONGEST = 40


def found(value: Any) -> str:
    """A value as a message names it; long text is cut, containers are not shown."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text `{value if len(value) <= _LONGEST else value[:_LONGEST] + '…'}`" if value else "empty text"
    return str(value)


def listed(names: Iterable[object], last: str = "or") -> str:
    """`a`, `b` or `c`."""
    quoted = [f"`{name}`" for name in names]
    return f" {last} ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))
