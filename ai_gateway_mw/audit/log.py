"""AuditLog: rows that are written with what they tell of, and the reading of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway_mw.audit.chain import Fault, Head, Walk, mac_of
from ai_gateway_mw.audit.events import Actor, Entry, Event, details_text, kept_text
from ai_gateway_mw.clocks import utc_now
from ai_gateway_mw.database import Installation, audit, audit_head
from ai_gateway_mw.errors import DatabaseUnavailable

_CHUNK: Final = 5_000
_FAULTS: Final = 20


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries: of these events, about this subject, since then."""

    events: frozenset[Event] | None = None
    subject: str | None = None
    since: datetime | None = None

    def applied(self, query: sa.Select[Any]) -> sa.Select[Any]:
        if self.events is not None:
            query = query.where(audit.c.event.in_(sorted(self.events)))
        if self.subject is not None:
            query = query.where(audit.c.subject == self.subject)
        return query.where(audit.c.at >= self.since) if self.since is not None else query


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found: no faults, or the first of them. `head` is worth saving."""

    head: Head
    faults: Sequence[Fault]

    @property
    def whole(self) -> bool:
        return not self.faults


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing to write."""

    event: Event
    actor: Actor
    subject: str
    details: Mapping[str, Any]


class AuditLog:
    """The audit log of one installation."""

    def __init__(self, installation: Installation, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = installation.database
        self._key = installation.audit_key
        self._clock = clock

    async def append(self, connection: AsyncConnection, *happenings: Happening) -> None:
        """Write rows in the transaction of the change that they tell of: both are there in the end, or neither.

        Writers of a chain come one after the other: each holds the head until its transaction ends.
        """
        row = (await connection.execute(_HEAD.with_for_update())).one()
        before, rows = Head(row.seq, row.mac), []
        for happening in happenings:
            entry = self._entry(before.seq + 1, happening)
            entry = replace(entry, mac=mac_of(self._key, before.mac, entry))
            rows.append({name: getattr(entry, name) for name in Entry.__slots__})
            before = Head(entry.seq, entry.mac)
        await connection.execute(sa.insert(audit), rows)
        await connection.execute(
            sa.update(audit_head).where(audit_head.c.id == 1).values(seq=before.seq, mac=before.mac)
        )

    async def write(self, *happenings: Happening) -> None:
        """Write rows for themselves. Raises `DatabaseUnavailable`."""
        try:
            async with self._database.writing() as connection:
                await self.append(connection, *happenings)
        except IntegrityError:  # a trigger refuses them, or somebody has put rows where ours belong
            raise DatabaseUnavailable(f"{self._database}: the audit log takes no rows") from None

    async def latest(self, wanted: Filter = Filter(), *, limit: int = 100, before: int | None = None) -> list[Entry]:
        """The newest entries first; `before` goes on from the last one of a page."""
        query = wanted.applied(sa.select(audit)).order_by(audit.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.seq < before)
        async with self._database.reading() as connection:
            return [Entry(*row) for row in await connection.execute(query)]

    async def all(self, wanted: Filter = Filter()) -> AsyncGenerator[Entry]:
        """Every entry, from the first one on, as they were at one moment. It holds a connection until its end, or until
        it is closed: whoever may stop before that uses `aclosing`."""
        async with self._snapshot() as connection:
            async for entry in _entries(connection, wanted):
                yield entry

    async def verify(self, saved: Head | None = None) -> Verdict:
        """Go through the whole chain, as it was at one moment."""
        walk, found = Walk(self._key, saved), list[Fault]()
        async with self._snapshot() as connection:
            head = _head_of((await connection.execute(_RAW_HEAD)).one_or_none())
            async for row in _raw(connection):
                found += walk.step(row)
                if len(found) >= _FAULTS:
                    break
            else:
                found += walk.end(head)
        return Verdict(head or walk.last, found)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.reading() as connection:
            if self._database.kind == "postgresql":
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    def _entry(self, seq: int, happening: Happening) -> Entry:
        return Entry(
            seq,
            self._clock(),
            happening.event.value,
            kept_text(happening.actor.name),
            kept_text(happening.actor.address),
            kept_text(happening.subject),
            details_text(happening.details),
            b"",
        )


async def _entries(connection: AsyncConnection, wanted: Filter) -> AsyncIterator[Entry]:
    async for row in _in_order(connection, wanted.applied(sa.select(audit)), audit.c.seq):
        yield Entry(*row)


def _raw(connection: AsyncConnection) -> AsyncIterator[Sequence[Any]]:
    """Rows as they lie there. SQLite lets a column hold anything, and whoever edits one minds no types."""
    return _in_order(connection, sa.select(*_raw_columns(audit)), audit.c.seq)


async def _in_order(
    connection: AsyncConnection, query: sa.Select[Any], seq: sa.ColumnElement[int]
) -> AsyncIterator[Any]:
    """From the first row that there is, be its number below 1."""
    query, last = query.order_by(seq).limit(_CHUNK), None
    while True:
        rows = (await connection.execute(query if last is None else query.where(seq > last))).all()
        for row in rows:
            yield row
        if len(rows) < _CHUNK:
            return
        last = rows[-1][0]


def _raw_columns(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    return [sa.type_coerce(column, sa.types.NullType()) for column in table.c]


def _head_of(row: Sequence[Any] | None) -> Head | None:
    """None where there is none, or what is no head."""
    return Head(*row) if row is not None and [*map(type, row)] == [int, bytes] else None


_HEAD: Final = sa.select(audit_head).where(audit_head.c.id == 1)
_RAW_HEAD: Final = sa.select(*_raw_columns(audit_head)[1:]).where(audit_head.c.id == 1)
