"""Rows of gateway keys: found, added and changed, within a transaction that others open and end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway_mw.database import Database, gateway_keys, installation
from ai_gateway_mw.keys.store.documents import plain
from ai_gateway_mw.keys.store.filters import KeyFilter
from ai_gateway_mw.keys.store.record import KeyRecord

CHANNEL: Final = "ai_gateway_keys"  # of PostgreSQL's NOTIFY, with the id of the key that has changed
_LISTS: Final = ("scopes", "allowed_ips", "allowed_models", "allowed_providers")


async def by_id(connection: AsyncConnection, key_id: str, *, to_change: bool = False) -> KeyRecord | None:
    """One that is read to be changed is held until the transaction ends."""
    query = sa.select(gateway_keys).where(gateway_keys.c.id == key_id)
    return await _one(connection, query.with_for_update() if to_change else query)


async def by_name(connection: AsyncConnection, name: str) -> KeyRecord | None:
    """The key in use that has this name."""
    return await _one(connection, sa.select(gateway_keys).where(gateway_keys.c.name == name, gateway_keys.c.current))


async def by_digest(connection: AsyncConnection, digests: Iterable[bytes]) -> KeyRecord | None:
    return await _one(connection, sa.select(gateway_keys).where(gateway_keys.c.digest.in_(list(digests))))


async def page(
    connection: AsyncConnection, wanted: KeyFilter, now: datetime, *, after: str, limit: int
) -> Sequence[KeyRecord]:
    """The keys in the order in which they were made, from the one that follows `after` on."""
    query = wanted.applied(sa.select(gateway_keys), now).order_by(gateway_keys.c.id).limit(limit)
    rows = await connection.execute(query.where(gateway_keys.c.id > after) if after else query)
    return [KeyRecord.of(dict(row)) for row in rows.mappings()]


async def lineages(connection: AsyncConnection) -> dict[str, str]:
    """The lineage of every key by its id."""
    rows = await connection.execute(sa.select(gateway_keys.c.id, gateway_keys.c.lineage))
    return {row.id: row.lineage for row in rows}


async def add(connection: AsyncConnection, database: Database, record: KeyRecord) -> None:
    """Raises `IntegrityError` where a key in use has the name."""
    values = {name: getattr(record, name) for name in KeyRecord.__slots__}
    row = {**_as_columns(values), "current": True, "revision": await _revision(connection)}
    await connection.execute(sa.insert(gateway_keys).values(row))
    await _tell(connection, database, record.id)


async def change(connection: AsyncConnection, database: Database, key_id: str, values: Mapping[str, Any]) -> None:
    """Raises `IntegrityError` as `add` does."""
    row = {**_as_columns(values), "revision": await _revision(connection)}
    await connection.execute(sa.update(gateway_keys).where(gateway_keys.c.id == key_id).values(row))
    await _tell(connection, database, key_id)


def _as_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plain(value) if name in _LISTS else value for name, value in values.items()}


async def _one(connection: AsyncConnection, query: sa.Select[Any]) -> KeyRecord | None:
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else KeyRecord.of(dict(row))


async def _revision(connection: AsyncConnection) -> int:
    """The number of this change; whoever watches asks for those after the last one it has seen."""
    counted = sa.update(installation).values(revision=installation.c.revision + 1).returning(installation.c.revision)
    return int((await connection.execute(counted)).scalar_one())


async def _tell(connection: AsyncConnection, database: Database, key_id: str) -> None:
    if database.kind == "postgresql":
        await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, key_id)))
