"""The Markdown of the reference: paragraphs, tables, and what stands on every page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from ai_gateway_mw.policy import Phase

MADE: Final = "Made from the code by `python -m tests.test_policy_docs`; change it there."


def whole(*parts: str) -> str:
    """Headings, paragraphs and tables, one after the other."""
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def paragraph(*sentences: str) -> str:
    """A paragraph, in lines."""
    return textwrap.fill(" ".join(sentences), 120, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a `|` in a cell is one of its text."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def phase_names(known: frozenset[Phase]) -> str:
    """The names of phases, in the order in which they run."""
    return "all" if known == frozenset(Phase) else ", ".join(f"`{phase}`" for phase in Phase if phase in known)
