"""Databases for tests: SQLite in a file, and PostgreSQL in a throw-away cluster of Debian's packages.

The cluster ends with its `with` block, and also when this process is killed: a shell beside it waits for our end.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from ai_gateway_mw.database import Database, Installation, database_of, opened
from ai_gateway_mw.secrets import Secret

MASTER_KEY: Final = Secret("5e" * 32, "MASTER_KEY")
PATIENCE: Final = 30.0
_TEMPLATE: Final = "prepared"
_NOWHERE: Final = Path("/nowhere")
_INSTALLED: Final = Path("/usr/lib/postgresql")  # where Debian puts every version
_CREATION: Final = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
_OPTIONS: Final = (
    "listen_addresses=",  # a socket in the cluster's folder is all it listens on
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "shared_buffers=16MB",
    "max_connections=60",
    "autovacuum=off",
)
# The shell runs until its standard input ends, which is when we close it or die; then everything goes.
_KEEPER: Final = 'folder=$1; shift; "$@" & read -r _; kill -QUIT $!; wait $!; cd /; rm -rf "$folder"'


class Cluster:
    """A running PostgreSQL, whose superuser needs no password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names = (f"test_{number}" for number in count(1))
        self._prepared = False

    def url(self, name: str) -> str:
        """The URL of one of its databases, for `AI_GATEWAY_DATABASE_URL`."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    @asynccontextmanager
    async def database(self, *, prepared: bool = True) -> AsyncIterator[Database]:
        """A new database, with our tables or without; it is dropped at the end."""
        if prepared and not self._prepared:
            await self._prepare()
        name = next(self._names)
        await self._do(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE if prepared else 'template0'}")
        database = database_of(_NOWHERE, Secret(self.url(name), "DATABASE_URL"))
        try:
            yield database
        finally:
            await database.aclose()
            await self._do(f"DROP DATABASE {name} WITH (FORCE)")

    async def _prepare(self) -> None:
        await self._do(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
        database = database_of(_NOWHERE, Secret(self.url(_TEMPLATE), "DATABASE_URL"))
        await opened(database, _NOWHERE, master_key=MASTER_KEY)
        await database.aclose()
        self._prepared = True

    async def _do(self, statement: str) -> None:
        import asyncpg

        connection = await asyncpg.connect(host=str(self.folder), user="postgres", database="postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def postgresql_cluster(installed: Path = _INSTALLED) -> Iterator[Cluster]:
    """A new cluster. Skips the test where PostgreSQL is not installed, and fails it there with `CI=true`."""
    programs = _programs(installed)
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path is short
    if owner is not None:
        shutil.chown(folder, owner, pwd.getpwnam(owner).pw_gid)
    data = folder / "data"
    initdb: list[str | Path] = [programs / "initdb", "-D", data, *_CREATION]
    _run(initdb, owner, folder)
    options = [argument for option in _OPTIONS for argument in ("-c", option)]
    server: list[str | Path] = [programs / "postgres", "-D", data, "-k", folder, *options]
    with (folder / "log").open("wb") as log:
        keeper = subprocess.Popen(
            ["sh", "-c", _KEEPER, "sh", folder, *server],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,  # Ctrl-C is for us
            **_as(owner),
        )
    try:
        _wait_until_ready(programs, folder)
        yield Cluster(folder)
    finally:
        keeper.communicate()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def installation_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Installation]:
    """A new installation in `sqlite` or `postgresql`, with `folder` as its data directory."""
    if kind == "sqlite":
        database = database_of(folder, None)
        try:
            yield await opened(database, folder, master_key=MASTER_KEY)
        finally:
            await database.aclose()
    else:
        cluster: Cluster = request.getfixturevalue("postgresql")
        async with cluster.database() as database:
            yield await opened(database, folder, master_key=MASTER_KEY)


def _programs(installed: Path) -> Path:
    """Where the newest PostgreSQL is."""
    found = sorted(installed.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if (elsewhere := shutil.which("initdb")) is not None:
        return Path(elsewhere).resolve().parent
    reason = "PostgreSQL is not installed (Debian: apt install postgresql)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _owner() -> str | None:
    """The user that PostgreSQL runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as(owner: str | None) -> dict[str, Any]:
    if owner is None:
        return {}
    return {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []}


def _run(command: list[str | Path], owner: str | None, folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **_as(owner))
    assert done.returncode == 0, done.stderr


def _wait_until_ready(programs: Path, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode != 0:
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.05)
