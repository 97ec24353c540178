"""Secrets from a directory of files, as Docker, systemd and Kubernetes mount them."""

from __future__ import annotations

from pathlib import Path

from ai_gateway_mw.secrets.members import members
from ai_gateway_mw.secrets.reading import text_of
from ai_gateway_mw.secrets.secret import full_name


class FilesSource:
    """`<directory>/<vault>/<name>` holds one secret; a file `<directory>/<vault>` holds all of a vault.

    Nothing is remembered, so that a Kubernetes mount, whose `..data` link moves to a new directory, is seen to change.
    """

    name = "files"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, vault: str, name: str) -> str | None:
        full_name(vault, name)  # no name leads out of the directory
        alone = text_of(self._directory / vault / name)
        if alone is not None:
            return _without_newline(alone)
        together = text_of(self._directory / vault)
        return None if together is None else members(together, str(self._directory / vault)).get(name)

    def place(self, vault: str, name: str) -> str:
        return f"file {self._directory / vault / name}"

    def describe(self) -> str:
        return f"files {self._directory / '<vault>' / '<name>'}"


def _without_newline(text: str) -> str:
    """Editors and `echo` end a file with one line break, which is no part of the secret."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
