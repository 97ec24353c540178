"""Claims with their amounts written beside them, and places as an exchange takes them that counts nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from ai_gateway_mw.limits import Counters, Taken, Window, claim_of, place_of

Amount = tuple[str, Window, int, int]


def take(counters: Counters, claims: Sequence[Amount], place: tuple[str, int] | None = None) -> Taken:
    """Take of each counter the amount that stands last."""
    numbered = [claim_of(name, window, limit, number) for number, (name, window, limit, _) in enumerate(claims)]
    return counters.take(numbered, [amount for *_, amount in claims], place and place_of(*place))


def correct(
    counters: Counters, name: str, window: Window, at: float, difference: int, place: tuple[str, int] | None = None
) -> None:
    """Make what was taken at that time more or less."""
    counters.correct([claim_of(name, window, 0)], [difference], at, place and place_of(*place))


def enter(counters: Counters, name: str, limit: int) -> bool:
    """Take one of so many; says whether there was one."""
    return take(counters, (), (name, limit)).granted


def leave(counters: Counters, name: str) -> None:
    """Give one back."""
    counters.correct((), (), 0.0, place_of(name, 0))
