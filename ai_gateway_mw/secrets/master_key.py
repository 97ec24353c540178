"""MasterKey: the one key from which an installation derives all others, from a setting or from a generated file."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from ai_gateway_mw.errors import SecretError
from ai_gateway_mw.secrets.appearing import appearing
from ai_gateway_mw.secrets.envelope import KEY_BYTES
from ai_gateway_mw.secrets.reading import text_of
from ai_gateway_mw.secrets.secret import Secret

MIN_PASSPHRASE: Final = 16
_HEX: Final = re.compile(r"[0-9A-Fa-f]{64}")
_BASE64: Final = re.compile(r"[0-9A-Za-z+/_-]{43}=?")


class MasterKey:
    """Never used itself: each purpose gets a key of its own, from which no way leads to another."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def derived(self, purpose: str) -> bytes:
        """The key of 32 bytes for one purpose, always the same."""
        return hmac.digest(self._key, f"ai-gateway {purpose}".encode(), "sha256")

    def __repr__(self) -> str:
        return "MasterKey()"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a MasterKey stays in its process")

    @classmethod
    def from_setting(cls, setting: Secret, salt: bytes) -> MasterKey:
        """32 bytes in base64 or hexadecimal as they are, any other text as a passphrase. Raises `SecretError`."""
        text = setting.reveal()
        if (key := _decoded(text)) is not None:
            return cls(key)
        if len(text) < MIN_PASSPHRASE:
            raise SecretError(f"the master key is a passphrase of fewer than {MIN_PASSPHRASE} characters")
        # OWASP's parameters for a tenth of a second and 32 MiB; the salt lies beside what the key seals.
        cost = {"n": 2**15, "r": 8, "p": 3, "maxmem": 64 * 1024 * 1024}
        return cls(hashlib.scrypt(text.encode(), salt=salt, dklen=KEY_BYTES, **cost))

    @classmethod
    def from_file(cls, path: Path) -> MasterKey | None:
        """The key that `make_file` once wrote, or None where there is no file. Raises `SecretError`."""
        text = text_of(path)
        if text is None:
            return None
        key = _decoded(text.strip())
        if key is None:
            raise SecretError(f"{path} does not hold a master key")
        return cls(key)

    @staticmethod
    def make_file(path: Path, *, random: Callable[[int], bytes] = os.urandom) -> None:
        """A new key in a new file that only its owner reads; nothing where there is a file already."""
        if path.exists():
            return
        with appearing(path, random=random) as draft, draft.open("wb") as file:
            file.write(base64.b64encode(random(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _decoded(text: str) -> bytes | None:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        return base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_").rstrip("=") + "=")
    return None
