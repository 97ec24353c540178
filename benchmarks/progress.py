"""What a long command says meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def progress(name: str = "") -> Callable[[str], None]:
    """Prints a line on stderr, with the seconds since this was called."""
    begun = time.monotonic()
    of = f"{name}: " if name else ""

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:5.0f} s  {of}{text}", file=sys.stderr, flush=True)

    return say
