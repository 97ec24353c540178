"""Watcher: tells a process by SIGHUP that a file has other content than before."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchfiles import watch

_SETTLED: Final = 0.1  # seconds for which a file must stay as it is before it counts as written


def content(file: Path) -> bytes | None:
    """What is in the file, None where it cannot be read, or only once, as a pipe."""
    try:
        return file.read_bytes() if file.is_file() else None
    except OSError:
        return None


class Watcher:
    """A thread that watches the directory of a file, since editors and Kubernetes replace files instead of writing to
    them, and the directory that it links to. Only content other than what was `seen` counts, not a new time stamp.

    It looks every few seconds anyway: not every file system tells of changes, and links above the file can move.
    """

    def __init__(
        self, file: Path, seen: bytes | None, notify: Callable[[], None] | None = None, *, look_anyway: float = 2.0
    ) -> None:
        self._file = file
        self._seen = seen
        self._notify = notify or _hang_up
        self._look_anyway = look_anyway
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="policy watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            directories = self._directories()
            self._look()
            try:
                self._watch_while_there(directories)
            except OSError:  # a directory went away meanwhile
                self._over.wait(self._look_anyway)

    def _watch_while_there(self, directories: set[Path]) -> None:
        changes = watch(
            *directories,
            watch_filter=None,
            recursive=False,
            stop_event=self._over,
            rust_timeout=int(self._look_anyway * 1000),
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        for _ in changes:
            self._look()
            if self._directories() != directories:
                return

    def _directories(self) -> set[Path]:
        return {self._file.absolute().parent, Path(os.path.realpath(self._file)).parent}

    def _look(self) -> None:
        """Notify of other content, once it stays the same for a moment: a half-written policy may be a good one."""
        found = content(self._file)
        while found != self._seen and not self._over.wait(_SETTLED):
            again = content(self._file)
            if again == found:
                self._seen = found
                self._notify()
            found = again


def _hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)
