"""A few minutes of finished attempts, summed up as `m.metrics` shows them: latency, error rates, tokens."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, inf, log
from typing import Any

from ai_gateway_mw.state.results import (
    CLIENT,
    COUNTS,
    KINDS,
    RATE_LIMIT,
    SAMPLE,
    SERVER,
    TIMEOUT,
    TOTAL,
    Result,
    rate,
)
from ai_gateway_mw.state.window import Clock

SPAN, SLOT = 300, 10
_MANY = 512  # attempts
_BUCKETS = 1 / log(1.05)  # percentiles are exact to one bucket: five per cent
_KIND = 1 << 20  # more than there are buckets


def _bucket(ms: float) -> int:
    return int(log(ms + 1) * _BUCKETS)


_FIRST = 2048
_FIRST_BUCKETS = tuple(map(_bucket, range(_FIRST)))

_LATENCIES = ("gateway_ms", "upstream_ms", "time_to_first_token_ms", "time_per_output_token_ms")
_NULL_UNTIL_STREAMED = _LATENCIES[2:]
_TOKENS = ("provider_input", "provider_output", "estimated_input", "estimated_output")


@dataclass(slots=True, eq=False)  # not frozen: one is made for each attempt, and that takes three times as long
class Measured:
    """One finished attempt. Times are milliseconds; None is what was not seen, such as a first token without a stream.
    Without a result only the tokens count."""

    result: Result | None
    gateway_ms: float | None = None
    upstream_ms: float | None = None
    time_to_first_token_ms: float | None = None
    time_per_output_token_ms: float | None = None
    provider_input: int = 0
    provider_output: int = 0
    estimated_input: int = 0
    estimated_output: int = 0


class _Slot:
    """The sums of a few seconds. There are thousands where there are many keys: hence no object for each kind of time.

    `totals` are the tokens and, after them, the milliseconds of each kind; `times` says how often each bucket of a
    logarithmic scale was met, of kind `n` from `n * _KIND` on.
    """

    __slots__ = ("number", "results", "times", "totals")

    def __init__(self, number: int) -> None:
        self.number = number
        self.results: Counter[Result] = Counter()
        self.totals: list[float] = [0] * (len(_TOKENS) + len(_LATENCIES))
        self.times: Counter[int] = Counter()

    def add(self, measured: Sequence[Measured]) -> None:
        """Add many at once, figure by figure: that takes a third of the time that one by one would."""
        self.results.update([each.result for each in measured if each.result is not None])
        self._add_times(0, [each.gateway_ms for each in measured if each.gateway_ms is not None])
        self._add_times(1, [each.upstream_ms for each in measured if each.upstream_ms is not None])
        self._add_times(2, [ms for each in measured if (ms := each.time_to_first_token_ms) is not None])
        self._add_times(3, [ms for each in measured if (ms := each.time_per_output_token_ms) is not None])
        totals = self.totals
        totals[0] += sum([each.provider_input for each in measured])
        totals[1] += sum([each.provider_output for each in measured])
        totals[2] += sum([each.estimated_input for each in measured])
        totals[3] += sum([each.estimated_output for each in measured])

    def _add_times(self, kind: int, took: Sequence[float]) -> None:
        if not took:
            return
        self.totals[len(_TOKENS) + kind] += sum(took)
        offset = kind * _KIND
        self.times.update(
            [(_FIRST_BUCKETS[ms] if type(ms) is int and ms < _FIRST else _bucket(ms)) + offset for ms in took]
        )

    def merge(self, other: _Slot) -> None:
        self.results.update(other.results)
        self.times.update(other.times)
        self.totals = [ours + theirs for ours, theirs in zip(self.totals, other.totals, strict=True)]


class History:
    """What happened in the span; the slots of time have numbers."""

    __slots__ = ("_clock", "_new", "_until", "slots")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.slots: deque[_Slot] = deque()
        self._until = -inf  # the end of the last slot
        self._new: list[Measured] = []  # of the last slot, not summed up yet

    def add(self, measured: Measured) -> None:
        """Note an attempt. It is summed up when somebody asks, or with many others: requests do not wait for that."""
        now = self._clock()
        if now >= self._until:
            self._begin(int(now / SLOT))
        new = self._new
        new.append(measured)
        if len(new) >= _MANY:
            self.sum_up()

    def _begin(self, number: int) -> None:
        """Go on to this slot."""
        self.sum_up()
        self._until = (number + 1) * SLOT
        self.slots.append(_Slot(number))
        self.forget(number)

    def sum_up(self) -> None:
        """Add to the last slot what is new."""
        if self._new:
            self.slots[-1].add(self._new)
            self._new.clear()

    def merge(self, other: History) -> None:
        """Take over what another history holds."""
        self.sum_up()
        other.sum_up()
        slots = {slot.number: slot for slot in self.slots}
        for theirs in other.slots:
            ours = slots.setdefault(theirs.number, theirs)
            if ours is not theirs:
                ours.merge(theirs)
        self.slots = deque(slots[number] for number in sorted(slots))
        self._until = (max(slots) + 1) * SLOT if slots else -inf

    def forget(self, number: int) -> None:
        """Drop what is out of the span that ends with this slot."""
        while self.slots and self.slots[0].number <= number - SPAN // SLOT:
            self.slots.popleft()


def summary(histories: Sequence[History], number: int, wall: float) -> dict[str, Any]:
    """The sums of these histories over the span that ends with this slot; all zeros where nothing happened."""
    for history in histories:
        history.sum_up()
        history.forget(number)
    slots = [slot for history in histories for slot in history.slots]
    results: Counter[Result] = Counter()
    for slot in slots:
        results.update(slot.results)
    return {
        "request_count": results.total(),
        "start_time": int(wall) - SPAN if results else 0,
        "end_time": int(wall) if results else 0,
        "latency": latency(slots),
        "error_rate": _error_rate(results),
        "token": {name: int(sum(slot.totals[place] for slot in slots)) for place, name in enumerate(_TOKENS)},
    }


def latency(slots: Sequence[_Slot]) -> dict[str, int | None]:
    """The average and the 95th percentile of each kind of time."""
    met: list[Counter[int]] = [Counter() for _ in _LATENCIES]
    for slot in slots:
        for bucket, times in slot.times.items():
            kind, bucket_of_kind = divmod(bucket, _KIND)
            met[kind][bucket_of_kind] += times
    found: dict[str, int | None] = {}
    for kind, name in enumerate(_LATENCIES):
        buckets, seen = met[kind], met[kind].total()
        total = sum(slot.totals[len(_TOKENS) + kind] for slot in slots)
        unseen = None if name in _NULL_UNTIL_STREAMED else 0
        found[f"{name}_avg"] = round(total / seen) if seen else unseen
        found[f"{name}_p95"] = _percentile(buckets, ceil(seen * 0.95)) if seen else unseen
    return found


def _error_rate(results: Mapping[Result, int]) -> dict[str, float]:
    count = [0] * KINDS
    for result, times in results.items():
        for kind in COUNTS[result]:
            count[kind] += times
    return {
        "total": rate(count[TOTAL], count[SAMPLE]),
        "timeout": rate(count[TIMEOUT], count[SAMPLE]),
        "rate_limit": rate(count[RATE_LIMIT], count[SAMPLE]),
        "client": rate(count[CLIENT], count[SAMPLE] + count[CLIENT]),
        "server": rate(count[SERVER], count[SAMPLE]),
    }


def _percentile(buckets: Mapping[int, int], rank: int) -> int:
    """The middle of the bucket that holds the value of this rank."""
    for bucket in sorted(buckets):
        rank -= buckets[bucket]
        if rank <= 0:
            break
    return round(exp((bucket + 0.5) / _BUCKETS) - 1)
