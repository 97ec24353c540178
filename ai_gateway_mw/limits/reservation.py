"""Reservation: what one exchange takes of its key's limits, and what of it is given back when the exchange is over."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ai_gateway_mw.errors import (
    BudgetExceeded,
    GatewayError,
    LimitsUnavailable,
    RateLimited,
    RequestOverLimit,
    TooManyConcurrent,
)
from ai_gateway_mw.headers import Field
from ai_gateway_mw.limits.counters import KEY_PREFIX, Counters, Taken
from ai_gateway_mw.limits.fields import Stand, limit_fields
from ai_gateway_mw.limits.key_limits import Bound, KeyLimits, Unit
from ai_gateway_mw.limits.windows import Calendar


class Reservation:
    """Opened once, and then ended by `settle` or `release`, whatever happened in between; the second of them does
    nothing. For a key without limits nothing is counted."""

    __slots__ = ("_at", "_counters", "_entered", "_is_open", "_limits", "_name", "_reserved", "_stands")

    def __init__(self, counters: Counters, limits: KeyLimits, key_id: str) -> None:
        self._counters = counters
        self._limits = limits
        self._name = KEY_PREFIX + key_id
        self._is_open = self._entered = False
        self._reserved: _Use | None = None
        self._at = 0.0
        self._stands: list[Stand] = []

    def open(self) -> None:
        """Take a request of each window, and a place. Raises `RateLimited` or `TooManyConcurrent`, and then nothing is
        taken."""
        limits = self._limits
        if limits.is_none:
            return
        most = limits.concurrent_requests
        if most is not None and not self._counters.enter(self._name, most):
            raise TooManyConcurrent(most)
        self._entered = most is not None
        try:
            self._take(limits.of_requests, _NOTHING)
        except BaseException:
            self._leave()
            raise
        self._is_open = True

    def reserve(self, input_tokens: int, output_tokens: int, cost_nano: int) -> None:
        """Take what the upstream call may use at most. Raises `RateLimited`, `RequestOverLimit` or `BudgetExceeded`,
        and then nothing of it is taken; the place stays."""
        if self._limits.is_none:
            return
        if self._reserved is not None or not self._is_open:
            raise RuntimeError("an exchange reserves once, while it is open")
        use = _Use(input_tokens, output_tokens, cost_nano)
        self._at = self._take(self._limits.of_use, use)
        self._reserved = use

    def settle(self, input_tokens: int | None, output_tokens: int | None, cost_nano: int | None) -> None:
        """Correct what was reserved to what was used. What is not known (None) stays as it was reserved."""
        if not self._is_open:
            return
        self._is_open = False
        if self._limits.of_use:
            reserved = self._reserved or _NOTHING
            used = _Use(
                reserved.input_tokens if input_tokens is None else input_tokens,
                reserved.output_tokens if output_tokens is None else output_tokens,
                reserved.cost_nano if cost_nano is None else cost_nano,
            )
            self._correct(reserved, used)
        self._leave()

    def release(self) -> None:
        """Give back what was reserved, since no upstream call was made; the request stays counted."""
        self.settle(0, 0, 0)

    def fields(self) -> list[Field]:
        """What the client is told of its limits, as they stood when this was taken."""
        return limit_fields(self._stands)

    def _take(self, bounds: Sequence[Bound], use: _Use) -> float:
        if not bounds:
            return 0.0
        name = self._name
        claims = [(f"{name}/{bound.unit}", bound.window, bound.limit, use.of(bound.unit)) for bound in bounds]
        taken = self._counters.take(claims)
        if taken.refused is not None:
            raise _refusal(bounds[taken.refused], claims[taken.refused][-1], taken)
        self._stands += zip(bounds, taken.standings, strict=True)
        return taken.at

    def _correct(self, reserved: _Use, used: _Use) -> None:
        differences = [
            (f"{self._name}/{bound.unit}", bound.window, difference)
            for bound in self._limits.of_use
            if (difference := used.of(bound.unit) - reserved.of(bound.unit))
        ]
        if differences:
            with suppress(LimitsUnavailable):  # the answer is out; what was reserved stays counted
                self._counters.correct_all(differences, self._at)

    def _leave(self) -> None:
        if self._entered:
            self._entered = False
            with suppress(LimitsUnavailable):  # closed, and the place was given back with that
                self._counters.leave(self._name)


class _Use:
    """Tokens and money of one exchange."""

    __slots__ = ("cost_nano", "input_tokens", "output_tokens")

    def __init__(self, input_tokens: int, output_tokens: int, cost_nano: int) -> None:
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.cost_nano = cost_nano

    def of(self, unit: Unit) -> int:
        """How much of a unit that is; every exchange is one request."""
        if unit == "tokens":
            return self.input_tokens + self.output_tokens
        if unit == "input tokens":
            return self.input_tokens
        if unit == "output tokens":
            return self.output_tokens
        return self.cost_nano if unit == "USD" else 1


_NOTHING = _Use(0, 0, 0)


def raise_spending(counters: Counters, key_id: str, *, day: int, month: int) -> None:
    """Count at least so much as spent today and this month, in billionths of a dollar: on start, from what the usage
    table knows."""
    name = f"{KEY_PREFIX}{key_id}/USD"
    counters.raise_to(name, Calendar("day"), day)
    counters.raise_to(name, Calendar("month"), month)


def _refusal(bound: Bound, amount: int, taken: Taken) -> GatewayError:
    if bound.unit == "USD":
        return BudgetExceeded(bound.text)
    stand = (bound, taken.standings[taken.refused or 0])
    fields = [(name.decode(), value.decode()) for name, value in limit_fields([stand])]
    if amount > bound.limit:
        return RequestOverLimit(bound.text, amount, fields)
    return RateLimited(bound.text, taken.retry_after, fields)
