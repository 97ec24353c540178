"""KeyService: what may be done to keys. Every change is written together with its audit entry, or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ai_gateway_mw.audit import Actor, AuditLog, Event, Happening
from ai_gateway_mw.clocks import utc_now
from ai_gateway_mw.database import Installation, storable
from ai_gateway_mw.keys import ENVIRONMENTS, digest, generate, masked
from ai_gateway_mw.keys.store import repository
from ai_gateway_mw.keys.store.documents import KeyChanges, NewKey, is_past
from ai_gateway_mw.keys.store.filters import KeyFilter
from ai_gateway_mw.keys.store.record import KeyRecord, State

GRACE: Final = timedelta(hours=24)
MAX_GRACE: Final = timedelta(days=90)
_ID_DIGITS: Final = 12
_MAX_PAGE: Final = 1_000
_ALL_KEYS: Final = KeyFilter()


class KeyNotFound(LookupError):
    """There is no key with this id or name."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"there is no key `{wanted}`; `ai-gateway keys list --all` shows them all")


class KeyRefused(ValueError):
    """What was asked for cannot be; `field` is what is wrong with it, or empty."""

    def __init__(self, message: str, field: str = "") -> None:
        self.field = field
        super().__init__(message)


class NameTaken(KeyRefused):
    """A key in use has the name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is a key `{name}` already; to replace it, rotate it; where it has expired, revoke it first",
            "name",
        )


class KeyDead(KeyRefused):
    """The key is not in use any more, or has a successor, and what was asked for needs one that is."""


@dataclass(frozen=True, slots=True)
class Created:
    """A new key: its record, and its text, which is shown now and never again."""

    record: KeyRecord
    text: str

    def __repr__(self) -> str:
        return f"Created({self.record.id})"


class KeyService:
    """Keys of one installation. Methods raise `DatabaseUnavailable` beside what they say."""

    def __init__(
        self,
        installation: Installation,
        audit: AuditLog,
        *,
        clock: Callable[[], datetime] = utc_now,
        random: Any = secrets,
    ) -> None:
        self._installation = installation
        self._database = installation.database
        self._audit = audit
        self._clock = clock
        self._random = random

    async def create(self, new: NewKey, actor: Actor) -> Created:
        """Make a key. Raises `KeyRefused`."""
        async with self._database.writing() as connection:
            now = self._clock()  # whoever had to wait for another comes after it
            if is_past(new.expires_at, now):
                raise KeyRefused("it would have expired by now", "expires_at")
            created = self._made(now, **self._columns(new))
            await self._add(connection, created.record)
            await self._note(connection, Event.KEY_CREATED, actor, None, created.record)
        return created

    async def update(
        self, wanted: str, changes: KeyChanges | Callable[[KeyRecord], KeyChanges], actor: Actor
    ) -> KeyRecord:
        """Change what is given, or what is made of the key as it is; nothing is written where nothing changes. Raises
        `KeyNotFound` and `KeyRefused`."""
        async with self._database.writing() as connection:
            before = await self._wanted(connection, wanted, to_change=True)
            values = (changes if isinstance(changes, KeyChanges) else changes(before)).given()
            for required in ("name", "scopes"):
                if required in values and values[required] is None:
                    raise KeyRefused("it cannot be taken away", required)
            now = self._clock()
            if is_past(values.get("expires_at"), now):
                raise KeyRefused("it would have expired by now; to end it, revoke it", "expires_at")
            self._check_alive(before, now, "changed")
            after = replace(before, **values)
            if after != before:
                await self._change(connection, before, after)
                await self._note(connection, Event.KEY_CHANGED, actor, before, after)
        return after

    async def rotate(self, wanted: str, actor: Actor, *, grace: timedelta = GRACE) -> Created:
        """Make a successor with the same rules. The old key works for the grace, and no longer.

        A lifetime, where the key has one, begins anew. Raises `KeyNotFound` and `KeyRefused`.
        """
        if not timedelta(0) <= grace <= MAX_GRACE:
            raise KeyRefused(f"it is from 0 to {MAX_GRACE.days} days", "grace")
        async with self._database.writing() as connection:
            before = await self._wanted(connection, wanted, to_change=True)
            now = self._clock()
            self._check_alive(before, now, "rotated")
            return await self._succeed(connection, before, now, grace, actor)

    async def revoke(
        self, wanted: str, actor: Actor, *, compromised: bool = False, successor: bool = False
    ) -> tuple[KeyRecord, Created | None]:
        """End a key now, in all workers; one that was revoked stays so. Raises `KeyNotFound` and `KeyRefused`."""
        async with self._database.writing() as connection:
            before = await self._wanted(connection, wanted, to_change=True)
            now, created = self._clock(), None
            if successor:
                self._check_alive(before, now, "succeeded")
                created = await self._succeed(connection, before, now, timedelta(0), actor)
                before = await self._wanted(connection, before.id, to_change=True)
            after = replace(before, revoked_at=before.revoked_at or now, compromised=before.compromised or compromised)
            if after != before:
                await self._change(connection, before, after, current=False)
                await self._note(connection, Event.KEY_REVOKED, actor, before, after)
        return after, created

    async def get(self, wanted: str) -> KeyRecord:
        """The key with this id, or the one in use with this name. Raises `KeyNotFound`."""
        async with self._database.reading() as connection:
            return await self._wanted(connection, wanted)

    async def ended_at_once(self, key_id: str) -> bool:
        """Whether what a key has open ends with it: it was revoked, or succeeded without a grace. Raises
        `KeyNotFound`."""
        async with self._database.reading() as connection:
            record = await self._wanted(connection, key_id)
            if record.revoked_at is not None or record.rotated_to is None or record.retires_at is None:
                return record.revoked_at is not None
            return record.retires_at <= (await self._wanted(connection, record.rotated_to)).created_at

    async def page(self, wanted: KeyFilter = _ALL_KEYS, *, after: str = "", limit: int = 100) -> Sequence[KeyRecord]:
        """Keys in the order in which they were made, from the one that follows the id `after` on; at most 1,000."""
        if not storable(after):
            raise KeyRefused("it is no id of a key", "after")
        now = self._clock()
        async with self._database.reading() as connection:
            limit = max(0, min(limit, _MAX_PAGE))
            return await repository.page(connection, wanted, now, after=after, limit=limit)

    async def lineages(self) -> dict[str, str]:
        """The ids of all keys, with that of the first key that each succeeds."""
        async with self._database.reading() as connection:
            return await repository.lineages(connection)

    async def note_dead_use(self, key_id: str, address: str) -> None:
        """Write to the audit log that a dead key was used, the first time that it happens."""
        async with self._database.writing() as connection:
            before = await repository.by_id(connection, key_id, to_change=True)
            if before is None or before.dead_use_at is not None:
                return
            after = replace(before, dead_use_at=self._clock())
            await self._change(connection, before, after)
            await self._note(connection, Event.KEY_REFUSED, Actor(f"key:{key_id}", address), before, after)

    async def _wanted(self, connection: AsyncConnection, wanted: str, *, to_change: bool = False) -> KeyRecord:
        if not storable(wanted):
            raise KeyNotFound(wanted)
        found = await repository.by_id(connection, wanted, to_change=to_change)
        if found is None and (named := await repository.by_name(connection, wanted)) is not None:
            found = await repository.by_id(connection, named.id, to_change=to_change)
        if found is None:
            raise KeyNotFound(wanted)
        return found

    @staticmethod
    def _check_alive(record: KeyRecord, now: datetime, what: str) -> None:
        state = record.state(now)
        if state is not State.ACTIVE:
            successor = f"; its successor is {record.rotated_to}" if record.rotated_to else ""
            raise KeyDead(f"{record.id} is {state.value} and cannot be {what}{successor}")

    @staticmethod
    def _columns(new: NewKey) -> dict[str, Any]:
        begins = new.name.partition("-")[0]
        return {**new.columns(), "environment": new.environment or (begins if begins in ENVIRONMENTS else "")}

    def _made(self, now: datetime, **columns: Any) -> Created:
        """Ids begin with the time, so that their order is that of making."""
        text = generate(self._random)
        stamp = f"{int(now.timestamp() * 1000):011x}"
        key_id = f"key_{stamp}{self._random.token_hex(_ID_DIGITS // 2)}"
        blank = dict.fromkeys(("retires_at", "revoked_at", "dead_use_at", "rotated_from", "rotated_to"))
        values = {
            **blank,
            "id": key_id,
            "digest": digest(text, self._installation.pepper),
            "pepper_version": self._installation.pepper_version,
            "masked": masked(text),
            "created_at": now,
            "compromised": False,
            "lineage": key_id,
            **columns,
        }
        return Created(KeyRecord(**values), text)

    async def _succeed(
        self, connection: AsyncConnection, before: KeyRecord, now: datetime, grace: timedelta, actor: Actor
    ) -> Created:
        lifetime = before.expires_at - before.created_at if before.expires_at is not None else None
        kept = ("name", "environment", "scopes", "allowed_ips", "allowed_models", "allowed_providers", "limits") + (
            "metadata",
            "lineage",
        )
        inherited = {name: getattr(before, name) for name in kept}
        expires_at = None if lifetime is None else now + lifetime
        created = self._made(now, **inherited, expires_at=expires_at, rotated_from=before.id)
        after = replace(before, retires_at=now + grace, rotated_to=created.record.id)
        await self._change(connection, before, replace(before, retires_at=now + grace), current=False)
        await self._add(connection, created.record)
        await repository.change(connection, self._database, before.id, {"rotated_to": created.record.id})
        await self._note(connection, Event.KEY_ROTATED, actor, before, after)
        await self._note(connection, Event.KEY_CREATED, actor, None, created.record)
        return created

    async def _add(self, connection: AsyncConnection, record: KeyRecord) -> None:
        try:
            await repository.add(connection, self._database, record)
        except IntegrityError:
            raise NameTaken(record.name) from None

    async def _change(
        self, connection: AsyncConnection, before: KeyRecord, after: KeyRecord, *, current: bool = True
    ) -> None:
        changed: dict[str, Any] = {name: getattr(after, name) for name in _differing(before, after)}
        if not current:
            changed["current"] = False
        try:
            await repository.change(connection, self._database, before.id, changed)
        except IntegrityError:
            raise NameTaken(after.name) from None

    async def _note(
        self, connection: AsyncConnection, event: Event, actor: Actor, before: KeyRecord | None, after: KeyRecord
    ) -> None:
        now = self._clock()
        new, old = after.as_json(now), before.as_json(now) if before is not None else {}
        changed = [name for name in new if before is None or new[name] != old[name]]
        details: dict[str, Any] = {"name": after.name, "after": {name: new[name] for name in changed}}
        if before is not None:
            details["before"] = {name: old[name] for name in changed}
        await self._audit.append(connection, Happening(event, actor, after.id, details))


def _differing(before: KeyRecord, after: KeyRecord) -> list[str]:
    return [name for name in KeyRecord.__slots__ if getattr(before, name) != getattr(after, name)]
