"""Operations on gateway keys."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictBool

from ai_gateway_mw.admin.inputs import Input
from ai_gateway_mw.admin.operations import Call
from ai_gateway_mw.admin.parameters import KeyID, Limit, Part, Since
from ai_gateway_mw.admin.refusals import json_answer
from ai_gateway_mw.keys.store import Created, KeyChanges, KeyFilter, KeyRecord, NewKey, State
from ai_gateway_mw.policy import seconds
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.services import Services
from ai_gateway_mw.usage import Figures


def _duration(text: str) -> str:
    try:
        seconds(text)
    except ValueError as error:
        raise ValueError(f"this is not {error}") from None
    return text


Grace = Annotated[str, AfterValidator(_duration), Field(json_schema_extra={"pattern": "^(0|[1-9][0-9]{0,2}(m|h))$"})]


class KeyListing(Input):
    """Which keys."""

    after: KeyID | None = Field(None, description="The last key of the page before.")
    limit: Limit = Field(100, description="How many at most.")
    state: State | None = Field(None, description="Only keys in this state.")
    environment: Part | None = Field(None, description="Only keys of this environment.")
    name: Part | None = Field(None, description="Only keys with this in their name, in any case.")


class Rotation(Input):
    """How a key is replaced."""

    grace: Grace = Field("24h", description="How long the old key still works, such as `30m`; 90 days at most.")


class Revocation(Input):
    """How a key is ended."""

    compromised: StrictBool = Field(False, description="It fell into wrong hands.")
    successor: StrictBool = Field(False, description="Make another one with the same rules.")


class CallersSince(Input):
    """Which callers."""

    since: Since | None = Field(None, description="Only those who have called since then.")


async def listed(call: Call) -> Reply:
    query: KeyListing = call.query
    services = await call.services()
    wanted = KeyFilter(query.state, query.environment, query.name)
    found = await services.keys.page(wanted, after=query.after or "", limit=query.limit + 1)
    page = found[: query.limit]
    more = len(found) > len(page)
    return json_answer(200, {"keys": await _shown(services, page), "next": page[-1].id if more else None})


async def created(call: Call) -> Reply:
    new: NewKey = call.body
    services = await call.services()
    made = await services.keys.create(new, call.actor)
    await call.in_force(made.record.id)
    return await _created(call, services, made)


async def shown(call: Call) -> Reply:
    services = await call.services()
    return json_answer(200, await _one(services, await services.keys.get(call.id)))


async def changed(call: Call) -> Reply:
    changes: KeyChanges = call.body
    services = await call.services()
    record = await services.keys.update(call.id, changes, call.actor)
    await call.in_force(record.id)
    return json_answer(200, await _one(services, record))


async def rotated(call: Call) -> Reply:
    rotation: Rotation = call.body
    services = await call.services()
    made = await services.keys.rotate(call.id, call.actor, grace=timedelta(seconds=seconds(rotation.grace)))
    await call.in_force(call.id, made.record.id)
    return await _created(call, services, made)


async def revoked(call: Call) -> Reply:
    wanted: Revocation = call.body
    services = await call.services()
    record, made = await services.keys.revoke(
        call.id, call.actor, compromised=wanted.compromised, successor=wanted.successor
    )
    await call.in_force(record.id, *([made.record.id] if made else []))
    successor = await _with_text(services, made) if made else None
    return json_answer(200, {"key": await _one(services, record), "successor": successor})


async def callers(call: Call) -> Reply:
    query: CallersSince = call.query
    services = await call.services()
    record = await services.keys.get(call.id)
    found = await services.usage.callers(record.id, query.since)
    return json_answer(200, {"callers": [caller.as_json() for caller in found]})


async def _created(call: Call, services: Services, made: Created) -> Reply:
    where = f"{call.root}/api/v1/keys/{made.record.id}"
    return json_answer(201, await _with_text(services, made), [(b"location", where.encode())])


async def _with_text(services: Services, made: Created) -> dict[str, Any]:
    return {"key": await _one(services, made.record), "text": made.text}


async def _one(services: Services, record: KeyRecord) -> dict[str, Any]:
    return (await _shown(services, [record]))[0]


async def _shown(services: Services, records: Iterable[KeyRecord]) -> list[dict[str, Any]]:
    """Keys as they are told, each with its use in short."""
    now, records = datetime.now(UTC), list(records)
    used = await services.usage.summary([record.id for record in records]) if records else ()
    figures = {each.key_id: each.figures for each in used}
    return [{**record.as_json(now), "usage": _short(figures.get(record.id))} for record in records]


def _short(figures: Figures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    told = figures.as_json()
    return {name: told[name] for name in ("requests", "errors", "error_rate", "last_used")}
