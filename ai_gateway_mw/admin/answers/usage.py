"""Answers about usage: what keys have used, for which models, and from where."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from ai_gateway_mw.admin.answers.answer import Answer


class Caller(Answer):
    """Who used a key."""

    address: str = Field(description="`(other)` stands for many.")
    user_agent: str
    requests: int
    first_seen: datetime
    last_seen: datetime


class Callers(Answer):
    """Who used a key, the last to call first."""

    callers: list[Caller]


class Figures(Answer):
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


class UsageByKey(Answer):
    """What each key used; those without use are left out."""

    usage: list[KeyFigures]


class UsageByDay(Answer):
    """What was used on each day, oldest first."""

    usage: list[DayFigures]


class UsageByModel(Answer):
    """What was used of each model."""

    usage: list[ModelFigures]


class Incident(Figures):
    """The use of one key since some time, for when it fell into wrong hands."""

    key: str
    since: datetime | None
    models: list[ModelFigures]
    callers: list[Caller]
