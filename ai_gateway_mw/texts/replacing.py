"""What is looked for in a text, and what takes its place. All of it works on UTF-8: RE2 does, and so do bodies."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ai_gateway_mw.cel import compiled_pattern
from ai_gateway_mw.texts.prefixes import begun_pattern

_REFERENCE: Final = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)\})")
_MOST: Final = 100_000  # matches in one body: each takes a few microseconds, in which nobody else has a turn

Expand = Callable[[Any], bytes | None]


class TooManyMatches(Exception):
    """A pattern that matches everywhere, in a body that is long."""


class Found(NamedTuple):
    """The first match of a replacement, by its number."""

    number: int
    matched: bytes


def expander(replacement: str) -> Expand:
    """Makes what takes the place of a match, by the rules of Go's `Expand`: `$1`, `$name`, `$$`; a group that there is
    not, or that took no part, gives nothing."""
    parts: list[bytes | str | int] = []
    at = 0
    for match in _REFERENCE.finditer(replacement):
        parts.append(replacement[at : match.start()].encode("utf-8", "surrogatepass"))
        name = match[2] or match[3]
        parts.append(b"$" if match[1] else int(name) if name.isascii() and name.isdigit() else name)
        at = match.end()
    parts.append(replacement[at:].encode("utf-8", "surrogatepass"))
    if len(parts) == 1:
        fixed = parts[0]
        assert isinstance(fixed, bytes)
        return lambda match: fixed
    return lambda match: b"".join([part if isinstance(part, bytes) else _group(match, part) for part in parts])


def _group(match: Any, group: str | int) -> bytes:
    if isinstance(group, str):
        group = next((index for name, index in match.re._regexp.NamedCapturingGroups() if name == group.encode()), -1)
    if not 0 <= group <= match.re.groups:
        return b""
    return match.group(group) or b""


def found_result(found: Sequence[Found]) -> dict[str, Any]:
    """The result of a find-replace action: the first match of each replacement that had one."""
    first: dict[int, bytes] = {}
    for each in found:
        first.setdefault(each.number, each.matched)
    return {
        "replacements": [
            {"replacement_index": number, "matched_content": matched.decode("utf-8", "replace")}
            for number, matched in first.items()
        ]
    }


@dataclass(frozen=True, slots=True, eq=False)
class Replacer:
    """One pattern and what takes the place of its matches; `expand` gives None where a match is none after all.

    `action` and `index` say whose it is, for the result. `reach`: how many bytes of a text that comes in pieces may be
    held back for it.
    """

    pattern: str
    expand: Expand
    action: str = ""
    index: int = 0
    reach: int = 0
    program: Any = field(init=False)
    begun: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "program", compiled_pattern(self.pattern))
        if self.reach:
            object.__setattr__(self, "begun", begun_pattern(self.pattern))


def replaced(data: bytes, replacer: Replacer, most: int = _MOST) -> tuple[bytes, bytes | None]:
    """The text with all matches replaced, and the first of them; the same object where there is none."""
    pieces: list[bytes] = []
    at, first, expand, last = 0, None, replacer.expand, -1
    for number, match in enumerate(replacer.program.finditer(data)):
        if number >= most:
            raise TooManyMatches
        start, end = match.span()
        if start == end and (start == last or (start < len(data) and 0x80 <= data[start] < 0xC0)):
            continue  # nothing, right behind a match (Go's rule) or between the bytes of one character
        last = end
        made = expand(match)
        if made is None:
            continue
        if first is None:
            first = data[start:end]
        pieces += [data[at:start], made]
        at = end
    return (b"".join([*pieces, data[at:]]) if first is not None else data), first


def all_replaced(data: bytes, replacers: Sequence[Replacer]) -> tuple[bytes, list[Found]]:
    """The text with one replacement after the other, each on what the one before has made."""
    found = []
    for replacer in replacers:
        data, first = replaced(data, replacer)
        if first is not None:
            found.append(Found(replacer.index, first))
    return data, found
