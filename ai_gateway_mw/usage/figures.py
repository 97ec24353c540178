"""What is told of usage: sums of a key, a day, a model; its callers; and what counts against budgets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

_NANO: Final = 1_000_000_000


def dollars(nano: int) -> str:
    """Billionths of a dollar as a decimal number of dollars, exactly: `0.0025`, `12.00`."""
    whole, rest = divmod(nano, _NANO)
    decimals = f"{rest:09d}".rstrip("0")
    return f"{whole}.{decimals:0<2}"


def moment(at: datetime | None) -> str | None:
    """A time as JSON has it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over some requests. `unpriced` is how many of them used tokens whose price nobody knew."""

    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_nano: int = 0
    unpriced: int = 0
    first_used: datetime | None = None
    last_used: datetime | None = None

    @property
    def error_rate(self) -> float:
        """The part of the requests that failed."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def tokens(self) -> int:
        """Input and output; what came from a cache is input too."""
        return self.input_tokens + self.output_tokens

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "errors": self.errors,
            "error_rate": round(self.error_rate, 4),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "cost": dollars(self.cost_nano),
            "unpriced": self.unpriced,
            "first_used": moment(self.first_used),
            "last_used": moment(self.last_used),
        }


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """What one key used."""

    key_id: str
    figures: Figures

    def as_json(self) -> dict[str, Any]:
        return {"key": self.key_id, **self.figures.as_json()}


@dataclass(frozen=True, slots=True)
class DayUsage:
    """What was used on one day, `2026-01-31`, in UTC."""

    day: str
    figures: Figures

    def as_json(self) -> dict[str, Any]:
        return {"day": self.day, **self.figures.as_json()}


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What was used of one model of a provider."""

    provider: str
    model: str
    figures: Figures

    def as_json(self) -> dict[str, Any]:
        return {"provider": self.provider, "model": self.model, **self.figures.as_json()}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who used a key: an address (or `(other)`, for many) and what its client calls itself; since it was first seen."""

    address: str
    user_agent: str
    requests: int
    first_seen: datetime
    last_seen: datetime

    def as_json(self) -> dict[str, Any]:
        return {
            "address": self.address,
            "user_agent": self.user_agent,
            "requests": self.requests,
            "first_seen": moment(self.first_seen),
            "last_seen": moment(self.last_seen),
        }


@dataclass(frozen=True, slots=True)
class Amount:
    """What counts against a budget in one span of time."""

    requests: int = 0
    tokens: int = 0
    cost_nano: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """What a key has used today and in this month, in UTC."""

    day: Amount
    month: Amount
