"""Answers about gateway keys: none has anything that a request could be made with, but once, when a key is made."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from ai_gateway_mw.admin.answers.answer import Answer
from ai_gateway_mw.keys.store import State

_ID = "key_0199aa11bb2c4de0f1a2b3c4"
_TEXT = "gw_sk_" + "x" * 38


class ShortFigures(Answer):
    """How a key was used, since it was made."""

    requests: int
    errors: int
    error_rate: float
    last_used: datetime | None


class Key(Answer):
    """A gateway key, without anything that a request could be made with."""

    id: str = Field(examples=[_ID])
    name: str = Field(examples=["production-api-primary"])
    environment: str
    masked: str = Field(description="The first and the last four characters.")
    state: State = Field(description="A retiring key works until its grace is over.")
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    retires_at: datetime | None = Field(description="The end of the grace, of a key that was rotated.")
    revoked_at: datetime | None
    dead_use_at: datetime | None = Field(description="When it was first used although it did not work any more.")
    compromised: bool
    allowed_ips: list[str] | None
    allowed_models: list[str] | None
    allowed_providers: list[str] | None
    limits: dict[str, Any]
    metadata: dict[str, str]
    rotated_from: str | None
    rotated_to: str | None
    usage: ShortFigures | None = Field(description="Null for a key that was never used.")


class Keys(Answer):
    """One page of keys."""

    keys: list[Key]
    next: str | None = Field(description="What to give as `after` for the next page; null on the last.")


class CreatedKey(Answer):
    """A new key with its text."""

    key: Key
    text: str = Field(description="The key itself. It is shown now and never again.", examples=[_TEXT])


class RevokedKey(Answer):
    """A key that works no longer."""

    key: Key
    successor: CreatedKey | None
