"""What a measure has found: figures of each server, and how they are shown, with their ratio to one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

Figures = Mapping[str, float | None]
REFERENCES: Final = ("nginx", "haproxy", "envoy")
"""Beside whom the ratios are; the first of them that was measured."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    """With its unit."""
    digits: int = 0
    ratio: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    title: str
    columns: Sequence[Column]
    rows: Mapping[str, Figures]
    notes: Sequence[str] = field(default=())

    @property
    def reference(self) -> str | None:
        """The server beside which the others stand."""
        return next((name for name in REFERENCES if any(self.rows.get(name, {}).values())), None)

    def ratio(self, row: str, column: str) -> float | None:
        if self.reference is None or row == self.reference:
            return None
        ours, theirs = self.rows[row].get(column), self.rows[self.reference].get(column)
        return ours / theirs if ours is not None and theirs else None

    def as_json(self) -> dict[str, Any]:
        ratios = {
            row: {column.name: self.ratio(row, column.name) for column in self.columns if column.ratio}
            for row in self.rows
        }
        return {
            "title": self.title,
            "figures": {name: dict(figures) for name, figures in self.rows.items()},
            "ratios_to": self.reference,
            "ratios": ratios,
            "notes": list(self.notes),
        }


def medians(rounds: Sequence[Figures]) -> Figures:
    """Of each figure over the rounds, as far as it is known."""
    names = list(dict.fromkeys(name for one in rounds for name in one))
    return {name: _median([one.get(name) for one in rounds]) for name in names}


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def table(result: Result) -> str:
    """For people: a line for each server, and behind a figure how many times the reference's it is."""
    shown = [[name, *(_cell(result, name, column) for column in result.columns)] for name in result.rows]
    lines = [["", *(column.name for column in result.columns)], *shown]
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines]
    beside = f"  (x: times {result.reference})" if result.reference and len(result.rows) > 1 else ""
    return "\n".join([f"{result.title}{beside}", *text, *(f"  {note}" for note in result.notes)])


def _cell(result: Result, row: str, column: Column) -> str:
    value = result.rows[row].get(column.name)
    if value is None:
        return "-"
    text = f"{value:,.{column.digits}f}"
    ratio = result.ratio(row, column.name) if column.ratio else None
    return text if ratio is None else f"{text} x{ratio:.{2 if ratio < 10 else 0}f}"
