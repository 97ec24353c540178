"""Opening an installation: tables are made once, and only the right master key opens them again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from ai_gateway_mw.database import Database, Installation, audit_head, database_of, opened
from ai_gateway_mw.database import installation as table
from ai_gateway_mw.errors import InstallationError, SecretError
from ai_gateway_mw.secrets import Secret
from tests.databases import MASTER_KEY, Cluster

pytestmark = pytest.mark.anyio

OTHER_KEY = Secret("ab" * 32, "MASTER_KEY")


async def again(installation: Installation, folder: Path, master_key: Secret | None = MASTER_KEY) -> Installation:
    await installation.database.aclose()
    return await opened(installation.database, folder, master_key=master_key)


async def change(database: Database, statement: str) -> None:
    async with database.writing() as connection:
        await connection.execute(sa.text(statement))


async def test_what_is_opened_again_has_the_same_keys(database: Installation, tmp_path: Path) -> None:
    second = await again(database, tmp_path)
    assert (second.peppers, second.audit_key) == (database.peppers, database.audit_key)
    assert len({database.pepper, database.audit_key}) == 2
    assert len(database.pepper) == len(database.audit_key) == 32


async def test_a_database_elsewhere_needs_no_data_directory_before(tmp_path: Path) -> None:
    """The file of the master key is the first thing in it."""
    database = database_of(tmp_path, Secret(f"sqlite:///{tmp_path}/elsewhere.db", "DATABASE_URL"))
    await opened(database, tmp_path / "not" / "yet")
    await database.aclose()
    assert (tmp_path / "not" / "yet" / "master.key").exists()


async def test_a_new_pepper_comes_beside_the_old_ones(database: Installation, tmp_path: Path) -> None:
    await change(database.database, "UPDATE installation SET pepper_version = 2")
    second = await again(database, tmp_path)
    assert second.peppers[1] == database.pepper
    assert second.pepper == second.peppers[2] != database.pepper


async def test_another_master_key_is_refused(database: Installation, tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="AI_GATEWAY_MASTER_KEY is not the master key that") as raised:
        await again(database, tmp_path, OTHER_KEY)
    assert OTHER_KEY.reveal() not in str(raised.value)


async def test_a_missing_master_key_is_told_and_none_is_made_in_its_place(
    database: Installation, tmp_path: Path
) -> None:
    with pytest.raises(SecretError, match="was made with a master key that is not here"):
        await again(database, tmp_path, None)
    assert not (tmp_path / "master.key").exists()


async def test_a_newer_version_is_refused_and_left_as_it_is(database: Installation, tmp_path: Path) -> None:
    await change(database.database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InstallationError, match=r"made by a newer version of ai-gateway \(9999, this one knows "):
        await again(database, tmp_path)
    async with database.database.reading() as connection:
        assert await connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "9999"


async def test_without_a_setting_the_master_key_is_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    database = database_of(tmp_path, None)
    first = await opened(database, tmp_path)
    second = await again(first, tmp_path, None)
    await database.aclose()
    assert second.audit_key == first.audit_key
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


async def test_the_wrong_file_is_named(tmp_path: Path) -> None:
    database = database_of(tmp_path, None)
    installation = await opened(database, tmp_path)
    (tmp_path / "master.key").write_text("cd" * 32)
    with pytest.raises(InstallationError, match=r"master\.key is not the master key"):
        await again(installation, tmp_path, None)
    await database.aclose()


async def test_what_fails_half_way_leaves_no_tables(tmp_path: Path) -> None:
    database = database_of(tmp_path, None)
    with pytest.raises(SecretError, match="fewer than"):
        await opened(database, tmp_path, master_key=Secret("short", "MASTER_KEY"))
    async with database.reading() as connection:
        assert await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names()) == []
    await opened(database, tmp_path, master_key=MASTER_KEY)
    await database.aclose()


OPENING = """
import asyncio, sys
from pathlib import Path
from ai_gateway_mw.database import database_of, opened
from ai_gateway_mw.secrets import Secret

async def main():
    folder, url = Path(sys.argv[1]), sys.argv[2]
    database = database_of(folder, Secret(url, "DATABASE_URL") if url else None)
    print("ready", flush=True)
    sys.stdin.readline()
    installation = await opened(database, folder)
    print(installation.audit_key.hex())
    await database.aclose()

asyncio.run(main())
"""


async def opened_at_once(folder: Path, url: str) -> set[str]:
    """What several processes print that open the same installation at the same time."""
    command = [sys.executable, "-c", OPENING, str(folder), url]
    processes = [
        await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    ended = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0, 0]
    return {printed.decode() for printed, _ in ended}


async def rows(database: Database) -> list[int]:
    async with database.reading() as connection:
        return [len((await connection.execute(sa.select(each))).all()) for each in (table, audit_head)]


async def test_processes_that_open_a_new_file_at_once_agree(tmp_path: Path) -> None:
    assert len(await opened_at_once(tmp_path, "")) == 1
    database = database_of(tmp_path, None)
    assert await rows(database) == [1, 1]
    await database.aclose()


async def test_processes_that_open_a_new_server_database_at_once_agree(tmp_path: Path, postgresql: Cluster) -> None:
    async with postgresql.database(prepared=False) as database:
        url = database._url.set(drivername="postgresql").render_as_string(hide_password=False)
        assert len(await opened_at_once(tmp_path, url)) == 1
        assert await rows(database) == [1, 1]
