"""Quota: what a provider says, in the fields of its answers, is left for a key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from ai_gateway_mw.state.window import Clock

_DAY = 86_400.0
_FORGOTTEN_AFTER = 60.0  # most limits are per minute
_NUMBER = re.compile(rb"-?[0-9]{1,18}")
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SPAN = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|us|µs|ns|[dhms]))+")
_SPAN_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|[dhms])")
_SECONDS = {"d": _DAY, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class _Row(NamedTuple):
    """What a header field tells; of two that tell the same, the one of higher rank counts."""

    measure: Literal["requests", "tokens"]
    part: Literal["limit", "remaining", "reset"]
    rank: int = 0


def _rows() -> dict[bytes, _Row]:
    rows: dict[bytes, _Row] = {}
    parts: tuple[Literal["limit", "remaining", "reset"], ...] = ("limit", "remaining", "reset")
    for part in parts:
        rows[f"x-ratelimit-{part}-requests".encode()] = _Row("requests", part)
        rows[f"x-ratelimit-{part}-tokens".encode()] = _Row("tokens", part)
        rows[f"anthropic-ratelimit-requests-{part}".encode()] = _Row("requests", part)
        rows[f"anthropic-ratelimit-input-tokens-{part}".encode()] = _Row("tokens", part)
        # Anthropic: this one stands for whichever token limit is the tightest at the moment.
        rows[f"anthropic-ratelimit-tokens-{part}".encode()] = _Row("tokens", part, rank=1)
    return rows


_FIELDS = _rows()


class _Measure:
    """One kind of limit: how much there is at most, how much is left, and when all of it is there again."""

    __slots__ = ("full_at", "left", "limit", "told")

    def __init__(self) -> None:
        self.limit: int | None = None
        self.left: int | None = None
        self.full_at = 0.0
        self.told = False

    def remaining(self, now: float) -> int | None:
        """What is left; once the time of its reset has passed, the limit, and None for a zero that may be over."""
        if self.left is None or now < self.full_at:
            return self.left
        return self.limit if self.told and self.limit is not None else self.left or None


class Quota:
    """Requests and tokens that a key may still use, as its provider reported last; None is not reported."""

    __slots__ = ("_clock", "_requests", "_tokens", "_wall")

    def __init__(self, clock: Clock, wall: Clock) -> None:
        self._clock = clock
        self._wall = wall
        self._requests = _Measure()
        self._tokens = _Measure()

    @property
    def limit_requests(self) -> int | None:
        return self._requests.limit

    @property
    def limit_tokens(self) -> int | None:
        return self._tokens.limit

    @property
    def remaining_requests(self) -> int | None:
        return self._requests.remaining(self._clock())

    @property
    def remaining_tokens(self) -> int | None:
        return self._tokens.remaining(self._clock())

    def learn(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Take in the rate limit fields of an answer (2xx or 429); others, and what cannot be read, change nothing."""
        found: dict[tuple[str, str], tuple[int, bytes]] = {}
        for name, value in fields:
            row = _FIELDS.get(name.lower())
            if row is not None and row.rank >= found.get((row.measure, row.part), (0, b""))[0]:
                found[row.measure, row.part] = row.rank, value
        if found:
            said = {key: value for key, (_, value) in found.items()}
            self._learn(self._requests, said, "requests")
            self._learn(self._tokens, said, "tokens")

    def _learn(self, measure: _Measure, said: dict[tuple[str, str], bytes], name: str) -> None:
        limit = _number(said.get((name, "limit")))
        left = _number(said.get((name, "remaining")))
        if limit is not None:
            measure.limit = limit
        if left is not None:
            wait = seconds_until(said.get((name, "reset"), b"").decode("latin-1"), self._wall())
            measure.left = left
            measure.told = wait is not None
            measure.full_at = self._clock() + (_FORGOTTEN_AFTER if wait is None else wait)


def _number(value: bytes | None) -> int | None:
    found = _NUMBER.fullmatch(value.strip()) if value else None
    return max(0, int(found.group())) if found else None


def seconds_until(text: str, wall: float) -> float | None:
    """How long until a reset: `6m0s` and `17` are spans, large numbers and dates are times. At most seven days."""
    text = text.strip()
    if _SPAN.fullmatch(text):
        wait = sum(float(number) * _SECONDS[unit] for number, unit in _SPAN_PART.findall(text))
    elif _PLAIN.fullmatch(text) and len(text) < 20:
        number = float(text)
        wait = number if number < 1e9 else (number / 1000 if number > 1e11 else number) - wall
    else:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return None
        wait = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - wall
    return min(max(wait, 0.0), 7 * _DAY)
