"""Database: connections for reading and for writing, and the one place where a driver's errors become ours."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ai_gateway_mw.errors import DatabaseUnavailable, InstallationError
from ai_gateway_mw.secrets import Secret

Kind = Literal["sqlite", "postgresql"]

_FILE: Final = "gateway.db"
_BUSY: Final = 5_000  # milliseconds that a writer waits for another
_PATIENCE: Final = 5.0  # seconds for a connection, or for an answer over one
_CONNECTIONS: Final = 4
_TRIES, _PAUSE = 40, 0.05  # to switch the mode of a new file; seconds
_DATA_EXCEPTION: Final = "22"  # the class of SQLSTATE whose texts show values
_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {_BUSY}",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
)


class Database:
    """One database, opened on first use, in the event loop that uses it."""

    def __init__(self, url: URL) -> None:
        self.kind: Kind = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql"
        self.file = Path(url.database) if self.kind == "sqlite" and url.database else None
        self._url = url
        self._engine: AsyncEngine | None = None

    @property
    def url(self) -> str:
        """The URL as it was given, with the password that may be in it: for other processes, and nobody's eyes."""
        return self._url.render_as_string(hide_password=False)

    def __str__(self) -> str:
        """Where it is, without a password, which may also stand among the parameters."""
        if self.file is not None:
            return str(self.file)
        shown = {name: value for name, value in self._url.query.items() if name == "host"}
        url = self._url.set(drivername="postgresql", query=shown).render_as_string(hide_password=True)
        return f"PostgreSQL {url.removeprefix('postgresql://')}"  # the whole URL is a secret, and no log would show it

    @property
    def exists(self) -> bool:
        """Whether there may be something in it already; a server is always asked."""
        return self.file is None or self.file.exists()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries. Raises `DatabaseUnavailable`."""
        with _reported(self):
            async with self._opened().connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection in one transaction, which is committed at the end and undone by an exception. Writers of one
        SQLite file come one after the other. Raises `DatabaseUnavailable`; an `IntegrityError` passes as it is."""
        with _reported(self):
            async with self._opened().connect() as connection:
                await connection.execution_options(writes=True)
                async with connection.begin():
                    yield connection

    async def aclose(self) -> None:
        """Close all connections; the next use opens new ones."""
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    def _opened(self) -> AsyncEngine:
        if self._engine is None:
            self._engine = self._sqlite() if self.file is not None else self._postgresql()
        return self._engine

    def _sqlite(self) -> AsyncEngine:
        assert self.file is not None
        _make_private(self.file)
        engine = create_async_engine(
            _of_what_is_there(self.file), hide_parameters=True, pool_size=_CONNECTIONS, pool_timeout=_PATIENCE
        )
        follower = _FileFollower(self.file)
        sa.event.listen(engine.sync_engine, "connect", follower.connected)
        sa.event.listen(engine.sync_engine, "checkout", follower.checked_out)
        sa.event.listen(engine.sync_engine, "connect", _set_up)
        sa.event.listen(engine.sync_engine, "begin", _begin)
        return engine

    def _postgresql(self) -> AsyncEngine:
        try:
            return create_async_engine(
                self._url,
                hide_parameters=True,
                pool_size=_CONNECTIONS,
                pool_timeout=_PATIENCE,
                pool_pre_ping=True,
                connect_args={"timeout": _PATIENCE, "command_timeout": _PATIENCE},
            )
        except ModuleNotFoundError as missing:
            what = f"{missing.name} is not installed, which {self} needs"
            raise InstallationError(f"{what}; do: pip install 'ai-gateway-mw[server,postgres]'") from None


def database_of(data_dir: Path, url: Secret | None) -> Database:
    """The database of these settings. Raises `ValueError`, without the URL, for one that cannot be used."""
    if url is None:
        return Database(URL.create("sqlite+aiosqlite", database=str(data_dir.absolute() / _FILE)))
    try:
        parsed = make_url(url.reveal())
    except ArgumentError:
        raise ValueError("it is no URL such as postgresql://user@host/name") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database.startswith((":", "file:")) or parsed.query:
            raise ValueError(
                "SQLite is not supported but in a file of which only the path is given: sqlite:////path/to/file"
            )
        return Database(parsed.set(drivername="sqlite+aiosqlite"))
    if backend in ("postgresql", "postgres"):
        return Database(_as_asyncpg_has_it(parsed))
    raise ValueError(f"a database of the kind `{backend}` is not supported; use SQLite or PostgreSQL")


def _as_asyncpg_has_it(url: URL) -> URL:
    """URLs for libpq say `sslmode`."""
    query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    return url.set(drivername="postgresql+asyncpg", query=query)


def _of_what_is_there(file: Path) -> URL:
    """A file that has gone is not made anew by who opens one more connection: it would be empty."""
    return URL.create("sqlite+aiosqlite", database=f"file:{quote(str(file))}", query={"mode": "rw", "uri": "true"})


class _FileFollower:
    """Closes connections to a file that is another one by now, as after a backup was put in its place."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def connected(self, _: Any, record: Any) -> None:
        record.info["file"] = identity(self._file)

    def checked_out(self, _: Any, record: Any, __: Any) -> None:
        if record.info.get("file") != identity(self._file):
            raise sa.exc.InvalidatePoolError(f"{self._file} is another file by now")


def identity(file: Path) -> tuple[int, int]:
    """What a file is and another in its place is not. Raises `OSError`."""
    stat = file.stat()
    return stat.st_dev, stat.st_ino


def _make_private(file: Path) -> None:
    """The file and its directory, for nobody else to read; SQLite gives its other files the same mode.

    A file that is there is not opened: to close it again would take the locks of every connection that this process has
    to it, and another process that closes it last would remove the log that these go on writing to.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)) from None


def _set_up(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say when a transaction begins: see _begin
    connection.create_function("lower", 1, str.lower, deterministic=True)  # SQLite's own knows no letters beyond ASCII
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    _write_ahead(cursor)
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Two that switch a new file's mode at once lock each other out, which SQLite does not wait for."""
    for _ in range(_TRIES):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            time.sleep(_PAUSE)
    cursor.execute("PRAGMA journal_mode = WAL")


def _begin(connection: sa.Connection) -> None:
    """A writer takes the lock at once: one that read first could find, when it wants to write, that it may not."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class _reported:  # noqa: N801  (a context manager that reads as a verb)
    """A driver's errors as ours, without what their texts and their frames may hold."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, IntegrityError):
            return
        if isinstance(error, DBAPIError):
            raise DatabaseUnavailable(f"{self._database}: {_reason(error.orig)}") from None
        if isinstance(error, SQLAlchemyError | OSError | TimeoutError):
            raise DatabaseUnavailable(f"{self._database}: {_reason(error)}") from None


def _reason(error: BaseException | None) -> str:
    error = getattr(error, "__cause__", None) or error  # asyncpg's own, without the name of its class before the text
    if str(getattr(error, "sqlstate", "")).startswith(_DATA_EXCEPTION):
        return f"a value does not fit ({type(error).__name__})"
    if isinstance(error, TimeoutError | asyncio.CancelledError):  # the latter is the cause of asyncpg's former
        return "it does not answer in time"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = said.strip().partition("\n")[0]
    return text or type(error).__name__
