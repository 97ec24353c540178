"""KeyFilter: which keys of an installation are listed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ai_gateway_mw.database import gateway_keys
from ai_gateway_mw.keys.store.record import State


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Keys in this state, of this environment, with this in their name, in whatever case."""

    state: State | None = None
    environment: str | None = None
    name: str | None = None

    def applied(self, query: sa.Select[Any], now: datetime) -> sa.Select[Any]:
        columns = gateway_keys.c
        if self.state is not None:
            query = query.where(_in_state(self.state, now))
        if self.environment is not None:
            query = query.where(columns.environment == self.environment)
        return query.where(columns.name.icontains(self.name, autoescape=True)) if self.name else query


def _in_state(state: State, now: datetime) -> sa.ColumnElement[bool]:
    """As `KeyRecord.state` has it."""
    columns = gateway_keys.c
    unrevoked = columns.revoked_at.is_(None)
    lives = unrevoked & (columns.expires_at.is_(None) | (columns.expires_at > now))
    match state:
        case State.REVOKED:
            return columns.revoked_at.is_not(None)
        case State.EXPIRED:
            return unrevoked & (columns.expires_at <= now)
        case State.RETIRED:
            return lives & (columns.retires_at <= now)
        case State.RETIRING:
            return lives & (columns.retires_at > now)
    return lives & columns.retires_at.is_(None)
