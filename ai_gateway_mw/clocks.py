"""The clock on the wall, as services take it: tests hand in one that they move by hand; and what is said seldom."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

_MINUTE: Final = 60.0  # seconds


def utc_now() -> datetime:
    return datetime.now(UTC)


class Seldom:
    """When to say again what would have to be said all the time: once in a minute."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = float("-inf")

    def is_due(self, now: float) -> bool:
        """Whether it is to be said now, in seconds of any clock; whoever asks says it then. A clock that was put back
        keeps nobody silent."""
        if abs(now - self._last) < _MINUTE:
            return False
        self._last = now
        return True
