"""Keys as people and programs read them: rows of a table, one key in full, its report after a leak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ai_gateway_mw.cli.console import say, say_table
from ai_gateway_mw.cli.moments import shown
from ai_gateway_mw.keys.store import KeyRecord, State
from ai_gateway_mw.usage import Caller, Figures, Incident, ModelUsage, dollars

_SPARE: Final = ("environment", "key", "created", "scopes", "errors", "requests", "expires", "state")


@dataclass(frozen=True, slots=True)
class Row:
    """A key with what is known of its use, as of now."""

    record: KeyRecord
    figures: Figures
    now: datetime
    rotation: timedelta

    @property
    def state(self) -> State:
        return self.record.state(self.now)

    @property
    def reminder(self) -> str:
        """What says that it is due: a key that works and has no successor yet."""
        age = self.now - self.record.created_at
        if not self.rotation or self.state is not State.ACTIVE or age < self.rotation:
            return ""
        return f"rotate: {age.days} days old"

    def as_json(self) -> dict[str, Any]:
        used = self.figures.as_json()
        return {**self.record.as_json(self.now), "usage": used, "reminder": self.reminder or None}


def table(rows: Sequence[Row]) -> None:
    """One line a key; the last column only where there is something to say. An id is always whole, to be copied."""
    headings = ["id", "name", "environment", "scopes", "state", "created", "expires", "last used"]
    headings += ["requests", "errors", "key", *([""] if any(row.reminder for row in rows) else [])]
    say_table(*headings, rows=map(_cells, rows), spare=_SPARE)


def _cells(row: Row) -> tuple[str, ...]:
    record, figures = row.record, row.figures
    return (
        record.id,
        record.name,
        record.environment or "-",
        ",".join(record.scopes),
        row.state,
        shown(record.created_at),
        shown(record.ends, none="never"),
        shown(figures.last_used, none="never"),
        str(figures.requests),
        rate(figures),
        record.masked,
        *((row.reminder,) if row.reminder else ()),
    )


def rate(figures: Figures) -> str:
    """The part of the requests that failed."""
    return f"{figures.error_rate:.1%}" if figures.requests else "-"


def cost(figures: Figures) -> str:
    """What it cost, as far as prices are known."""
    return f"${dollars(figures.cost_nano)}"


def card(row: Row) -> None:
    """Everything about one key."""
    for label, text in _lines(row):
        say(f"{label:<13} {text}")


def _lines(row: Row) -> Iterator[tuple[str, str]]:
    record, figures = row.record, row.figures
    yield "id", record.id
    yield "name", record.name
    yield "key", record.masked
    yield "environment", record.environment or "-"
    yield "state", f"{row.state}{', compromised' if record.compromised else ''}"
    yield "scopes", ", ".join(record.scopes)
    yield "created", shown(record.created_at)
    yield "expires", shown(record.expires_at, none="never")
    yield from ((name, shown(moment)) for name, moment in _ends(record) if moment is not None)
    yield "addresses", _list(record.allowed_ips, "any")
    yield "models", _list(record.allowed_models, "all")
    yield "providers", _list(record.allowed_providers, "all")
    yield "limits", _pairs(record.limits)
    yield "metadata", _pairs(record.metadata)
    yield from ((name, other) for name, other in _relatives(record) if other)
    yield (
        "requests",
        f"{figures.requests}{f', of which {figures.errors} failed ({rate(figures)})' if figures.requests else ''}",
    )
    yield "cost", cost(figures)
    yield "last used", shown(figures.last_used, none="never")
    if row.reminder:
        yield "", row.reminder


def _ends(record: KeyRecord) -> Iterator[tuple[str, datetime | None]]:
    yield "retires", record.retires_at
    yield "revoked", record.revoked_at
    yield "first refused", record.dead_use_at


def _relatives(record: KeyRecord) -> Iterator[tuple[str, str | None]]:
    yield "succeeds", record.rotated_from
    yield "successor", record.rotated_to


def _list(values: Sequence[str] | None, without: str) -> str:
    return without if values is None else ", ".join(values) or "none"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items()) or "none"


def callers_table(callers: Sequence[Caller]) -> None:
    """Who used a key, the last to call first."""
    rows = [
        (one.address, one.user_agent or "-", str(one.requests), shown(one.first_seen), shown(one.last_seen))
        for one in callers
    ]
    say_table("address", "user agent", "requests", "first seen", "last seen", rows=rows)


def models_table(models: Sequence[ModelUsage]) -> None:
    """What was asked for."""
    rows = [
        (
            one.provider or "-",
            one.model or "-",
            str(one.figures.requests),
            str(one.figures.tokens),
            cost(one.figures),
        )
        for one in models
    ]
    say_table("provider", "model", "requests", "tokens", "cost", rows=rows)


def report(found: Incident) -> None:
    """What a key was used for that fell into wrong hands."""
    figures = found.figures
    since = f" since {shown(found.since)}" if found.since else ""
    say(f"Use of {found.key_id}{since}:", style="bold")
    say(f"  {figures.requests} requests, {figures.errors} failed; {figures.tokens} tokens, {cost(figures)}")
    if figures.unpriced:
        say(f"  {figures.unpriced} requests are not in the cost: nobody knows the price of their models")
    say(f"  first used {shown(figures.first_used, none='never')}, last used {shown(figures.last_used, none='never')}")
    if found.models:
        models_table(found.models)
    if found.callers:
        callers_table(found.callers)
    say("Figures are kept by the day, in UTC; what was used in the last second may not be in them yet.")
