"""What the admin plane answers, as OpenAPI tells of it; a test holds the answers to it."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ai_gateway_mw.audit import Event
from ai_gateway_mw.keys.store import State

_ID = "key_0199aa11bb2c4de0f1a2b3c4"
_TEXT = "gw_sk_" + "x" * 38


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Told(_Answer):
    """What is wrong."""

    code: str = Field(description="For programs; it does not change.", examples=["invalid_field"])
    message: str = Field(description="For people.", examples=["it has control characters"])
    field: str = Field("", description="What of the request is meant.", examples=["allowed_ips.0"])
    request_id: str = Field(description="As in the field `x-request-id`.")


class Error(_Answer):
    """Every answer from 400 on."""

    error: Told


class ShortFigures(_Answer):
    """How a key was used, since it was made."""

    requests: int
    errors: int
    error_rate: float
    last_used: datetime | None


class Key(_Answer):
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


class Keys(_Answer):
    """One page of keys."""

    keys: list[Key]
    next: str | None = Field(description="What to give as `after` for the next page; null on the last.")


class CreatedKey(_Answer):
    """A new key with its text."""

    key: Key
    text: str = Field(description="The key itself. It is shown now and never again.", examples=[_TEXT])


class RevokedKey(_Answer):
    """A key that works no longer."""

    key: Key
    successor: CreatedKey | None


class Caller(_Answer):
    """Who used a key."""

    address: str = Field(description="`(other)` stands for many.")
    user_agent: str
    requests: int
    first_seen: datetime
    last_seen: datetime


class Callers(_Answer):
    """Who used a key, the last to call first."""

    callers: list[Caller]


class Figures(_Answer):
    """Sums over requests. Nothing of the last second may be in them yet."""

    requests: int
    errors: int
    error_rate: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: str = Field(description="US dollars, as a decimal number.", examples=["0.0025"])
    unpriced: int = Field(description="Requests with tokens whose price nobody knows.")
    first_used: datetime | None
    last_used: datetime | None


class KeyFigures(Figures):
    """Of one key."""

    key: str


class DayFigures(Figures):
    """Of one day, in UTC."""

    day: date


class ModelFigures(Figures):
    """Of one model of a provider."""

    provider: str
    model: str


class UsageByKey(_Answer):
    """What each key used; those without use are left out."""

    usage: list[KeyFigures]


class UsageByDay(_Answer):
    """What was used on each day, oldest first."""

    usage: list[DayFigures]


class UsageByModel(_Answer):
    """What was used of each model."""

    usage: list[ModelFigures]


class Incident(Figures):
    """The use of one key since some time, for when it fell into wrong hands."""

    key: str
    since: datetime | None
    models: list[ModelFigures]
    callers: list[Caller]


class AuditEntry(_Answer):
    """One row of the audit log."""

    seq: int
    at: datetime
    event: Event
    actor: str
    address: str
    subject: str
    details: dict[str, Any]
    mac: str


class AuditEntries(_Answer):
    """One page of the audit log, newest first."""

    entries: list[AuditEntry]
    next: int | None = Field(description="What to give as `before` for the next page; null on the last.")


class Fault(_Answer):
    """Where the chain breaks."""

    seq: int
    text: str


class Verdict(_Answer):
    """Whether the audit log is what was written."""

    whole: bool
    head: str = Field(description="Worth keeping where nobody who writes to the database can write.")
    faults: list[Fault] = Field(description="The first of them.")


class PolicyProblem(_Answer):
    """One thing that is wrong with a policy, as `ai-gateway check --format json` has it."""

    file: str
    line: int
    column: int
    severity: Literal["error", "warning"]
    message: str
    hint: str = Field(description="The name that was probably meant, or empty.")


class PolicyInForce(_Answer):
    """The policy that this process serves."""

    name: str
    sha256: str = Field(description="Of its file, as it was read.")
    text: str = Field(description="What it says; where credentials stand, only what fetches them.")
    warnings: list[PolicyProblem]


class PolicyVerdict(_Answer):
    """What is wrong with a policy."""

    valid: bool = Field(description="Whether it could be put in force; warnings do not count.")
    problems: list[PolicyProblem]


class DatabaseHealth(_Answer):
    """The database of keys, usage and audit."""

    status: Literal["ok", "unavailable"]
    kind: Literal["sqlite", "postgresql"] | None = Field(description="Null before it was ever reached.")


class PolicyHealth(_Answer):
    """The policy in force."""

    sha256: str
    warnings: int
    missing_secrets: int = Field(description="How many of its secrets cannot be had.")


class Health(_Answer):
    """What the process that answers knows of itself; how many others there are, nobody can tell it."""

    status: Literal["ok", "degraded"]
    version: str
    database: DatabaseHealth
    policy: PolicyHealth


class ExplainedAction(_Answer):
    """An action that would run."""

    type: str
    place: str = Field(description="In the policy's file.")
    outcome: str = Field(description="`went on`, `answered`, `refused`, `would have refused`, or `failed`.")
    error: dict[str, str] | None
    vars: dict[str, Any] = Field(description="What it sets.")
    result: Any = Field(description="What it publishes.")
    expressions: list[dict[str, Any]] = Field(description="What it evaluates, with the parts and their values.")


class ExplainedRule(_Answer):
    """A rule of the policy."""

    phase: str
    name: str
    place: str
    verdict: Literal["matched", "not matched", "not reached", "failed"]
    times: int
    why: list[dict[str, Any]] = Field(description="Its expressions, with the parts and their values.")
    actions: list[ExplainedAction]


class ExplainedChoice(_Answer):
    """A model or a key."""

    name: str
    order: int | None = Field(description="Its turn, from 1; null if it has none.")
    reason: str


class ExplainedSending(_Answer):
    """A request that would be sent."""

    candidate: str
    key: str
    method: str
    url: str
    fields: list[tuple[str, str]]
    body: str
    outcome: str
    status: int


class Explanation(_Answer):
    """What would become of a request, as `ai-gateway explain --json` has it. Credentials are shown by their names."""

    request: dict[str, Any]
    rules: list[ExplainedRule]
    vars: dict[str, Any]
    models: list[ExplainedChoice]
    keys: list[ExplainedChoice]
    sent: list[ExplainedSending] = Field(description="What providers would get.")
    then: list[ExplainedChoice] = Field(description="Whose turn would come after these, had they failed.")
    called: list[ExplainedSending] = Field(description="What others would get, whom actions call.")
    status: int = Field(description="Of the answer; providers give a canned one.")
    fields: list[tuple[str, str]]
    body: str
    refused: dict[str, str] | None
    notes: list[str]


class OpenAPI(BaseModel):
    """This document."""

    model_config = ConfigDict(extra="allow")

    openapi: str
