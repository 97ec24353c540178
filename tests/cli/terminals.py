"""A command on a terminal of its own, as somebody sits at one."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.servers import PATIENCE, clean_environment


class AtTerminal:
    """`python -m ai_gateway_mw ...` at a terminal; `shown` is what stood on it so far."""

    def __init__(self, *arguments: str, directory: Path) -> None:
        self._call = [sys.executable, "-m", "ai_gateway_mw", *arguments]
        self._directory = directory
        self.shown = ""
        self._seen = 0

    def __enter__(self) -> Self:
        self._ours, theirs = pty.openpty()
        environment = clean_environment() | {"TERM": "dumb"}
        self._process = subprocess.Popen(
            self._call,
            cwd=self._directory,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        return self

    def __exit__(self, *failure: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def type_after(self, prompt: str, text: str) -> None:
        self.wait_for(prompt)
        os.write(self._ours, f"{text}\n".encode())

    def wait_for(self, text: str) -> None:
        """Read on until this stands there, after what was waited for before."""
        while (at := self.shown.find(text, self._seen)) < 0:
            self.shown += os.read(self._ours, 1024).decode()
        self._seen = at + len(text)

    def close(self) -> None:
        """The window is closed."""
        if self._ours >= 0:
            os.close(self._ours)
        self._ours = -1

    def exit_code(self) -> int:
        """Wait for the end, and read what is still to be read."""
        try:
            while self._ours >= 0 and (piece := os.read(self._ours, 1024)):
                self.shown += piece.decode()
        except OSError:  # nobody has the other side open any more
            pass
        return self._process.wait(PATIENCE)
