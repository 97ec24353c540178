"""What `doctor` looks at in the database: that it opens with this master key, keys that are due, and the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import timedelta
from typing import Final

from ai_gateway_mw.cli.checkup import Finding, State
from ai_gateway_mw.cli.installed import stored
from ai_gateway_mw.cli.keys.reading import due, every_key
from ai_gateway_mw.cli.moments import now
from ai_gateway_mw.database import HEAD
from ai_gateway_mw.errors import DatabaseUnavailable, InstallationError
from ai_gateway_mw.keys.store import KeyRecord
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings

MOST_ROWS: Final = 200_000  # of the audit log; more take longer to verify than one waits for `doctor`
_MOST_KEYS: Final = 20


def database(settings: Settings, *, most_rows: int = MOST_ROWS) -> Iterator[Finding]:
    """What is in the database, where there is one."""
    try:
        if stored(settings):
            yield from asyncio.run(_all(settings, most_rows))
        else:
            yield Finding("database", State.OK, "none yet; it is made with the first gateway key")
    except (DatabaseUnavailable, InstallationError) as error:
        yield Finding("database", State.WRONG, str(error))


async def _all(settings: Settings, most_rows: int) -> list[Finding]:
    return [finding async for finding in _findings(settings, most_rows)]


async def _findings(settings: Settings, most_rows: int) -> AsyncIterator[Finding]:
    async with await Services.open(settings) as services:
        records, moment = await every_key(services), now()
        working = [record for record in records if record.works(moment)]
        counts = f"{len(records)} keys, {len(working)} in use"
        yield Finding("database", State.OK, f"{services.installation.database}, version {HEAD}, {counts}")
        rotation = timedelta(seconds=settings.key_rotation)
        for finding in _due(record for record in working if due(record, moment, rotation)):
            yield finding
        async for finding in _audit(services, most_rows):
            yield finding


def _due(records: Iterable[KeyRecord]) -> Iterator[Finding]:
    found = list(records)
    for record in found[:_MOST_KEYS]:
        age = (now() - record.created_at).days
        text = f"rotate {record.name} ({record.id}), {age} days old: `ai-gateway keys rotate {record.id}`"
        yield Finding("gateway key", State.WARNING, text)
    if len(found) > _MOST_KEYS:
        yield Finding("gateway key", State.WARNING, f"{len(found) - _MOST_KEYS} more are due: `ai-gateway keys list`")


async def _audit(services: Services, most_rows: int) -> AsyncIterator[Finding]:
    newest = await services.audit.latest(limit=1)
    rows = newest[0].seq if newest else 0
    if rows > most_rows:
        yield Finding("audit log", State.OK, f"{rows} rows, not verified here: `ai-gateway audit verify` does it")
        return
    verdict = await services.audit.verify()
    for fault in verdict.faults:
        yield Finding("audit log", State.WRONG, fault.text)
    if verdict.whole:
        yield Finding("audit log", State.OK, f"whole, {verdict.head.seq} rows")
