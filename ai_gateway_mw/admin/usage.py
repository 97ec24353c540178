"""Operations on usage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from pydantic import Field

from ai_gateway_mw.admin.inputs import Input
from ai_gateway_mw.admin.operations import Call
from ai_gateway_mw.admin.parameters import Day, KeyID, Since
from ai_gateway_mw.admin.refusals import json_answer
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.usage import incident


class Span(Input):
    """Of which key and days."""

    key: KeyID | None = Field(None, description="Only of this key.")
    since: Day | None = Field(None, description="The first day that counts, in UTC.")
    until: Day | None = Field(None, description="The last day that counts, in UTC.")

    @property
    def keys(self) -> list[str] | None:
        return None if self.key is None else [self.key]


class SinceWhen(Input):
    """Since when."""

    since: Since | None = Field(None, description="When the key fell into wrong hands; all if omitted.")


class _Told(Protocol):
    def as_json(self) -> dict[str, object]: ...


async def by_key(call: Call) -> Reply:
    span: Span = call.query
    return _told(await (await call.services()).usage.summary(span.keys, span.since, span.until))


async def by_day(call: Call) -> Reply:
    span: Span = call.query
    return _told(await (await call.services()).usage.by_day(span.keys, span.since, span.until))


async def by_model(call: Call) -> Reply:
    span: Span = call.query
    return _told(await (await call.services()).usage.by_model(span.keys, span.since, span.until))


async def of_incident(call: Call) -> Reply:
    query: SinceWhen = call.query
    services = await call.services()
    record = await services.keys.get(call.id)
    return json_answer(200, (await incident(services.usage, record.id, query.since)).as_json())


def _told(rows: Iterable[_Told]) -> Reply:
    return json_answer(200, {"usage": [row.as_json() for row in rows]})
