"""A few minutes of finished attempts, summed up as `m.metrics` shows them: latency, error rates, tokens."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_gateway_mw.state.quota import Quota
from ai_gateway_mw.state.results import COUNTS, Count, Result, rate

SPAN, SLOT = 300, 10
_BUCKET = math.log(1.05)  # percentiles are exact to one bucket: five per cent


_LATENCIES = ("gateway_ms", "upstream_ms", "time_to_first_token_ms", "time_per_output_token_ms")
_NULL_UNTIL_STREAMED = _LATENCIES[2:]
_TOKENS = ("provider_input", "provider_output", "estimated_input", "estimated_output")


@dataclass(frozen=True, slots=True)
class Measured:
    """One finished attempt. Times are milliseconds; None is what was not seen, such as a first token without a stream.

    `keys` are the ids under which the attempt shows in `m.metrics.api_keys`, each with the quota known for it.
    """

    result: Result
    gateway_ms: float | None = None
    upstream_ms: float | None = None
    time_to_first_token_ms: float | None = None
    time_per_output_token_ms: float | None = None
    provider_input: int = 0
    provider_output: int = 0
    estimated_input: int = 0
    estimated_output: int = 0
    keys: Mapping[str, Quota | None] = field(default_factory=dict)


class _Slot:
    """The sums of a few seconds."""

    __slots__ = ("buckets", "counts", "number", "requests", "sums", "tokens")

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests = 0
        self.counts = [0] * len(Count)
        self.tokens = dict.fromkeys(_TOKENS, 0)
        self.sums = dict.fromkeys(_LATENCIES, 0.0)
        self.buckets: dict[str, dict[int, int]] = {name: {} for name in _LATENCIES}

    def add(self, measured: Measured) -> None:
        self.requests += 1
        for kind in COUNTS[measured.result]:
            self.counts[kind] += 1
        for name in _TOKENS:
            self.tokens[name] += getattr(measured, name)
        for name in _LATENCIES:
            value = getattr(measured, name)
            if value is not None:
                bucket = int(math.log(value + 1) / _BUCKET)
                self.sums[name] += value
                self.buckets[name][bucket] = self.buckets[name].get(bucket, 0) + 1


class History:
    """What happened in the span; `number` counts slots of time."""

    __slots__ = ("_slots",)

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque()

    def __bool__(self) -> bool:
        return bool(self._slots)

    def add(self, number: int, measured: Measured) -> None:
        if not self._slots or self._slots[-1].number < number:
            self._slots.append(_Slot(number))
            self._drop(number)
        self._slots[-1].add(measured)

    def summary(self, number: int, wall: float) -> dict[str, Any]:
        """The sums of the span that ends with this slot; all zeros where nothing happened."""
        self._drop(number)
        requests = sum(slot.requests for slot in self._slots)
        return {
            "request_count": requests,
            "start_time": int(wall) - SPAN if requests else 0,
            "end_time": int(wall) if requests else 0,
            "latency": self._latency(),
            "error_rate": self._error_rate(),
            "token": {name: sum(slot.tokens[name] for slot in self._slots) for name in _TOKENS},
        }

    def _drop(self, number: int) -> None:
        while self._slots and self._slots[0].number <= number - SPAN // SLOT:
            self._slots.popleft()

    def _latency(self) -> dict[str, int | None]:
        latency: dict[str, int | None] = {}
        for name in _LATENCIES:
            buckets: Counter[int] = Counter()
            for slot in self._slots:
                buckets.update(slot.buckets[name])
            seen = buckets.total()
            unseen = None if name in _NULL_UNTIL_STREAMED else 0
            latency[f"{name}_avg"] = round(sum(slot.sums[name] for slot in self._slots) / seen) if seen else unseen
            latency[f"{name}_p95"] = _percentile(buckets, math.ceil(seen * 0.95)) if seen else unseen
        return latency

    def _error_rate(self) -> dict[str, float]:
        count = [sum(slot.counts[kind] for slot in self._slots) for kind in Count]
        samples, faults = count[Count.SAMPLE], count[Count.CLIENT]
        return {
            "total": rate(count[Count.TOTAL], samples),
            "timeout": rate(count[Count.TIMEOUT], samples),
            "rate_limit": rate(count[Count.RATE_LIMIT], samples),
            "client": rate(faults, samples + faults),
            "server": rate(count[Count.SERVER], samples),
        }


def _percentile(buckets: Counter[int], rank: int) -> int:
    """The middle of the bucket that holds the value of this rank."""
    for bucket in sorted(buckets):
        rank -= buckets[bucket]
        if rank <= 0:
            break
    return round(math.exp((bucket + 0.5) * _BUCKET) - 1)
