"""Installations for tests: services over them with a clock that is moved by hand, and processes that share them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from ai_gateway_mw.audit import Actor, AuditLog
from ai_gateway_mw.database import Database, Installation, audit, gateway_keys
from ai_gateway_mw.keys.store import KeyService
from tests.databases import MASTER_KEY

ROOT: Final = Path(__file__).parent.parent
NOON: Final = datetime(2026, 1, 31, 12, tzinfo=UTC)
ALICE: Final = Actor("cli:alice", "192.0.2.1")


class Clock:
    """Wall time and monotonic time, moved by hand together."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - NOON).total_seconds() + 1_000

    def move(self, seconds: float = 0, **more: float) -> datetime:
        self.now += timedelta(seconds=seconds, **more)
        return self.now


class Kept:
    """The services of an installation under a clock that stands still until it is moved."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.database: Database = installation.database
        self.clock = Clock()
        self.log = AuditLog(installation, clock=self.clock)
        self.keys = KeyService(installation, self.log, clock=self.clock)

    async def execute(self, statement: str, **values: Any) -> None:
        """What somebody does to the database behind our back."""
        async with self.database.writing() as connection:
            await connection.execute(sa.text(statement), values)

    async def rows(self, table: sa.Table = gateway_keys) -> list[dict[str, Any]]:
        async with self.database.reading() as connection:
            return [dict(row) for row in (await connection.execute(sa.select(table))).mappings()]

    async def events(self) -> list[tuple[str, str]]:
        """What the audit log says, oldest first: events with their subjects. The log is whole."""
        assert (await self.log.verify()).whole
        return [(row["event"], row["subject"]) for row in sorted(await self.rows(audit), key=lambda row: row["seq"])]


def environment_of(installation: Installation) -> dict[str, str]:
    """The settings under which another process opens the same installation."""
    settings = {"AI_GATEWAY_MASTER_KEY": MASTER_KEY.reveal()}
    if installation.database.kind == "postgresql":
        settings["AI_GATEWAY_DATABASE_URL"] = installation.database.url
    return settings


class Other:
    """Another process at the same installation, which does one thing after the other: see `key_worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, *command: str) -> dict[str, Any]:
        """The result of a method of `KeyService`: `{"id": …, "text": …}`, or `{"error": …}`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        line = await self._process.stdout.readline()
        assert line, "the other process ended"
        result: dict[str, Any] = json.loads(line)
        return result


@asynccontextmanager
async def other_process(data_dir: Path, environment: dict[str, str] | None = None) -> AsyncIterator[Other]:
    """Another process that has opened the installation in this directory."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.key_worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {}), "AI_GATEWAY_DATA_DIR": str(data_dir)},
    )
    try:
        other = Other(process)
        assert await other.do("ready") == {"id": "ready"}
        yield other
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
