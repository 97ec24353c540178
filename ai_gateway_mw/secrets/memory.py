"""Secrets from a mapping, for tests and for apps that bring their own."""

from __future__ import annotations

from collections.abc import Mapping


class MemorySource:
    """Secrets by vault and name; changes to the mappings are seen."""

    name = "memory"

    def __init__(self, vaults: Mapping[str, Mapping[str, str]]) -> None:
        self._vaults = vaults

    def get(self, vault: str, name: str) -> str | None:
        return self._vaults.get(vault, {}).get(name)

    def place(self, vault: str, name: str) -> str:
        return f"memory[{vault!r}][{name!r}]"

    def describe(self) -> str:
        return "values given in code"
