"""MasterKey: the one key from which an installation derives all others, from a setting or from a generated file."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NoReturn

from ai_gateway_mw.errors import SecretError
from ai_gateway_mw.secrets.atomic_files import appearing
from ai_gateway_mw.secrets.envelope import KEY_BYTES
from ai_gateway_mw.secrets.reading import text_of
from ai_gateway_mw.secrets.secret import Secret

MIN_PASSPHRASE: Final = 16
_TABLES: Final = ("master", "installation")  # of the vault and of the database of keys
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
            raise SecretError(
                f"the master key is a passphrase of fewer than {MIN_PASSPHRASE} characters; "
                "AI_GATEWAY_MASTER_KEY takes a longer one, or 32 bytes in base64 or hexadecimal"
            )
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
            raise SecretError(f"{path} does not hold a master key; put the file back as it was, from a backup")
        return cls(key)

    @classmethod
    def available(cls, file: Path, setting: Secret | None, salt: bytes, *, needed_by: object) -> MasterKey:
        """The key of the setting, or else of the file. Raises `SecretError`, which names what needs it."""
        if setting is not None:
            return cls.from_setting(setting, salt)
        master = cls.from_file(file)
        if master is None:
            raise SecretError(
                f"{needed_by} was made with a master key that is not here: "
                f"set AI_GATEWAY_MASTER_KEY, or put {file} back"
            )
        return master

    @staticmethod
    def make_file(path: Path, *, beside: Path, random: Callable[[int], bytes] = os.urandom) -> None:
        """A new key in a new file that only its owner reads; nothing where there is a file already, and nothing either
        where the database `beside` it belongs to one that is lost: a new one would only hide that."""
        if path.exists() or _has_master(beside):
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with appearing(path, random=random) as draft, draft.open("wb") as file:
            file.write(base64.b64encode(random(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _has_master(database: Path) -> bool:
    """Whether a database of ours, vault or keys, says that it belongs to a master key."""
    if not database.exists():
        return False
    with closing(sqlite3.connect(database)) as connection:
        for table in _TABLES:
            with suppress(sqlite3.Error):
                if connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0]:  # noqa: S608
                    return True
    return False


def _decoded(text: str) -> bytes | None:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        return base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_").rstrip("=") + "=")
    return None
