"""What is wrong with a policy, each in its place; nothing that looks like a key is shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

# What looks like a key: by the prefix of a well-known provider, or long and of letters and digits.
_KEY_LIKE = re.compile(
    r"\b(?:sk[-_]|gsk_|xai-|hf_|r8_|pplx-|gw_sk_|AIza)[-_A-Za-z0-9]{6,}|\b(?=[-_A-Za-z]*[0-9])(?=[-_0-9]*[A-Za-z])[-_A-Za-z0-9]{32,}"
)


def without_keys(text: str) -> str:
    """The text with what looks like a key starred out, column for column: a key in a policy must not reach a log."""
    return _KEY_LIKE.sub(lambda found: "*" * len(found.group()), text)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; line and column count from 1, `text` is that whole line without keys."""

    file: str
    line: int
    column: int
    text: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", without_keys(self.text))

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a policy; `hint` is a name that was probably meant, or empty."""

    message: str
    place: Place | None = None
    hint: str = ""
    severity: Literal["error", "warning"] = "error"

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", without_keys(self.message))

    @property
    def headline(self) -> str:
        """The message on one line, without its place."""
        return f"{self.message}; did you mean `{self.hint}`?" if self.hint else self.message

    def as_json(self, file: str) -> dict[str, Any]:
        """As programs read it; without a place it is a problem of this file."""
        place = self.place or Place(file, 1, 1)
        return {
            "file": place.file,
            "line": place.line,
            "column": place.column,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
        }

    def __str__(self) -> str:
        if self.place is None:
            return self.headline
        lines = [f"{self.place}: {self.headline}"]
        if self.place.text.strip():
            lines += [f"  {self.place.text}", f"  {' ' * (self.place.column - 1)}^"]
        return "\n".join(lines)


class PolicyError(ValueError):
    """A policy that cannot be loaded; `problems` holds all that is wrong with it, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that `name` was probably meant to be, or an empty string."""
    candidates = list(known)
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return by_lower[found[0]] if found else ""
