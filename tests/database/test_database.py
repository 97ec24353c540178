"""Database: transactions, private files, and errors that show no values."""

from __future__ import annotations

import asyncio
import sys
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa

from ai_gateway_mw.database import Database, Installation, database_of
from ai_gateway_mw.errors import DatabaseUnavailable, InstallationError
from ai_gateway_mw.secrets import Secret
from tests.databases import Cluster

pytestmark = pytest.mark.anyio

VALUE = "a-value-that-nobody-may-see"


def url(text: str) -> Secret:
    return Secret(text, "DATABASE_URL")


async def count(database: Database) -> int | None:
    async with database.reading() as connection:
        return await connection.scalar(sa.text("SELECT count(*) FROM usage"))


ADD = sa.text(
    "INSERT INTO usage VALUES ('key_1', '2026-01-31', 'openai', :model, 1, 0, 0, 0, 0, 0, 0, 1, 1)",
)


async def test_what_is_written_is_there_and_what_fails_is_undone(database: Installation) -> None:
    db = database.database
    async with db.writing() as connection:
        await connection.execute(ADD, {"model": "a"})
    with pytest.raises(ZeroDivisionError):
        async with db.writing() as connection:
            await connection.execute(ADD, {"model": "b"})
            raise ZeroDivisionError
    assert await count(db) == 1


async def test_a_conflict_passes_as_it_is(database: Installation) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        async with database.database.writing() as connection:
            await connection.execute(ADD, [{"model": "a"}, {"model": "a"}])
    assert await count(database.database) == 0


async def test_writers_come_one_after_the_other(database: Installation) -> None:
    async def add(model: str) -> None:
        async with database.database.writing() as connection:
            await connection.execute(ADD, {"model": model})

    async with asyncio.TaskGroup() as tasks:
        for number in range(12):
            tasks.create_task(add(str(number)))
    assert await count(database.database) == 12


async def test_what_was_closed_opens_again(database: Installation) -> None:
    await database.database.aclose()
    assert await count(database.database) == 0
    await database.database.aclose()
    await database.database.aclose()


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT * FROM nothing WHERE x = '{VALUE}'",
        f"SELECT '{VALUE}' FROM",
    ],
    ids=["no table", "syntax"],
)
async def test_what_goes_wrong_is_told_without_values(database: Installation, statement: str) -> None:
    with pytest.raises(DatabaseUnavailable) as raised:
        async with database.database.reading() as connection:
            await connection.execute(sa.text(statement))
    shown = "".join(traceback.format_exception(raised.value))
    assert str(database.database) in str(raised.value)
    assert VALUE not in str(raised.value)
    assert "sqlalchemy.exc" not in shown


async def test_parameters_are_not_told(database: Installation) -> None:
    with pytest.raises(DatabaseUnavailable) as raised:
        async with database.database.reading() as connection:
            await connection.execute(sa.text("SELECT * FROM nothing WHERE x = :x"), {"x": VALUE})
    assert VALUE not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    "statement",
    ["SELECT CAST(CAST(:x AS TEXT) AS INTEGER)", "SELECT CAST(:x AS INTEGER)"],
    ids=["the server's word", "the driver's word"],
)
async def test_a_value_that_does_not_fit_is_not_told(postgresql: Cluster, statement: str) -> None:
    async with postgresql.database() as database:
        with pytest.raises(DatabaseUnavailable) as raised:
            async with database.reading() as connection:
                await connection.execute(sa.text(statement), {"x": VALUE})
    assert "a value does not fit" in str(raised.value)
    assert VALUE not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("host", ["%2Fnowhere", "127.0.0.1:1"], ids=["socket", "port"])
async def test_a_server_that_is_away_is_told_without_the_password(host: str, tmp_path: Path) -> None:
    database = database_of(tmp_path, url(f"postgresql://user:{VALUE}@{host}/name"))
    with pytest.raises(DatabaseUnavailable, match="user") as raised:
        async with database.reading():
            raise AssertionError("there is nothing to read")
    assert VALUE not in "".join(traceback.format_exception(raised.value))
    await database.aclose()


async def test_a_driver_that_is_missing_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    database = database_of(tmp_path, url(f"postgresql://user:{VALUE}@127.0.0.1:1/name"))
    with pytest.raises(
        InstallationError, match=r"^asyncpg is not installed.*pip install 'ai-gateway-mw\[server,postgres\]'"
    ):
        async with database.reading():
            raise AssertionError("there is nothing to read")


async def test_what_the_system_refuses_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").mkdir()
    with pytest.raises(DatabaseUnavailable) as raised:
        async with database_of(tmp_path, None).reading():
            raise AssertionError("there is nothing to read")
    assert str(raised.value) == f"{tmp_path / 'gateway.db'}: Is a directory"


@pytest.mark.parametrize("cause", [None, asyncio.CancelledError()], ids=["none", "cancelled"])
async def test_what_does_not_answer_is_told(cause: BaseException | None, database: Installation) -> None:
    with pytest.raises(DatabaseUnavailable, match="it does not answer in time"):
        async with database.database.reading():
            raise TimeoutError from cause


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_bytes(b"not a database, and longer than a header" * 100)
    database = database_of(tmp_path, None)
    with pytest.raises(DatabaseUnavailable, match=r"gateway\.db: file is not a database"):
        async with database.reading() as connection:
            await connection.execute(sa.text("SELECT 1"))
    await database.aclose()


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = database_of(tmp_path / "file" / "data", None)
    with pytest.raises(DatabaseUnavailable, match=r"gateway\.db"):
        async with database.reading():
            raise AssertionError("there is nothing to read")


async def test_files_are_private_whatever_the_umask_says(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    database = database_of(folder, None)
    async with database.writing() as connection:
        await connection.execute(sa.text("CREATE TABLE t (x)"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    await database.aclose()
    assert modes == {"gateway.db": 0o600, "gateway.db-wal": 0o600, "gateway.db-shm": 0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


async def test_another_that_is_opened_and_closed_takes_no_locks_from_the_first(tmp_path: Path) -> None:
    """POSIX locks of a process end when it closes any descriptor of the file; then another process, closing its
    connection, would take itself for the last, and remove the log that the first goes on writing to."""
    file = tmp_path / "gateway.db"
    first, second = database_of(tmp_path, None), database_of(tmp_path, None)
    async with first.writing() as connection:
        await connection.execute(sa.text("CREATE TABLE t (n INTEGER)"))
    async with second.reading() as connection:
        await connection.execute(sa.text("SELECT n FROM t"))
    await second.aclose()
    reader = f"import sqlite3; c = sqlite3.connect({str(file)!r}); c.execute('SELECT n FROM t').fetchall(); c.close()"
    done = await asyncio.create_subprocess_exec(sys.executable, "-c", reader)
    assert await done.wait() == 0
    assert (tmp_path / "gateway.db-wal").exists()
    await first.aclose()


async def test_nothing_is_written_before_it_is_used(tmp_path: Path) -> None:
    database = database_of(tmp_path / "data", None)
    assert not database.exists
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://u:p@h/n", "PostgreSQL u:***@h/n"),
        ("postgresql+psycopg://h/n", "PostgreSQL h/n"),
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
    ],
    ids=["postgres", "driver", "sqlite"],
)
def test_a_url_is_taken_as_people_write_it(text: str, shown: str, tmp_path: Path) -> None:
    assert str(database_of(tmp_path, url(text))) == shown


@pytest.mark.parametrize("text", [f"mysql://u:{VALUE}@h/n", f"{VALUE}", "sqlite://"], ids=["kind", "no url", "memory"])
def test_a_url_that_cannot_be_used_is_refused_without_being_shown(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"not supported|is no URL") as raised:
        database_of(tmp_path, url(text))
    assert VALUE not in str(raised.value)
