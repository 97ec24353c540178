"""How a process hears of changes that another one made, and what it hears when the database goes away."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from pathlib import Path

import pytest

from ai_gateway_mw.database import database_of
from ai_gateway_mw.errors import DatabaseUnavailable
from ai_gateway_mw.keys.store import NewKey, StoredKeys, feed_of
from ai_gateway_mw.secrets import Secret
from tests.databases import Cluster, installation_of
from tests.installations import ALICE, Kept, environment_of, other_process

pytestmark = pytest.mark.anyio


async def told(feed: AsyncIterator[Collection[str] | None], *ids: str) -> set[str]:
    """Listen until these ids have come; all that came."""
    heard: set[str] = set()
    async with asyncio.timeout(20):
        while not heard >= {*ids}:
            changed = await anext(feed)
            assert changed is not None
            heard |= {*changed}
    return heard


async def test_the_first_word_is_that_anything_may_have_changed(kept: Kept) -> None:
    async with aclosing(feed_of(kept.database)) as feed:
        assert await anext(feed) is None
        assert list(await anext(feed) or ()) == []


async def test_every_change_of_another_process_is_told(kept: Kept, tmp_path: Path) -> None:
    async with (
        aclosing(feed_of(kept.database)) as feed,
        other_process(tmp_path, environment_of(kept.installation)) as other,
    ):
        assert await anext(feed) is None
        first = (await other.do("create", "a"))["id"]
        assert await told(feed, first) == {first}
        second = (await other.do("rotate", "a"))["id"]
        assert await told(feed, first, second) == {first, second}
        await other.do("revoke", second)
        assert await told(feed, second) == {second}


async def test_what_changes_while_nobody_listens_is_told_later(kept: Kept) -> None:
    async with aclosing(feed_of(kept.database)) as feed:
        assert await anext(feed) is None
        ids = set()
        for number in range(5):
            ids.add((await kept.keys.create(NewKey(name=str(number)), ALICE)).record.id)
            kept.clock.move(1)
        assert await told(feed, *ids) == ids


async def test_what_is_no_change_of_a_key_is_not_told(kept: Kept) -> None:
    async with aclosing(feed_of(kept.database)) as feed:
        assert await anext(feed) is None
        await kept.execute("UPDATE audit_head SET seq = seq")
        for _ in range(5):
            assert list(await anext(feed) or ()) == []


async def test_a_backup_that_is_put_back_in_place_may_have_changed_any(kept: Kept) -> None:
    await kept.keys.create(NewKey(name="a"), ALICE)
    async with aclosing(feed_of(kept.database)) as feed:
        assert await anext(feed) is None
        await anext(feed)
        await kept.execute("DELETE FROM gateway_keys")
        await kept.execute("UPDATE installation SET revision = 0")
        async with asyncio.timeout(20):
            while await anext(feed) is not None:
                pass


# ── SQLite: another file


def copy_of(kept: Kept, name: str) -> Path:
    """A backup, as SQLite makes one."""
    assert kept.database.file is not None
    target = kept.database.file.with_name(name)
    with sqlite3.connect(kept.database.file) as source, sqlite3.connect(target) as into:
        source.backup(into)
    source.close()
    into.close()
    return target


@pytest.fixture
async def in_file(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Kept]:
    async with installation_of("sqlite", tmp_path, request) as installation:
        yield Kept(installation)


async def put_back(kept: Kept, backup: Path) -> None:
    assert kept.database.file is not None
    for suffix in ("-wal", "-shm"):
        kept.database.file.with_name(kept.database.file.name + suffix).unlink(missing_ok=True)
    shutil.move(backup, kept.database.file)


async def test_a_file_in_the_place_of_another_is_noticed(in_file: Kept) -> None:
    backup = copy_of(in_file, "backup")
    async with aclosing(feed_of(in_file.database)) as feed:
        assert await anext(feed) is None
        await put_back(in_file, backup)
        with pytest.raises(DatabaseUnavailable):
            for _ in range(3):
                await anext(feed)
    async with aclosing(feed_of(in_file.database)) as feed:
        assert await anext(feed) is None


async def test_connections_go_to_the_file_that_is_there_now(in_file: Kept) -> None:
    """A backup is put back while the gateway runs: what is asked and written from then on is that of the backup."""
    created = await in_file.keys.create(NewKey(name="a"), ALICE)
    backup = copy_of(in_file, "backup")
    await in_file.keys.revoke("a", ALICE)
    source = StoredKeys(in_file.installation)
    found = await source.find(source.digests(created.text))
    assert found is not None
    assert found.revoked

    await put_back(in_file, backup)

    found = await source.find(source.digests(created.text))
    assert found is not None
    assert not found.revoked
    await in_file.keys.revoke("a", ALICE)
    found = await source.find(source.digests(created.text))
    assert found is not None
    assert found.revoked


async def test_a_file_that_has_gone_is_not_made_anew(in_file: Kept) -> None:
    created = await in_file.keys.create(NewKey(name="a"), ALICE)
    file = in_file.database.file
    assert file is not None
    backup = copy_of(in_file, "backup")
    file.unlink()
    for _ in range(30):  # more often than there are connections
        with pytest.raises(DatabaseUnavailable):
            await in_file.keys.get("a")
    assert not file.exists()
    await put_back(in_file, backup)
    assert (await in_file.keys.get("a")).id == created.record.id


# ── PostgreSQL: connections that end, and words that are lost


@pytest.fixture
async def on_server(tmp_path: Path, request: pytest.FixtureRequest, postgresql: Cluster) -> AsyncIterator[Kept]:
    async with installation_of("postgresql", tmp_path, request) as installation:
        yield Kept(installation)


async def test_a_connection_that_is_ended_is_noticed_and_a_new_one_begins(on_server: Kept) -> None:
    async with aclosing(feed_of(on_server.database)) as feed:
        assert await anext(feed) is None
        await on_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        )
        with pytest.raises(DatabaseUnavailable):
            for _ in range(3):
                await anext(feed)
    async with aclosing(feed_of(on_server.database)) as feed:
        assert await anext(feed) is None
        record = (await on_server.keys.create(NewKey(name="a"), ALICE)).record
        assert await told(feed, record.id) == {record.id}


async def test_queries_survive_connections_that_were_ended(on_server: Kept) -> None:
    record = (await on_server.keys.create(NewKey(name="a"), ALICE)).record
    await asyncio.gather(*(on_server.keys.get("a") for _ in range(4)))
    await on_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )
    assert (await on_server.keys.get("a")) == record


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@/{name}?host={host}",
        "postgresql://postgres@/nowhere?host={host}",
        "postgresql://x@/y?host=/no",
    ],
    ids=["user", "database", "server"],
)
async def test_a_server_that_lets_nobody_in_is_not_available(on_server: Kept, url: str) -> None:
    known = on_server.database._url
    text = url.format(name=known.database, host=known.query["host"])
    database = database_of(Path("/nowhere"), Secret(text, "DATABASE_URL"))
    with pytest.raises(DatabaseUnavailable):
        await anext(feed_of(database))
    await database.aclose()


async def test_what_no_notification_tells_of_is_told(on_server: Kept) -> None:
    """Poolers that share connections among clients drop them."""
    key = (await on_server.keys.create(NewKey(name="a"), ALICE)).record.id
    async with aclosing(feed_of(on_server.database)) as feed:
        assert await anext(feed) is None
        await on_server.execute("UPDATE installation SET revision = revision + 1")
        await on_server.execute("UPDATE gateway_keys SET revision = revision + 1")
        assert await told(feed, key) == {key}
