"""A clock that is moved by hand."""

from __future__ import annotations


class Clock:
    """2026-03-10 12:00:00 UTC, until somebody moves it."""

    def __init__(self, now: float = 1_773_144_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
