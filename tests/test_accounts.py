"""Accounts of one process over a real SQLite file: exchanges under keys, from their beginning to their end."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.accounts import Accounts
from ai_gateway_mw.asgi import Message
from ai_gateway_mw.audit import Actor
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import KeyRevoked, KeyStoreUnavailable, TooManyFailures
from ai_gateway_mw.keys import GatewayKey
from ai_gateway_mw.keys.store import Created, NewKey
from ai_gateway_mw.limits import Counters
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from tests.asgi import http_scope, request

pytestmark = pytest.mark.anyio

ALICE = Actor("cli:alice")


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Accounts]:
    counters = Counters.in_memory()
    accounts = Accounts(Settings(data_dir=folder), lambda: counters)
    await accounts.open()
    try:
        yield accounts
    finally:
        await accounts.aclose()


async def made(accounts: Accounts, name: str = "a") -> Created:
    return await accounts.services.keys.create(NewKey(name=name), ALICE)


async def found(accounts: Accounts, created: Created) -> GatewayKey:
    key = (await accounts.find(created.text)).key
    assert key is not None
    return key


def context() -> Context:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    return Context(http_scope(), receive, route=None)


async def until_dead(accounts: Accounts, created: Created) -> None:
    async with asyncio.timeout(20):
        while (await accounts.find(created.text)).dead is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


async def test_before_they_are_open_they_know_nobody(tmp_path: Path) -> None:
    accounts = Accounts(Settings(data_dir=tmp_path), Counters.in_memory)
    assert accounts.known("gw_sk_" + "a" * 38) is None
    assert not accounts.is_open
    with pytest.raises(KeyStoreUnavailable):
        _ = accounts.services
    await accounts.aclose()


async def test_opening_and_closing_may_be_repeated(tmp_path: Path) -> None:
    async with opened(tmp_path) as accounts:
        await asyncio.gather(*(accounts.open() for _ in range(3)))
        services = accounts.services
        await accounts.open()
        assert accounts.services is services
        await accounts.aclose()
        assert not accounts.is_open


async def test_all_exchanges_of_a_revoked_key_end_and_no_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as accounts:
        dead, alive = await made(accounts), await made(accounts, "b")
        of_dead = [accounts.account(context(), await found(accounts, dead), "deny") for _ in range(3)]
        of_alive = accounts.account(context(), await found(accounts, alive), "deny")
        await accounts.services.keys.revoke("a", ALICE)
        async with asyncio.timeout(20):
            while not all(account.revoked for account in of_dead):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for account in of_dead:
            with pytest.raises(KeyRevoked):
                account.check()
        of_alive.check()


async def test_a_key_that_is_rotated_without_a_grace_ends_its_exchanges(tmp_path: Path) -> None:
    async with opened(tmp_path) as accounts:
        created = await made(accounts)
        account = accounts.account(context(), await found(accounts, created), "deny")
        await accounts.services.keys.rotate("a", ALICE, grace=timedelta(0))
        async with asyncio.timeout(20):
            while not account.revoked:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        with pytest.raises(KeyRevoked):
            account.check()


async def test_an_exchange_that_is_over_is_not_interrupted(tmp_path: Path) -> None:
    async with opened(tmp_path) as accounts:
        created = await made(accounts)
        key = await found(accounts, created)
        ended, going_on = (accounts.account(context(), key, "deny") for _ in range(2))
        ended.close(200)
        ended.close(200)
        await accounts.services.keys.revoke("a", ALICE)
        async with asyncio.timeout(20):
            while not going_on.revoked:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not ended.revoked


async def test_a_second_action_goes_on_with_the_exchange_that_is_open(tmp_path: Path) -> None:
    async with opened(tmp_path) as accounts:
        key, other = await found(accounts, await made(accounts)), await found(accounts, await made(accounts, "b"))
        ctx = context()
        ctx.account = first = accounts.account(ctx, key, "deny")
        assert accounts.account(ctx, key, "deny") is first
        second = accounts.account(ctx, other, "deny")
        assert accounts._open == {second}


async def test_a_rotated_key_keeps_its_exchanges(tmp_path: Path) -> None:
    async with opened(tmp_path) as accounts:
        created = await made(accounts)
        account = accounts.account(context(), await found(accounts, created), "deny")
        await accounts.services.keys.rotate("a", ALICE)
        dead = await made(accounts, "later")
        await accounts.services.keys.revoke("later", ALICE)
        await until_dead(accounts, dead)  # by then the rotation has been heard of as well
        account.check()


async def test_a_dead_use_that_cannot_be_written_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as accounts:
        created = await made(accounts)
        await accounts.services.keys.revoke("a", ALICE)
        await until_dead(accounts, created)
        dead = (await accounts.find(created.text)).dead
        assert dead is not None
        database = accounts.services.installation.database
        async with database.writing() as connection:
            await connection.exec_driver_sql("ALTER TABLE audit RENAME TO gone")
        for _ in range(50):
            accounts.note_dead_use(dead, "203.0.113.7")
        assert len(accounts._writing) == 1
        await asyncio.gather(*accounts._writing.values())
        assert [
            record.levelno
            for record in caplog.records
            if record.name == "ai_gateway_mw.keys" and dead.id in record.getMessage()
        ] == [logging.ERROR]
        async with database.writing() as connection:
            await connection.exec_driver_sql("ALTER TABLE gone RENAME TO audit")
        accounts.note_dead_use(dead, "203.0.113.7")
        await asyncio.gather(*accounts._writing.values())
        assert (await accounts.services.audit.latest())[0].event == "key.refused"


async def test_what_waits_for_the_audit_log_at_the_end_opens_nothing_again(tmp_path: Path) -> None:
    counters = Counters.in_memory()
    accounts = Accounts(Settings(data_dir=tmp_path, audit_requests="best-effort"), lambda: counters)
    await accounts.open()
    for _ in range(3):
        await accounts.journal.note(context())
    await accounts.aclose()
    assert not accounts.is_open
    assert [task for task in asyncio.all_tasks() if "_follow" in repr(task)] == []
    async with await Services.open(Settings(data_dir=tmp_path)) as services:
        assert len(await services.audit.latest()) == 3


async def test_who_is_wrong_too_often_is_told_so_and_by_and_by_not_looked_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as accounts:
        for _ in range(20):
            accounts.failed("192.0.2.1")
        with pytest.raises(TooManyFailures) as refused:
            accounts.failed("192.0.2.1")
        (retry_after,) = (value for name, value in refused.value.fields if name == "retry-after")
        assert 1 <= int(retry_after) <= 61
        accounts.check_flood("192.0.2.1")  # so far, its keys are looked up
        for _ in range(200 - 21):
            with pytest.raises(TooManyFailures):
                accounts.failed("192.0.2.1")
        with pytest.raises(TooManyFailures):
            accounts.check_flood("192.0.2.1")
        accounts.failed("192.0.2.2")  # others are not meant
        accounts.check_flood("192.0.2.2")


async def test_addresses_of_one_network_of_ipv6_count_together(tmp_path: Path) -> None:
    async with opened(tmp_path) as accounts:
        for number in range(20):
            accounts.failed(f"2001:db8::{number:x}")
        with pytest.raises(TooManyFailures):
            accounts.failed("2001:db8::ffff")
        accounts.failed("2001:db8:0:1::1")


async def test_readiness_tells_of_a_database_that_is_gone(tmp_path: Path) -> None:
    policy = {"on_http_request": [{"actions": [{"type": "gateway-auth"}]}]}
    gate = Gateway.from_policy(policy, data_dir=tmp_path)
    async with gate.lifespan():
        ready = await request(gate.app, path="/readyz")
        assert (ready.status, ready.json()["checks"]["database"]) == (200, "ok")
        (tmp_path / "gateway.db").rename(tmp_path / "elsewhere.db")
        async with asyncio.timeout(20):
            while (unready := await request(gate.app, path="/readyz")).status == 200:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        assert (unready.status, unready.json()["checks"]["database"]) == (503, "cannot be reached")


async def test_readiness_tells_of_an_audit_log_that_cannot_be_written(tmp_path: Path) -> None:
    policy = {"on_http_request": [{"actions": [{"type": "gateway-auth"}]}]}
    gate = Gateway.from_policy(policy, data_dir=tmp_path, audit_requests="best-effort")
    async with gate.lifespan():
        with sqlite3.connect(tmp_path / "gateway.db") as database:
            database.execute("ALTER TABLE audit RENAME TO elsewhere")
        await gate.stores.accounts.journal.note(context())
        async with asyncio.timeout(20):
            while (told := await request(gate.app, path="/readyz")).json()["status"] == "ready":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (told.status, told.json()["status"]) == (200, "degraded")
        assert told.json()["checks"]["audit"] == "could not be written"
