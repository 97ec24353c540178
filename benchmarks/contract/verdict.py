"""What a campaign found: counts, and every case in which the promise was broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

_SHOWN = 40


@dataclass(slots=True)
class Verdict:
    """A promise is kept where nothing is `broken`: what was seen, by the case in which it was."""

    promise: str
    counts: dict[str, int | float] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=dict)
    judges_times: bool = True
    """A quick run does not: it is soon over, and may not have the machine to itself."""

    @property
    def kept(self) -> bool:
        return not self.broken

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def check(self, kept: bool, case: str, seen: object) -> None:
        if not kept:
            self.broke(case, str(seen))

    def check_time(self, kept: bool, case: str, seen: object) -> None:
        """The same for how long something took."""
        self.check(kept or not self.judges_times, case, seen)

    def broke(self, case: str, seen: str) -> None:
        self.broken.setdefault(case, []).append(seen)

    def as_json(self) -> dict[str, Any]:
        return {"promise": self.promise, "kept": self.kept, "counts": self.counts, "broken": self.broken}

    def __str__(self) -> str:
        lines = [f"{self.promise}: {'kept' if self.kept else 'BROKEN'}"]
        lines += [f"  {name}: {_number(value)}" for name, value in self.counts.items()]
        for case, seen in list(self.broken.items())[:_SHOWN]:
            lines.append(f"  broken ({len(seen)} times): {case}: {seen[0]}")
        left = len(self.broken) - _SHOWN
        return "\n".join([*lines, f"  and {left} cases more"] if left > 0 else lines)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done: `quick` is seconds, to see that all works; `scale` multiplies what is asked of a full run."""

    quick: bool = False
    scale: float = 1.0
    say: Callable[[str], None] = lambda text: None

    def verdict(self, promise: str) -> Verdict:
        return Verdict(promise, judges_times=not self.quick)

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else max(1, int(full * self.scale))


def percentile(values: Iterable[float], part: float) -> float:
    """The value that this part of them does not exceed; 0 of none."""
    ordered: Sequence[float] = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"
