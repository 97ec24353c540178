"""What is counted of requests before it is written: one request, a key's use of a model in a day, a key's callers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

# What one request can be charged with at most: no provider's nonsense may overflow a column of 64 bits.
_MAX_TOKENS: Final = 1_000_000_000
_MAX_COST: Final = 10_000 * 1_000_000_000


class Used(NamedTuple):
    """One request of a gateway key, when it is over. `at` is in seconds since 1970.

    `cost_nano` is in billionths of a dollar, None where nobody knows the price.
    """

    key_id: str
    provider: str
    model: str
    at: float
    error: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_nano: int | None = 0
    address: str = ""
    user_agent: str = ""


@dataclass(slots=True)
class UsageRow:
    """What a key used of one model on one day (counted from 1970, in UTC), to be added to what is stored."""

    key_id: str
    day: int
    provider: str
    model: str
    first: float
    last: float
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_nano: int = 0
    unpriced: int = 0

    def add(self, used: Used) -> None:
        """Count one request."""
        self.requests += 1
        if used.error:
            self.errors += 1
        at, read, made = used.at, used.input_tokens, used.output_tokens
        if read or made:
            self._add_use(read, made, used.cached_tokens, used.cost_nano)
        if at > self.last:
            self.last = at
        elif at < self.first:
            self.first = at

    def _add_use(self, read: int, made: int, cached: int, cost: int | None) -> None:
        if not (0 <= read <= _MAX_TOKENS and 0 <= made <= _MAX_TOKENS and 0 <= cached <= _MAX_TOKENS):
            read, made, cached = (max(0, min(count, _MAX_TOKENS)) for count in (read, made, cached))
        self.input_tokens += read
        self.output_tokens += made
        if cached:
            self.cached_tokens += cached
        if cost is None:
            self.unpriced += 1
        else:
            self.cost_nano += max(0, min(cost, _MAX_COST))

    def merge(self, other: UsageRow) -> None:
        """Add another's sums."""
        self.requests += other.requests
        self.errors += other.errors
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cached_tokens += other.cached_tokens
        self.cost_nano += other.cost_nano
        self.unpriced += other.unpriced
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


@dataclass(slots=True)
class CallerRow:
    """How often a key was used from one address by one user agent, to be added to what is stored."""

    key_id: str
    address: str
    user_agent: str
    first: float
    last: float
    requests: int = 0

    def merge(self, other: CallerRow) -> None:
        """Add another's sums."""
        self.requests += other.requests
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


@dataclass(frozen=True, slots=True)
class Batch:
    """Sums to be added to what is stored, all of them or none."""

    usage: tuple[UsageRow, ...] = ()
    callers: tuple[CallerRow, ...] = ()

    @property
    def requests(self) -> int:
        return sum(row.requests for row in self.usage)

    def __len__(self) -> int:
        return len(self.usage) + len(self.callers)
