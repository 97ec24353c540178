"""The beginnings of what a pattern matches, as a pattern: what tells whether a text may yet become a match.

For `ab+c` it is, at the end of a text, `a`, `ab`, `abb`, … and `abc` itself, which may go on being one. Anchors are
left out: what they would refuse is held back for a moment longer, and nothing else.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ai_gateway_mw.cel import bad_pattern, compiled_pattern

_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:[pP](?:\{[^}]*\}|.)|x(?:\{[0-9A-Fa-f]+\}|[0-9A-Fa-f]{2})|[0-7]{1,3}|.)", re.DOTALL)
_GROUP: Final = re.compile(r"\((?:\?P?<\w+>|\?:)?")
_FLAGS: Final = re.compile(r"\(\?([a-zA-Z-]+)([:)])")
_QUANTIFIER: Final = re.compile(r"(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})\??")
_DEEPEST: Final = 32


class _Unknown(Exception):
    """Something that this module does not read; then everything may be the beginning of a match."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a sequence: `whole` matches it once, `begun` the beginnings of that, and it comes so many times."""

    whole: str
    begun: str
    least: int = 1
    most: int | None = 1

    @property
    def repeated(self) -> str:
        if (self.least, self.most) == (1, 1):
            return self.whole
        return f"{self.whole}{{{self.least},{'' if self.most is None else self.most}}}"


@functools.lru_cache(256)
def begun_pattern(pattern: str) -> Any:
    """Compiled: matches at the end of a text what may go on to a match. None where that cannot be told."""
    try:
        reader = _Reader(pattern)
        made = f"(?:{reader.choice(0)[1]})\\z"
        if reader.at < len(pattern):
            return None
    except _Unknown:
        return None
    return None if bad_pattern(made) else compiled_pattern(made)


class _Reader:
    """Reads one pattern that RE2 takes."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0

    def choice(self, depth: int) -> tuple[str, str]:
        """Alternatives: what matches all of one, and what matches its beginnings."""
        if depth > _DEEPEST:
            raise _Unknown
        wholes, beginnings = [], []
        while True:
            parts, flags = self._sequence(depth)
            wholes.append(flags + "".join(part.repeated for part in parts))
            beginnings.append(flags + _beginnings(parts))
            if self.pattern[self.at : self.at + 1] != "|":
                return "|".join(wholes), "|".join(beginnings)
            if flags:
                raise _Unknown  # they hold for the alternatives that follow, too
            self.at += 1

    def _sequence(self, depth: int) -> tuple[Sequence[_Part], str]:
        parts: list[_Part] = []
        flags = ""
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            if (found := _FLAGS.match(self.pattern, self.at)) is not None and found[2] == ")":
                if parts:
                    raise _Unknown
                flags += found[0]
                self.at = found.end()
                continue
            part = self._atom(depth)
            repeated = _QUANTIFIER.match(self.pattern, self.at)
            if repeated is not None:
                self.at = repeated.end()
            if part is not None:
                parts.append(part if repeated is None else _times(part, repeated))
        return parts, flags

    def _atom(self, depth: int) -> _Part | None:
        """One atom; None for an anchor."""
        pattern, at = self.pattern, self.at
        character = pattern[at]
        if character == "(":
            return self._group(depth)
        if character in "^$":
            self.at += 1
            return None
        found = {"[": _CLASS, "\\": _ESCAPE}.get(character)
        match = found.match(pattern, at) if found else None
        if found and match is None:
            raise _Unknown
        text = match[0] if match else character
        self.at += len(text)
        if text[:2] in ("\\Q", "\\E", "\\C"):
            raise _Unknown
        return None if text in ("\\b", "\\B", "\\A", "\\z") else _Part(text, f"{text}?")

    def _group(self, depth: int) -> _Part:
        flags = _FLAGS.match(self.pattern, self.at)
        opened = flags if flags is not None and flags[2] == ":" else _GROUP.match(self.pattern, self.at)
        assert opened is not None
        self.at = opened.end()
        whole, begun = self.choice(depth + 1)
        if self.pattern[self.at : self.at + 1] != ")":
            raise _Unknown
        self.at += 1
        head = flags[0] if opened is flags and flags is not None else "(?:"
        return _Part(f"{head}{whole})", f"{head}{begun})")


def _times(part: _Part, quantifier: re.Match[str]) -> _Part:
    kind = quantifier[0][0]
    if kind != "{":
        return _Part(part.whole, part.begun, int(kind == "+"), 1 if kind == "?" else None)
    least = int(quantifier[1])
    most = least if not quantifier[2] else int(quantifier[3]) if quantifier[3] else None
    return _Part(part.whole, part.begun, least, most)


def _beginnings(parts: Sequence[_Part]) -> str:
    """What matches the beginnings of a sequence: some of its parts whole, and the next one begun."""
    made = ""
    for part in reversed(parts):
        if (part.least, part.most) == (1, 1) and part.begun == f"{part.whole}?":
            made = f"(?:{part.whole}{made})?"
        elif part.most == 0:
            continue
        else:
            before = "" if part.most == 1 else f"{part.whole}{{0,{'' if part.most is None else part.most - 1}}}"
            made = f"(?:{before}{part.begun}|{part.repeated}{made})"
    return made
