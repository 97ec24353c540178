"""UsageStore: the sums of usage in the database, where they are added up, and the questions about them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway_mw.database import Database, callers, usage
from ai_gateway_mw.usage import (
    Amount,
    Batch,
    Caller,
    CallerRow,
    DayUsage,
    Figures,
    KeyUsage,
    ModelUsage,
    Spent,
    UsageRow,
)

_CHUNK: Final = 500
_FIRST_DAY: Final = date(1970, 1, 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_COUNTS: Final = ("requests", "errors", "input_tokens", "output_tokens", "cached_tokens", "cost_nano", "unpriced")
_Row = Mapping[str, Any]


class UsageStore:
    """Where a `UsageRecorder` writes. Days and months are those of UTC; `since` and `until` are days that count too.

    Every method raises `DatabaseUnavailable`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, batch: Batch) -> None:
        """Add these sums to what is stored: all of them, or none."""
        # In one order everywhere: two processes that lock the same rows crosswise would wait for each other.
        used = sorted(map(_usage_row, batch.usage), key=_usage_key)
        called = sorted(map(_caller_row, batch.callers), key=_caller_key)
        async with self._database.writing() as connection:
            await self._upsert(connection, usage, _COUNTS, ("first_used_at", "last_used_at"), used)
            await self._upsert(connection, callers, ("requests",), ("first_seen_at", "last_seen_at"), called)

    async def summary(
        self, key_ids: Collection[str] | None = None, since: date | None = None, until: date | None = None
    ) -> tuple[KeyUsage, ...]:
        """What each key used, of these keys or all; one that was not used is left out."""
        rows = await self._sums((usage.c.key_id,), key_ids, since, until)
        return tuple(KeyUsage(row.key_id, _figures(row)) for row in rows)

    async def by_day(
        self, key_ids: Collection[str] | None = None, since: date | None = None, until: date | None = None
    ) -> tuple[DayUsage, ...]:
        """What was used on each day, oldest first; days without use are left out."""
        rows = await self._sums((usage.c.day,), key_ids, since, until)
        return tuple(DayUsage(row.day, _figures(row)) for row in rows)

    async def by_model(
        self, key_ids: Collection[str] | None = None, since: date | None = None, until: date | None = None
    ) -> tuple[ModelUsage, ...]:
        """What was used of each model."""
        rows = await self._sums((usage.c.provider, usage.c.model), key_ids, since, until)
        return tuple(ModelUsage(row.provider, row.model, _figures(row)) for row in rows)

    async def callers(self, key_id: str, since: datetime | None = None) -> tuple[Caller, ...]:
        """Who used a key, and who still did at that time or later; the last to call comes first."""
        query = sa.select(callers).where(callers.c.key_id == key_id)
        if since is not None:
            query = query.where(callers.c.last_seen_at >= since)
        query = query.order_by(callers.c.last_seen_at.desc(), callers.c.address, callers.c.user_agent)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return tuple(
            Caller(row.address, row.user_agent, row.requests, row.first_seen_at, row.last_seen_at) for row in rows
        )

    async def spent(self, today: date) -> dict[str, Spent]:
        """What every key that was used in the month of this day has used on it, and in its month until then."""
        day, month = _amount(usage.c.day == today.isoformat()), _amount(sa.true())
        query = (
            sa.select(usage.c.key_id, *day, *month)
            .where(usage.c.day >= today.replace(day=1).isoformat(), usage.c.day <= today.isoformat())
            .group_by(usage.c.key_id)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {row[0]: Spent(Amount(*map(int, row[1:4])), Amount(*map(int, row[4:7]))) for row in rows}

    async def _upsert(
        self,
        connection: AsyncConnection,
        table: sa.Table,
        counts: Sequence[str],
        times: tuple[str, str],
        rows: Iterable[_Row],
    ) -> None:
        insert = postgresql.insert(table) if self._database.kind == "postgresql" else sqlite.insert(table)
        old, new = table.c, insert.excluded
        first, last = times
        changes: dict[str, sa.ColumnElement[Any]] = {name: old[name] + new[name] for name in counts}
        changes[first] = sa.case((new[first] < old[first], new[first]), else_=old[first])
        changes[last] = sa.case((new[last] > old[last], new[last]), else_=old[last])
        statement = insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=changes)
        for chunk in _chunks(rows):
            await connection.execute(statement, chunk)

    async def _sums(
        self,
        by: Sequence[sa.Column[str]],
        key_ids: Collection[str] | None,
        since: date | None,
        until: date | None,
    ) -> Sequence[Any]:
        sums = [sa.func.sum(usage.c[name]).label(name) for name in _COUNTS]
        first = sa.func.min(usage.c.first_used_at).label("first_used_at")
        last = sa.func.max(usage.c.last_used_at).label("last_used_at")
        query = sa.select(*by, *sums, first, last).group_by(*by).order_by(*by)
        if key_ids is not None:
            query = query.where(usage.c.key_id.in_(key_ids))
        if since is not None:
            query = query.where(usage.c.day >= since.isoformat())
        if until is not None:
            query = query.where(usage.c.day <= until.isoformat())
        async with self._database.reading() as connection:
            return (await connection.execute(query)).all()


def _figures(row: Any) -> Figures:
    counts = {name: int(getattr(row, name)) for name in _COUNTS}  # sums are decimal numbers in PostgreSQL
    return Figures(**counts, first_used=row.first_used_at, last_used=row.last_used_at)


def _amount(counted: sa.ColumnElement[bool]) -> tuple[sa.ColumnElement[Any], ...]:
    columns = (usage.c.requests, usage.c.input_tokens + usage.c.output_tokens, usage.c.cost_nano)
    return tuple(sa.func.sum(sa.case((counted, column), else_=0)) for column in columns)


def _usage_row(row: UsageRow) -> _Row:
    counts = {name: getattr(row, name) for name in _COUNTS}
    return {
        "key_id": row.key_id,
        "day": (_FIRST_DAY + timedelta(days=row.day)).isoformat(),
        "provider": row.provider,
        "model": row.model,
        "first_used_at": _moment(row.first),
        "last_used_at": _moment(row.last),
        **counts,
    }


def _usage_key(row: _Row) -> tuple[str, ...]:
    return row["key_id"], row["day"], row["provider"], row["model"]


def _caller_row(row: CallerRow) -> _Row:
    return {
        "key_id": row.key_id,
        "address": row.address,
        "user_agent": row.user_agent,
        "requests": row.requests,
        "first_seen_at": _moment(row.first),
        "last_seen_at": _moment(row.last),
    }


def _caller_key(row: _Row) -> tuple[str, ...]:
    return row["key_id"], row["address"], row["user_agent"]


def _moment(at: float) -> datetime:
    return _EPOCH + timedelta(seconds=at)


def _chunks(rows: Iterable[_Row]) -> Iterator[list[_Row]]:
    rows = iter(rows)
    while chunk := list(islice(rows, _CHUNK)):
        yield chunk
