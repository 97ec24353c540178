"""Feeds: how a process hears that keys have changed, whoever changed them.

SQLite counts the commits of others (`PRAGMA data_version`), which costs microseconds to ask; PostgreSQL tells who
listens. Both are heard of several times a second also when nothing changes, so that silence means something.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Collection
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway_mw.database import Database, gateway_keys, identity, installation
from ai_gateway_mw.errors import DatabaseUnavailable
from ai_gateway_mw.keys.store.repository import CHANNEL

_SOON: Final = 0.1  # seconds between two looks
_ALIVE: Final = 0.4  # seconds between two signs of life that we ask for
_REVISION: Final = sa.select(installation.c.revision)


def feed_of(database: Database) -> AsyncGenerator[Collection[str] | None]:
    """The ids of keys that have changed, as long as the database is heard of: often none, and None where any may have.

    The first is always None. Raises `DatabaseUnavailable` when the database falls silent; then start anew.
    """
    return _of_sqlite(database.file) if database.file is not None else _of_postgresql(database)


async def _of_sqlite(file: Path) -> AsyncGenerator[Collection[str] | None]:
    try:
        # In the event loop itself: it waits for nobody, and takes less than the way to a thread and back.
        with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=0)) as connection:
            connection.isolation_level = None
            known, version, revision = identity(file), -1, _revision(connection)
            yield None
            while True:
                await asyncio.sleep(_SOON)
                if identity(file) != known:
                    raise DatabaseUnavailable(f"{file} is not the file that it was")
                seen = connection.execute("PRAGMA data_version").fetchone()[0]
                changed: Collection[str] | None = ()
                if seen != version:
                    changed, revision = _changed_since(connection, revision)
                    version = seen
                yield changed
    except (sqlite3.Error, OSError) as error:
        raise DatabaseUnavailable(f"{file}: {error}") from None


def _revision(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT revision FROM installation").fetchone()[0])


def _changed_since(connection: sqlite3.Connection, revision: int) -> tuple[Collection[str] | None, int]:
    """Which keys, and the revision now. None where that was put back: nobody can say what is other than it was."""
    rows = connection.execute("SELECT id, revision FROM gateway_keys WHERE revision > ?", (revision,)).fetchall()
    if not rows and (found := _revision(connection)) < revision:
        return None, found
    return {row[0] for row in rows}, max((row[1] for row in rows), default=revision)


async def _of_postgresql(database: Database) -> AsyncGenerator[Collection[str] | None]:
    changed: set[str] = set()
    woken = asyncio.Event()

    def told(_connection: Any, _pid: int, _channel: str, key_id: str) -> None:
        changed.add(key_id)
        woken.set()

    async with database.reading() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.add_listener(CHANNEL, told)
        try:
            revision: int = await connection.scalar(_REVISION) or 0
            yield None
            while True:
                missed: Collection[str] | None = ()
                try:
                    await asyncio.wait_for(woken.wait(), _ALIVE)
                except TimeoutError:
                    # Notifications that were on their way come before its answer. Poolers that share connections drop
                    # them: so it is asked for what nobody told of, too.
                    found: int = await connection.scalar(_REVISION) or 0
                    if found != revision:
                        missed = await _missed(connection, revision) if found > revision else None
                        revision = found
                told_of, changed = changed, set()
                woken.clear()
                yield None if missed is None else told_of.union(missed)
        finally:
            await connection.invalidate()  # it listens, and nobody else is to get it


async def _missed(connection: AsyncConnection, revision: int) -> Collection[str]:
    changed = await connection.scalars(sa.select(gateway_keys.c.id).where(gateway_keys.c.revision > revision))
    return changed.all()
