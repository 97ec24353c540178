"""Secrets from a `.env` file, under the names that `env.py` uses for variables of the process."""

from __future__ import annotations

import io
from pathlib import Path

from dotenv import dotenv_values

from ai_gateway_mw.secrets.env import VARIABLE_PREFIX, value_of, variable
from ai_gateway_mw.secrets.reading import text_of


class DotenvSource:
    """The file is read on every call, and `${...}` in it is left alone: a dollar sign in a secret means itself."""

    name = "dotenv"

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, vault: str, name: str) -> str | None:
        text = text_of(self._path)
        if text is None:
            return None
        values = dotenv_values(stream=io.StringIO(text), interpolate=False)
        return value_of(
            {key: value for key, value in values.items() if value is not None}, vault, name, str(self._path)
        )

    def place(self, vault: str, name: str) -> str:
        return f"{variable(vault, name)} in {self._path}"

    def describe(self) -> str:
        return f"variables {VARIABLE_PREFIX}<VAULT>__<NAME> in {self._path}"
