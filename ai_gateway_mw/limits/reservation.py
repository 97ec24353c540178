"""Reservation: what one exchange takes of its key's limits, and what of it is given back when the exchange is over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from ai_gateway_mw.errors import (
    BudgetExceeded,
    LimitsUnavailable,
    RateLimited,
    RequestOverLimit,
    TooManyConcurrent,
)
from ai_gateway_mw.limits.claims import NO_USE, KeyClaims, Use, counter_of
from ai_gateway_mw.limits.counters import CROWDED, ONE, Claim, Counters, Taken
from ai_gateway_mw.limits.fields import limit_fields
from ai_gateway_mw.limits.key_limits import Bound
from ai_gateway_mw.limits.rings import Standing
from ai_gateway_mw.limits.windows import Calendar


class Reservation:
    """Opened once, and then ended by `settle` or `release`, whatever happened in between; the second of them does
    nothing. For a key without limits nothing is counted.

    `requests` and `tokens` are how the limits of these stood when this was taken. Until something is taken, all is as
    the class has it.
    """

    requests: Sequence[Standing] = ()
    tokens: Sequence[Standing] = ()
    has_reserved = False
    _is_open = False
    _reserved: Use = NO_USE
    _at = 0.0  # when that was reserved

    def __init__(self, counters: Counters, claims: KeyClaims) -> None:
        self._counters = counters
        self._claims = claims

    def open(self) -> None:
        """Take a request of each window, and a place. Raises `RateLimited` or `TooManyConcurrent`, and then nothing is
        taken."""
        claims = self._claims
        if claims.of_requests or claims.place is not None:
            taken = self._counters.take(claims.of_requests, ONE, claims.place)
            if taken.refused is not None:
                _refuse(taken, claims, claims.limits.of_requests, claims.of_requests, ONE)
            self.requests = taken.standings
        self._is_open = True

    def reserve(self, input_tokens: int, output_tokens: int, cost_nano: int) -> None:
        """Take what the upstream call may use at most. Raises `RateLimited`, `RequestOverLimit` or `BudgetExceeded`,
        and then nothing of it is taken; the place stays."""
        if self.has_reserved or not self._is_open:
            raise RuntimeError("an exchange reserves once, while it is open")
        claims = self._claims
        wanted = input_tokens + output_tokens, input_tokens, output_tokens, cost_nano
        if claims.of_use:
            taken = self._counters.take(claims.of_use, wanted)
            if taken.refused is not None:
                _refuse(taken, claims, claims.limits.of_use, claims.of_use, wanted)
            self.tokens = taken.standings[: claims.token_bounds]
            self._at = taken.at
        self.has_reserved = True
        self._reserved = wanted

    def settle(self, input_tokens: int | None, output_tokens: int | None, cost_nano: int | None) -> None:
        """Correct what was reserved to what was used, and give the place back. What is not known (None) stays as it was
        reserved."""
        if not self._is_open:
            return
        self._is_open = False
        claims = self._claims
        _, read, made, cost = self._reserved
        more_read = 0 if input_tokens is None else input_tokens - read
        more_made = 0 if output_tokens is None else output_tokens - made
        more = more_read + more_made, more_read, more_made, 0 if cost_nano is None else cost_nano - cost
        if claims.place is None and not (claims.of_use and any(more)):
            return
        try:
            self._counters.correct(claims.of_use, more, self._at, claims.place)
        except LimitsUnavailable:
            # The answer is out: what was reserved stays counted. Who has closed the counters has given back its places.
            return

    def release(self) -> None:
        """Give back what was reserved, since no upstream call was made; the request stays counted."""
        self.settle(0, 0, 0)


def raise_spending(counters: Counters, key_id: str, *, day: int, month: int) -> None:
    """Count at least so much as spent today and this month, in billionths of a dollar: on start, from what the usage
    table knows."""
    name = counter_of(key_id, "USD")
    counters.raise_to(name, Calendar("day"), day)
    counters.raise_to(name, Calendar("month"), month)


def _refuse(
    taken: Taken, key: KeyClaims, bounds: Sequence[Bound], claims: Sequence[Claim], wanted: Sequence[int]
) -> NoReturn:
    assert taken.refused is not None
    if taken.refused == CROWDED:
        assert key.place is not None
        raise TooManyConcurrent(key.place[1])
    bound, standing, part = bounds[taken.refused], taken.standings[taken.refused], claims[taken.refused][-1]
    if bound.unit == "USD":
        raise BudgetExceeded(bound.text)
    shown = limit_fields([standing], ()) if bound.unit == "requests" else limit_fields((), [standing])
    fields = [(name.decode(), value.decode()) for name, value in shown]
    if wanted[part] > bound.limit:
        raise RequestOverLimit(bound.text, wanted[part], fields)
    raise RateLimited(bound.text, taken.retry_after, fields)
