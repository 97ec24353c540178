"""Quota: what a provider says, in the fields of its answers, is left for a key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain

from ai_gateway_mw.state.window import Clock

_FORGOTTEN_AFTER = 60.0  # most limits are per minute
_LONGEST_WAIT = 7 * 86_400.0
_MOST_DIGITS = 18  # what 64 bits hold, and so does CEL
_LONGEST = 41  # characters that are kept of a value: no number, no span and no date takes as many
_EARLIEST = 1e9  # seconds; smaller numbers are spans and no times
_PLAIN = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|us|µs|ns|[dhms])")
_SECONDS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}

# What fields tell, as numbers: of each kind the limit and, after it, what remains and the reset.
_REQUESTS, _TOKENS, _INPUT_TOKENS = 0, 3, 6
_FIELDS: dict[bytes, int] = {
    name.encode(): kind + place
    for place, part in enumerate(("limit", "remaining", "reset"))
    for name, kind in (
        (f"x-ratelimit-{part}-requests", _REQUESTS),
        (f"x-ratelimit-{part}-tokens", _TOKENS),
        (f"anthropic-ratelimit-requests-{part}", _REQUESTS),
        # Anthropic: `tokens` stands for whichever token limit is the tightest, so it counts before `input-tokens`.
        (f"anthropic-ratelimit-tokens-{part}", _TOKENS),
        (f"anthropic-ratelimit-input-tokens-{part}", _INPUT_TOKENS),
    )
}
_COUNTS = frozenset(name for name in _FIELDS if b"reset" not in name)


class _Measure:
    """One kind of limit: how much there is at most, how much is left, and when all of it is there again."""

    __slots__ = ("_full_at", "_left", "_told", "limit")

    def __init__(self) -> None:
        self.limit: int | None = None
        self._left: int | None = None
        self._full_at = 0.0
        self._told = False

    def learn(self, left: int, reset: bytes, now: float, wall: float) -> None:
        wait = seconds_until(reset.decode("latin-1"), wall)
        self._left, self._told = left, wait is not None
        self._full_at = now + (_FORGOTTEN_AFTER if wait is None else wait)

    def remaining(self, now: float) -> int | None:
        """What is left; once the time of its reset has passed, the limit, and None for a zero that may be over."""
        if self._left is None or now < self._full_at:
            return self._left
        return self.limit if self._told and self.limit is not None else self._left or None


class Quota:
    """Requests and tokens that a key may still use, as its provider reported last; None is not reported.

    What an answer tells is read when somebody asks: most answers tell something, and few are asked after.
    """

    __slots__ = ("_clock", "_heard", "_heard_wall", "_requests", "_tokens", "_unread", "_wall")

    def __init__(self, clock: Clock, wall: Clock) -> None:
        self._clock = clock
        self._wall = wall
        self._requests = _Measure()
        self._tokens = _Measure()
        self._unread: dict[bytes, bytes] = {}  # fields of the latest answer, and when it came
        self._heard = self._heard_wall = 0.0

    @property
    def limit_requests(self) -> int | None:
        self._read()
        return self._requests.limit

    @property
    def limit_tokens(self) -> int | None:
        self._read()
        return self._tokens.limit

    @property
    def remaining_requests(self) -> int | None:
        self._read()
        return self._requests.remaining(self._clock())

    @property
    def remaining_tokens(self) -> int | None:
        self._read()
        return self._tokens.remaining(self._clock())

    def learn(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        """Take in the rate limit fields of an answer (2xx or 429), whose names are in lower case; of others, and of
        what cannot be read, nothing is taken."""
        named = dict(fields)
        telling = _FIELDS.keys() & named.keys()
        if not telling:
            return
        told = {name: named[name][:_LONGEST] for name in telling}
        plain = all(told[name].isdigit() and len(told[name]) <= _MOST_DIGITS for name in telling & _COUNTS)
        if not plain or self._unread.keys() - telling:  # what the earlier one told beside it stays
            self._read()
        self._unread = told
        self._heard, self._heard_wall = self._clock(), self._wall()

    def _read(self) -> None:
        if not self._unread:
            return
        unread, self._unread = self._unread, {}
        said = {place: unread[name] for name, place in _FIELDS.items() if name in unread}
        self._take(self._requests, said, _REQUESTS)
        self._take(self._tokens, said, _INPUT_TOKENS)
        self._take(self._tokens, said, _TOKENS)

    def _take(self, measure: _Measure, said: Mapping[int, bytes], kind: int) -> None:
        limit, left = _number(said.get(kind, b"")), _number(said.get(kind + 1, b""))
        if limit is not None:
            measure.limit = limit
        if left is not None:
            measure.learn(left, said.get(kind + 2, b""), self._heard, self._heard_wall)


def _number(value: bytes) -> int | None:
    """A whole number; what is below zero counts as zero."""
    value = value.strip()
    if len(value) > _MOST_DIGITS:
        return None
    if value.isdigit():
        return int(value)
    return 0 if value[:1] == b"-" and value[1:].isdigit() else None


def seconds_until(text: str, wall: float) -> float | None:
    """How long until a reset: `6m0s` and `17` are spans, large numbers and dates are times. At most seven days."""
    if len(text) >= _LONGEST:
        return None
    parts = _SPAN.findall(text)
    if parts and sum(map(len, chain.from_iterable(parts))) == len(text):
        return min(sum(float(number) * _SECONDS[unit] for number, unit in parts), _LONGEST_WAIT)
    at = _time(text.strip())
    if at is None:
        return None
    return min(max(at if at < _EARLIEST else at - wall, 0.0), _LONGEST_WAIT)


def _time(text: str) -> float | None:
    """Seconds, seconds or milliseconds since 1970, or a date."""
    if _PLAIN.fullmatch(text):
        number = float(text)
        return number / 1000 if number > _EARLIEST * 100 else number
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
