"""P13: limits are limits: a burst at the boundary gets exactly what is left, with one worker and with four."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ai_gateway_mw.services import Services
from benchmarks.contract.client import Answer, Connection, connect
from benchmarks.contract.dialects import nonce_of
from benchmarks.contract.gateway import Running
from benchmarks.contract.keyed import COST, TOKENS, code_of, new_key, nonce_in, request, site
from benchmarks.contract.verdict import Effort, Verdict
from benchmarks.contract.workers import Pinned
from tests.fake_upstream import Received, Reply, Upstream, ok

_BURST = 64
_ROUNDS = 12
_BUCKETS = 3  # capacities that `rate-limit` is asked about
_HELD = 1.5  # seconds that a request is under way, where it counts how many are
_SEED = 20_260_102
_DOLLAR = 1_000_000_000


@dataclass(slots=True)
class Seen:
    """What the provider saw of one burst."""

    admitted: int = 0
    under_way: int = 0
    most: int = 0
    first_end: float = float("inf")


class Ledger:
    """The provider: it writes down what it is asked, by the burst that a nonce names."""

    def __init__(self) -> None:
        self.bursts: defaultdict[str, Seen] = defaultdict(Seen)
        self.held = 0.0

    def answer(self, received: Received) -> Reply:
        seen = self.bursts[nonce_in(nonce_of(received)).partition("/")[0]]
        seen.admitted += 1
        seen.under_way += 1
        seen.most = max(seen.most, seen.under_way)
        held = self.held

        def over() -> None:
            seen.under_way -= 1
            seen.first_end = min(seen.first_end, time.monotonic())

        asyncio.get_running_loop().call_later(held, over)
        return ok(delay=held)(received)


@dataclass(frozen=True, slots=True)
class Limit:
    """A kind of limit: how a key says it for `count` requests, what refuses, and how it is asked for."""

    name: str
    stated: Callable[[int], dict[str, Any]]
    status: int = 429
    code: str = "rate_limit_exceeded"
    fields: Callable[[str, int], dict[str, str]] = field(default=lambda burst, count: {})
    counts: Sequence[int] = ()
    """The only ones that there are; else any."""
    holds: bool = False


def _capacities() -> list[int]:
    return [5, 20, 50]


LIMITS = (
    Limit("requests_per_minute", lambda count: {"requests_per_minute": count}),
    Limit("concurrent_requests", lambda count: {"concurrent_requests": count}, holds=True),
    Limit("tokens_per_day", lambda count: {"tokens_per_day": count * TOKENS + TOKENS - 1}),
    Limit(
        "usd_per_day",
        lambda count: {"usd_per_day": (count * COST + COST - 1000) / _DOLLAR},
        402,
        "budget_exceeded",
    ),
    Limit(
        "rate-limit",
        lambda count: {},
        fields=lambda burst, count: {f"x-bucket-{count}": burst},
        counts=_capacities(),
    ),
)


def _rules() -> list[dict[str, Any]]:
    """A `rate-limit` for each capacity, which counts by a field of the request."""
    return [
        {
            "expressions": [f"hasReqHeader('x-bucket-{capacity}')"],
            "actions": [
                {
                    "type": "rate-limit",
                    "config": {
                        "name": f"of {capacity}",
                        "algorithm": "sliding_window",
                        "capacity": capacity,
                        "rate": "60s",
                        "bucket_key": [f"req.headers['x-bucket-{capacity}'][0]"],
                    },
                }
            ],
        }
        for capacity in _capacities()
    ]


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P13 limits are limits")
    rounds, chance = effort.of(_ROUNDS, 1), random.Random(_SEED)
    async with Upstream() as upstream:
        for workers in (2,) if effort.quick else (1, 4):
            async with (
                site(upstream.port, workers=workers, first=_rules()) as here,
                await here.services() as services,
                here.running() as gateway,
            ):
                bursts = Bursts(gateway, services, Ledger(), workers, verdict)
                upstream.on(bursts.ledger.answer)
                await bursts.open()
                for limit in LIMITS:
                    for number in range(rounds):
                        count = chance.choice(limit.counts or range(1, _BURST))
                        await bursts.exact(limit, f"{workers}w-{limit.name[:9]}-{number}", count)
                    effort.say(f"{workers} workers, {limit.name}: {len(verdict.broken)} cases broken")
                for number in range(rounds):
                    await bursts.spent(f"{workers}w-budget-{number}", chance.randint(5, 40))
                bursts.close()
    return verdict


class Bursts:
    """Connections to one gateway, spread over its workers, on which bursts are sent at one go."""

    def __init__(self, gateway: Running, services: Services, ledger: Ledger, workers: int, verdict: Verdict) -> None:
        self.ledger = ledger
        self._gateway = gateway
        self._services = services
        self._workers = workers
        self._verdict = verdict
        self._connections: list[Connection] = []

    async def open(self) -> None:
        """So many to each worker."""
        pinned = Pinned(self._gateway.port, self._gateway.process.pid, self._workers)
        while len(self._connections) < _BURST:
            self._connections += (await pinned.of_each()).values()
        pinned.close()

    def close(self) -> None:
        for connection in self._connections:
            connection.leave()

    async def exact(self, limit: Limit, burst: str, count: int) -> None:
        """A burst against a new key gets exactly so many; so does the next one only where places are given back."""
        key = await new_key(self._services, burst, **limit.stated(count))
        fields = limit.fields(burst, count)
        self.ledger.held = _HELD if limit.holds else 0.0
        begun = time.monotonic()
        answers = await self._sent([request(key.text, f"{burst}/{n}", fields=fields) for n in range(_BURST)])
        self._judge(limit, burst, count, answers)
        if limit.holds:
            seen = self.ledger.bursts[burst]
            if seen.first_end - begun < _HELD:
                self._verdict.count("bursts that lasted too long to be exact")
            answers = await self._sent([request(key.text, f"{burst}-2/{n}", fields=fields) for n in range(_BURST)])
            self._judge(limit, f"{burst}-2", count, answers)
        else:
            answers = await self._sent([request(key.text, f"{burst}/late", fields=fields)] * 4)
            self._judge(limit, burst, count, answers, of=4, good=0)

    async def spent(self, burst: str, count: int) -> None:
        """Bursts of requests that may cost more than they do, until nothing passes: all is spent, and no more."""
        limit = count * COST
        key = await new_key(self._services, burst, usd_per_day=limit / _DOLLAR)
        self.ledger.held = 0.0
        for _ in range(count):
            before = self.ledger.bursts[burst].admitted
            answers = await self._sent([request(key.text, f"{burst}/{n}", most=15) for n in range(_BURST)])
            for answer in answers:
                self._verdict.check(answer.status in (200, 402), "usd_per_day, spent: an answer", str(answer))
            if self.ledger.bursts[burst].admitted == before:
                break
        cost = self.ledger.bursts[burst].admitted * COST
        self._verdict.check(cost <= limit, "a budget is overspent", f"{cost} of {limit} in {burst}")
        # What is left is less than one request may cost: ten words more than it does.
        self._verdict.check(cost > limit - COST - 20_000_000, "a budget is not spent", f"{cost} of {limit} in {burst}")
        self._verdict.count("budgets spent")

    def _judge(
        self,
        limit: Limit,
        burst: str,
        count: int,
        answers: Sequence[Answer],
        *,
        of: int = _BURST,
        good: int | None = None,
    ) -> None:
        verdict, seen = self._verdict, self.ledger.bursts[burst]
        case = f"{limit.name}, {self._workers} workers"
        verdict.count("bursts")
        verdict.count("requests", len(answers))
        passed = sum(answer.status == 200 for answer in answers)
        refused = sum(answer.status == limit.status and code_of(answer) == limit.code for answer in answers)
        strange = [str(answer) for answer in answers if answer.status not in (200, limit.status)]
        expected = min(count, of) if good is None else good
        verdict.check(passed + refused == len(answers), f"{case}: another answer", strange[:1] or "a code")
        verdict.check(seen.most <= count if limit.holds else seen.admitted <= count, f"{case}: exceeded", seen)
        if not limit.holds or passed + refused == len(answers):
            verdict.check(passed == expected, f"{case}: not exact", f"{passed} of {expected} in {burst}: {seen}")

    async def _sent(self, requests: Sequence[bytes]) -> list[Answer]:
        """All at one go, over the connections of all workers in turn."""
        for at, connection in enumerate(self._connections):
            if not connection.open:
                self._connections[at] = await connect(self._gateway.port)
        used = self._connections[: len(requests)]
        for connection, each in zip(used, requests, strict=True):
            connection.send(each)
        return [await connection.ended() for connection in used]
