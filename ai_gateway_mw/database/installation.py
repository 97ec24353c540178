"""Installation: a database that is ready to use, brought up to date and proved to belong to our master key."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway_mw.database.database import Database
from ai_gateway_mw.database.tables import HEAD, audit_head, installation
from ai_gateway_mw.errors import InstallationError
from ai_gateway_mw.secrets import MasterKey, Secret

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x61695F67  # of PostgreSQL, while one process brings the tables up to date
_SALT_BYTES: Final = 16
_PROOF: Final = "proof"  # the purpose of what is stored to know the master key again


@dataclass(frozen=True, slots=True)
class Installation:
    """A database and the keys that belong to it, which are derived from the master key and stored nowhere."""

    database: Database
    pepper_version: int
    peppers: Mapping[int, bytes] = field(repr=False)
    audit_key: bytes = field(repr=False)

    @property
    def pepper(self) -> bytes:
        """The one under which new keys are stored."""
        return self.peppers[self.pepper_version]


async def opened(
    database: Database,
    data_dir: Path,
    *,
    master_key: Secret | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> Installation:
    """Bring the tables up to date and find the keys; a database without tables gets them.

    Raises `InstallationError`, `SecretError` where the master key is missing, and `DatabaseUnavailable`.
    """
    async with database.writing() as connection:
        if database.kind == "postgresql":
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        await connection.run_sync(_migrate, str(database))
        row = (await connection.execute(sa.select(installation))).one_or_none()
        if row is None:
            master, version = await _found(connection, data_dir, master_key, random), 1
        else:
            master, version = _proved(database, row, data_dir, master_key), row.pepper_version
    peppers = {number: master.derived(f"pepper {number}") for number in range(1, version + 1)}
    return Installation(database, version, peppers, master.derived("audit"))


def _migrate(connection: sa.Connection, name: str) -> None:
    tables = sa.inspect(connection).get_table_names()
    version = None
    if "alembic_version" in tables:
        version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    if version == HEAD:
        return
    # Only here: Alembic takes longer to import than all else, and is needed once.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise InstallationError(f"{name} was made by a newer version of ai-gateway ({version}, this one knows {HEAD})")
    command.upgrade(config, "head")


async def _found(
    connection: AsyncConnection, data_dir: Path, setting: Secret | None, random: Callable[[int], bytes]
) -> MasterKey:
    """The first use of this database: what it will need of its master key from now on."""
    salt = random(_SALT_BYTES)
    if setting is None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - once; the database may be elsewhere
        MasterKey.make_file(data_dir / "master.key", beside=data_dir / "secrets.db", random=random)
    master = MasterKey.available(data_dir / "master.key", setting, salt, needed_by=data_dir / "secrets.db")
    row = {"id": 1, "salt": salt, "proof": master.derived(_PROOF), "pepper_version": 1, "revision": 0}
    await connection.execute(sa.insert(installation).values(row))
    await connection.execute(sa.insert(audit_head).values(id=1, seq=0, mac=b""))
    return master


def _proved(database: Database, row: sa.Row[tuple[object, ...]], data_dir: Path, setting: Secret | None) -> MasterKey:
    file = data_dir / "master.key"
    master = MasterKey.available(file, setting, row.salt, needed_by=database)
    if not hmac.compare_digest(master.derived(_PROOF), row.proof):
        origin = file if setting is None else "AI_GATEWAY_MASTER_KEY"
        raise InstallationError(f"{origin} is not the master key that {database} belongs to; put that one back")
    return master
