"""Incident: the report for a key that fell into wrong hands: how much it was used since, from where and for what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ai_gateway_mw.usage.figures import Caller, Figures, ModelUsage, moment

if TYPE_CHECKING:  # it needs SQLAlchemy, which not every installation has
    from ai_gateway_mw.usage.store import UsageStore


@dataclass(frozen=True, slots=True)
class Incident:
    """The use of one key since some time.

    Figures are kept by the day, so they hold all of the day on which it began. A caller's requests are all that it ever
    sent with the key; those who have not called since are left out.
    """

    key_id: str
    since: datetime | None
    figures: Figures
    models: tuple[ModelUsage, ...]
    callers: tuple[Caller, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key_id,
            "since": moment(self.since),
            **self.figures.as_json(),
            "models": [model.as_json() for model in self.models],
            "callers": [caller.as_json() for caller in self.callers],
        }


async def incident(store: UsageStore, key_id: str, since: datetime | None = None) -> Incident:
    """The report for this key, of all time or since a time with a zone. Raises `DatabaseUnavailable`.

    What was noted in the last second may not be in it yet.
    """
    day = since.astimezone(UTC).date() if since else None
    used = await store.summary((key_id,), day)
    return Incident(
        key_id=key_id,
        since=since,
        figures=used[0].figures if used else Figures(),
        models=await store.by_model((key_id,), day),
        callers=await store.callers(key_id, since),
    )
