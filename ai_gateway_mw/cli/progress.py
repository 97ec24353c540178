"""Progress lines for what may take more than a moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def progress(title: str, *, every: float = 2.0) -> Iterator[None]:
    """Say what is being done, and again every two seconds for as long as it lasts."""
    over = threading.Event()
    begun = time.monotonic()

    def tell() -> None:
        while not over.wait(every):
            print(f"  still at it, {time.monotonic() - begun:.0f} s", flush=True)

    print(f"{title} ...", flush=True)
    teller = threading.Thread(target=tell, name="progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
