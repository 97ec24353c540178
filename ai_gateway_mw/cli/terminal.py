"""Tells a SIGHUP that asks for a reload from the one that a closed terminal sends to what runs in it."""

from __future__ import annotations

import os

_STANDARD_INPUT = 0


class Terminal:
    """The terminal that this process was started from, if any."""

    def __init__(self) -> None:
        self._was_there = os.isatty(_STANDARD_INPUT)

    @property
    def is_gone(self) -> bool:
        return self._was_there and not os.isatty(_STANDARD_INPUT)
