"""SecretSource: what the store asks, one after the other."""

from __future__ import annotations

from typing import Final, Protocol

DEFAULT_VAULT: Final = "default"


class SecretSource(Protocol):
    """A place where secrets are kept. It reads anew on every call; the store is what remembers."""

    name: str

    def get(self, vault: str, name: str) -> str | None:
        """The value as it stands there, or None where it does not. Raises `SecretError` where it cannot be read."""

    def place(self, vault: str, name: str) -> str:
        """Where exactly this secret would be, for people."""

    def describe(self) -> str:
        """What this source is, for `doctor`."""
