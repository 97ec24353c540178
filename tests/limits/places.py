"""Places by themselves, as an exchange takes them that counts nothing else."""

from __future__ import annotations

from ai_gateway_mw.limits import Counters


def enter(counters: Counters, name: str, limit: int) -> bool:
    """Take one of so many; says whether there was one."""
    return counters.take((), (name, limit)).granted


def leave(counters: Counters, name: str) -> None:
    """Give one back."""
    counters.correct_all((), 0.0, (name, 0))
