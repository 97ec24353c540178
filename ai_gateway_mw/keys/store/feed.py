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

from ai_gateway_mw.database import Database, identity
from ai_gateway_mw.errors import DatabaseUnavailable
from ai_gateway_mw.keys.store.repository import CHANNEL

_SOON: Final = 0.1  # seconds between two looks
_ALIVE: Final = 0.4  # seconds between two signs of life that we ask for


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
                changed: Collection[str] = ()
                if seen != version:
                    changed, revision = _changed_since(connection, revision)
                    version = seen
                yield changed
    except (sqlite3.Error, OSError) as error:
        raise DatabaseUnavailable(f"{file}: {error}") from None


def _revision(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT revision FROM installation").fetchone()[0])


def _changed_since(connection: sqlite3.Connection, revision: int) -> tuple[Collection[str], int]:
    rows = connection.execute("SELECT id, revision FROM gateway_keys WHERE revision > ?", (revision,)).fetchall()
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
            yield None
            while True:
                try:
                    await asyncio.wait_for(woken.wait(), _ALIVE)
                except TimeoutError:
                    # Notifications that were on their way come before its answer.
                    await connection.execute(sa.select(1))
                told_of, changed = changed, set()
                woken.clear()
                yield told_of
        finally:
            await connection.invalidate()  # it listens, and nobody else is to get it
