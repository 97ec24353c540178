"""GatewayKey: what a client presented, resolved; its rules are asked here and enforced by the actions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from ai_gateway_mw.addresses import Address, Ranges
from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.keys.scopes import Scope, permits
from ai_gateway_mw.limits import KeyClaims, KeyLimits


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """One gateway key as it is stored: its digest, never its text.

    A list of None allows all, an empty one nothing. Patterns are globs, upper and lower case alike; one that starts
    with `!` forbids, whatever the others say, and a list of only such ones allows the rest. Expressions read id, name,
    environment, scopes, metadata and expires.
    """

    id: str
    name: str
    digest: bytes = field(repr=False)
    environment: str = ""
    scopes: tuple[str, ...] = (Scope.FULL.value,)
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)
    expires: datetime | None = None
    allowed_ips: Ranges | None = None
    allowed_models: tuple[str, ...] | None = None
    allowed_providers: tuple[str, ...] | None = None
    revoked: bool = False
    lineage: str = ""  # the first of the keys that this one succeeds: what they use counts together
    dead_use_noted: bool = False
    limits: KeyLimits = KeyLimits.none
    permitted: frozenset[Scope] = field(init=False, repr=False, compare=False)  # by its scopes
    claims: KeyClaims = field(init=False, repr=False, compare=False)  # of its limits, under its lineage
    restricts_models: bool = field(init=False, repr=False, compare=False)
    lasts: bool = field(init=False, repr=False, compare=False)  # works whatever the time
    result: Mapping[str, Any] = field(init=False, repr=False, compare=False)  # of `gateway-auth`, for expressions

    def __post_init__(self) -> None:
        if self.expires is not None and self.expires.tzinfo is None:
            raise ValueError("a key expires at a time with a time zone")
        object.__setattr__(self, "permitted", frozenset(scope for scope in Scope if permits(self.scopes, scope)))
        object.__setattr__(self, "claims", KeyClaims(self.limits, self.lineage))
        object.__setattr__(self, "lasts", not self.revoked and self.expires is None)
        restricts = self.allowed_models is not None or self.allowed_providers is not None
        object.__setattr__(self, "restricts_models", restricts)
        object.__setattr__(self, "result", result_of(self))

    def expired(self, clock: Callable[[], datetime]) -> bool:
        """Whether its time is over; the moment of expiry itself is too late. A key without one asks no clock."""
        return self.expires is not None and clock() >= self.expires

    def works(self, clock: Callable[[], datetime]) -> bool:
        """Whether requests may come with it now."""
        return not (self.revoked or self.expired(clock))

    def allows_address(self, address: Address | None) -> bool:
        """Whether it may be used from there; an unknown address is in no list."""
        return self.allowed_ips is None or (address is not None and address in self.allowed_ips)

    def allows_provider(self, provider_id: str) -> bool:
        return _allowed((provider_id,), self.allowed_providers)

    def allows_model(self, provider_id: str, model_id: str) -> bool:
        """Whether it may be used for this model, which a pattern may also name as `provider:model`."""
        return self.allows_provider(provider_id) and _allowed(
            (model_id, f"{provider_id}:{model_id}"), self.allowed_models
        )


def _allowed(names: Sequence[str], patterns: tuple[str, ...] | None) -> bool:
    if patterns is None:
        return True
    allowing = [pattern for pattern in patterns if not pattern.startswith("!")]
    denying = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    if denying and not allowing:
        allowing = ["*"]
    return _matches(names, allowing) and not _matches([*names, *map(_bare, names)], denying)


def _bare(name: str) -> str:
    """A model as providers also know it, who read `models/gemini-2.5-pro` or `openai/gpt-4o` as what stands last."""
    return name.rpartition("/")[2].strip()


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name.casefold(), pattern.casefold()) for name in names for pattern in patterns)


def result_of(key: GatewayKey | None, error: GatewayError | None = None) -> Mapping[str, Any]:
    """What expressions read of a client: whether it brought a key, which one, and what was wrong."""
    shown = key and {
        "id": key.id,
        "name": key.name,
        "environment": key.environment,
        "scopes": list(key.scopes),
        "metadata": dict(key.metadata),
        "expires": key.expires.isoformat() if key.expires else None,
    }
    failure = error and {"code": error.code, "message": error.message}
    return {"authenticated": key is not None, "key": shown, "error": failure}
