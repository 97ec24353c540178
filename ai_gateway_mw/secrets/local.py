"""The encrypted vault in the data directory: an SQLite file in which every value is sealed for its own row.

Master key -> key of the vault -> record. A record moved to another row, vault or key version no longer opens.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ai_gateway_mw.errors import SecretError, SecretUnusable
from ai_gateway_mw.secrets.atomic_files import appearing
from ai_gateway_mw.secrets.envelope import KEY_BYTES, seal, unseal
from ai_gateway_mw.secrets.master_key import MasterKey
from ai_gateway_mw.secrets.secret import Secret, full_name, usable

_VERSION: Final = 1
_SCHEMA: Final = f"""
CREATE TABLE master (salt BLOB NOT NULL, proof BLOB NOT NULL);
CREATE TABLE vault_keys (vault TEXT, version INTEGER, sealed BLOB NOT NULL, PRIMARY KEY (vault, version));
CREATE TABLE secrets (
    vault TEXT, name TEXT, key_version INTEGER NOT NULL, sealed BLOB NOT NULL, changed REAL NOT NULL,
    PRIMARY KEY (vault, name)
);
PRAGMA user_version = {_VERSION}
"""


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """What a list shows of a stored secret."""

    vault: str
    name: str
    changed: datetime


class LocalVault:
    """A secret source that can also be written. Nothing is created before the first `set`; the master key is the
    setting, or a file `master.key` that the first `set` makes. One connection per call: safe across threads and forks.
    """

    name = "local"

    def __init__(
        self,
        directory: Path,
        *,
        master_key: Secret | None = None,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._file = directory / "secrets.db"
        self._key_file = directory / "master.key"
        self._setting = master_key
        self._clock = clock
        self._random = random
        self._known: tuple[bytes, MasterKey] | None = None

    def get(self, vault: str, name: str) -> str | None:
        row = None
        with self._opened() as database:
            if database is not None:
                row = database.execute(
                    "SELECT key_version, secrets.sealed, vault_keys.sealed, salt, proof FROM secrets LEFT JOIN master"
                    " LEFT JOIN vault_keys ON vault_keys.vault = secrets.vault AND version = key_version"
                    " WHERE secrets.vault = ? AND name = ?",
                    (vault, name),
                ).fetchone()
        if row is None:
            return None
        version, sealed, sealed_key, salt, proof = row
        if sealed_key is None or proof is None:
            raise SecretUnusable(f"secret {full_name(vault, name)}: {self._file} has lost a key of this vault")
        key = self._vault_key(self._master(salt, proof), sealed_key, vault, version)
        return unseal(key, sealed, "secret", vault, name, str(version)).decode()

    def place(self, vault: str, name: str) -> str:
        return f"{vault}/{name} in {self._file}"

    def describe(self) -> str:
        return f"encrypted vault {self._file}"

    def set(self, vault: str, name: str, value: str) -> None:
        """Store a value, new or in place of the last one. Raises `SecretError`, and then nothing has changed."""
        full = full_name(vault, name)
        usable(value, full, "to be stored")
        with self._writing() as database:
            master = self._master_of(database)
            version, key = self._key_of(database, master, vault)
            sealed = seal(key, value.encode(), "secret", vault, name, str(version), random=self._random)
            database.execute(
                "INSERT OR REPLACE INTO secrets VALUES (?, ?, ?, ?, ?)", (vault, name, version, sealed, self._clock())
            )

    def entries(self) -> tuple[StoredSecret, ...]:
        """What is stored, without values; needs no key."""
        with self._opened() as database:
            rows = (
                () if database is None else database.execute("SELECT vault, name, changed FROM secrets ORDER BY 1, 2")
            )
            return tuple(
                StoredSecret(vault, name, datetime.fromtimestamp(changed, UTC)) for vault, name, changed in rows
            )

    def delete(self, vault: str, name: str) -> bool:
        """Whether there was such a secret; now there is none."""
        with self._opened() as database:
            if database is None:
                return False
            return database.execute("DELETE FROM secrets WHERE vault = ? AND name = ?", (vault, name)).rowcount > 0

    def _master_of(self, database: sqlite3.Connection) -> MasterKey:
        """The key that this file was made with; for a file just made, the key that it will need from now on."""
        row = database.execute("SELECT salt, proof FROM master").fetchone()
        if row is not None:
            return self._master(*row)
        if database.execute("SELECT EXISTS (SELECT 1 FROM vault_keys)").fetchone()[0]:
            raise SecretError(f"{self._file} has lost what it says of its master key")
        if self._setting is None:
            MasterKey.make_file(self._key_file, beside=self._key_file.with_name("gateway.db"), random=self._random)
        salt = self._random(16)
        master = self._available(salt)
        proof = seal(master.derived("vaults"), b"", "master", random=self._random)
        database.execute("INSERT INTO master VALUES (?, ?)", (salt, proof))
        return master

    def _master(self, salt: bytes, proof: bytes) -> MasterKey:
        """The master key, proved to be the one. Raises `SecretError`; never makes a new one over existing data."""
        if self._known is not None and self._known[0] == proof:
            return self._known[1]
        master = self._available(salt)
        try:
            unseal(master.derived("vaults"), proof, "master")
        except SecretUnusable:
            origin = "AI_GATEWAY_MASTER_KEY" if self._setting is not None else self._key_file
            raise SecretError(f"{origin} is not the master key that {self._file} was sealed with") from None
        self._known = (proof, master)
        return master

    def _available(self, salt: bytes) -> MasterKey:
        """The master key of the setting, or of the file."""
        return MasterKey.available(self._key_file, self._setting, salt, needed_by=self._file)

    def _key_of(self, database: sqlite3.Connection, master: MasterKey, vault: str) -> tuple[int, bytes]:
        """The newest key of the vault, with its version; a new one for a new vault."""
        row = database.execute(
            "SELECT version, sealed FROM vault_keys WHERE vault = ? ORDER BY version DESC LIMIT 1", (vault,)
        ).fetchone()
        if row is not None:
            return row[0], self._vault_key(master, row[1], vault, row[0])
        key = self._random(KEY_BYTES)
        sealed = seal(master.derived("vaults"), key, "vault key", vault, "1", random=self._random)
        database.execute("INSERT INTO vault_keys VALUES (?, 1, ?)", (vault, sealed))
        return 1, key

    @staticmethod
    def _vault_key(master: MasterKey, sealed: bytes, vault: str, version: int) -> bytes:
        return unseal(master.derived("vaults"), sealed, "vault key", vault, str(version))

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection | None]:
        """The database, or None where nothing was ever stored."""
        with self._reported():
            if not self._file.exists():
                yield None
                return
            with closing(_connection(self._file)) as database:
                self._check_version(database)
                yield database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The database in one transaction, made with its directory where it is missing."""
        with self._reported():
            if not self._file.exists():
                self._make()
            with closing(_connection(self._file)) as database:
                self._check_version(database)
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")

    def _make(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with appearing(self._file, random=self._random) as draft, closing(_connection(draft)) as database:
            # On the draft, which nobody else has: two processes that switch one file's mode lock each other out.
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SecretError(f"{self._file}: {error}") from None
        except OSError as error:
            reason = error.strerror or error
            raise SecretError(f"{self._file}: {reason}; AI_GATEWAY_DATA_DIR names another directory") from None

    def _check_version(self, database: sqlite3.Connection) -> None:
        version = int(database.execute("PRAGMA user_version").fetchone()[0])
        if version > _VERSION:
            raise SecretError(f"{self._file} was made by a newer version of ai-gateway")
        if version < _VERSION:
            raise SecretError(f"{self._file} is no vault of ai-gateway")


def _connection(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA secure_delete = ON")
    return database
