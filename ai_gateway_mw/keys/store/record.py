"""KeyRecord: all that is stored of a key, as those who look after keys see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from ai_gateway_mw.addresses import Ranges, parse_network
from ai_gateway_mw.keys import GatewayKey
from ai_gateway_mw.limits import KeyLimits, LimitsDocument


class State(StrEnum):
    """What a key is good for now. A retiring one works until its grace is over; only it and an active one do."""

    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One row. What a list of None and an empty one mean is said at `GatewayKey`."""

    id: str
    name: str
    environment: str
    scopes: tuple[str, ...]
    digest: bytes = field(repr=False)
    pepper_version: int
    masked: str
    created_at: datetime
    expires_at: datetime | None
    retires_at: datetime | None
    revoked_at: datetime | None
    compromised: bool
    dead_use_at: datetime | None
    allowed_ips: tuple[str, ...] | None
    allowed_models: tuple[str, ...] | None
    allowed_providers: tuple[str, ...] | None
    limits: Mapping[str, Any]
    metadata: Mapping[str, str]
    lineage: str
    rotated_from: str | None
    rotated_to: str | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> KeyRecord:
        """The record of a row of `gateway_keys`."""
        values = {name: row[name] for name in cls.__slots__}
        for name in _LISTS:
            values[name] = None if values[name] is None else tuple(values[name])
        return cls(**values)

    def state(self, now: datetime) -> State:
        if self.revoked_at is not None:
            return State.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return State.EXPIRED
        if self.retires_at is not None:
            return State.RETIRED if now >= self.retires_at else State.RETIRING
        return State.ACTIVE

    @property
    def ends(self) -> datetime | None:
        """From when on it does not work, if nothing is changed: its expiry or the end of its grace, whichever comes
        first."""
        return min((end for end in (self.expires_at, self.retires_at) if end is not None), default=None)

    def works(self, now: datetime) -> bool:
        """Whether requests may come with it."""
        return self.state(now) in (State.ACTIVE, State.RETIRING)

    def as_json(self, now: datetime) -> dict[str, Any]:
        """What lists, the REST API and the audit log show of it: nothing that a request could be made with."""
        shown = {name: getattr(self, name) for name in _SHOWN}
        return {**shown, "state": self.state(now).value, **{name: _text(getattr(self, name)) for name in _TIMES}}

    def as_gateway_key(self) -> GatewayKey:
        """The key as requests meet it."""
        return GatewayKey(
            id=self.id,
            name=self.name,
            digest=self.digest,
            environment=self.environment,
            scopes=self.scopes,
            metadata=self.metadata,
            expires=self.ends,
            revoked=self.revoked_at is not None,
            allowed_ips=None if self.allowed_ips is None else Ranges(map(parse_network, self.allowed_ips)),
            allowed_models=self.allowed_models,
            allowed_providers=self.allowed_providers,
            lineage=self.lineage,
            dead_use_noted=self.dead_use_at is not None,
            limits=KeyLimits.of(LimitsDocument.model_validate(self.limits)) if self.limits else KeyLimits.none,
        )


_LISTS: Final = ("scopes", "allowed_ips", "allowed_models", "allowed_providers")
_TIMES: Final = ("created_at", "expires_at", "retires_at", "revoked_at", "dead_use_at")
_SHOWN: Final = ("id", "name", "environment", "masked", "compromised", "limits", "metadata", "rotated_from") + (
    "rotated_to",
    *_LISTS,
)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
