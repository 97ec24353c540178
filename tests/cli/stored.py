"""What is in the database of the directory in which a command ran: to look at it, and to put there what takes time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.usage import UsageRecorder, Used

T = TypeVar("T")

DATABASE = Path(".ai-gateway/gateway.db")


def with_services(work: Callable[[Services], Awaitable[T]]) -> T:
    async def done() -> T:
        async with await Services.open(Settings()) as services:
            return await work(services)

    return asyncio.run(done())


def made_days_ago(name: str, days: int) -> None:
    """Make a key older than it is."""
    at = (datetime.now(UTC) - timedelta(days=days)).timestamp() * 1_000_000
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.execute("UPDATE gateway_keys SET created_at = ? WHERE name = ?", (int(at), name))


def use(
    key_id: str, *, times: int = 1, error: bool = False, address: str = "192.0.2.7", at: float | None = None
) -> None:
    """Count requests of a key, as a gateway does."""
    moment = datetime.now(UTC).timestamp() if at is None else at

    async def recorded(services: Services) -> None:
        recorder = UsageRecorder(services.usage)
        for _ in range(times):
            recorder.note(
                Used(
                    key_id, "openai", "gpt-4o", moment, error=error, input_tokens=10, output_tokens=5,
                    cost_nano=2_500_000, address=address, user_agent="openai-python/2.0",
                )
            )  # fmt: skip
        await recorder.flush()

    with_services(recorded)
