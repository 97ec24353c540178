"""P12: a gateway that is killed under load loses nothing that was committed, and forgets nothing that was spent."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ai_gateway_mw.audit import Event, Filter
from ai_gateway_mw.errors import DatabaseUnavailable
from ai_gateway_mw.keys.store import KeyRefused
from ai_gateway_mw.keys.store.service import Created
from ai_gateway_mw.limits import KEY_PREFIX, Calendar, Counters
from ai_gateway_mw.services import Services
from benchmarks.contract.client import Client
from benchmarks.contract.dialects import nonce_of
from benchmarks.contract.gateway import Running
from benchmarks.contract.keyed import ACTOR, COST, Site, new_key, nonce_in, ready, request, site
from benchmarks.contract.verdict import Effort, Verdict, percentile
from tests.fake_upstream import Received, Reply, Upstream, ok

_KILLS = 50
_KEYS = 6
_AT_ONCE = 24
_LOAD = 1.6  # seconds between ready and the kill: sums of usage are written every second
_SHORT = 1.0  # seconds of usage that may be missing
_FLUSH = 0.5  # seconds for the writing of it, and for a request to end after its answer left the provider
_READY = 3.0
_PATIENCE = 60.0


class Ledger:
    """The provider: it charges for everything that it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []  # the first key of the line, and when

    def answer(self, received: Received) -> Reply:
        lineage = nonce_in(nonce_of(received)).rpartition("/")[0]
        self.asked.append((lineage, time.monotonic()))
        return ok(delay=0.02)(received)


@dataclass(slots=True)
class Told:
    """What somebody was told is committed."""

    keys: dict[str, str] = field(default_factory=dict)  # their states, by their ids
    requests: set[str] = field(default_factory=set)  # ids of requests that were answered
    events: Counter[tuple[str, str]] = field(default_factory=Counter)  # of which key


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P12 crash safety")
    kills = effort.of(_KILLS, 1)
    async with Upstream() as upstream:
        ledger = Ledger()
        upstream.on(ledger.answer)
        workers = 2 if effort.quick else 4
        async with site(upstream.port, workers=workers, settings={"AUDIT_REQUESTS": "strict"}) as here:
            crashes = Crashes(here, ledger, verdict)
            await crashes.begin()
            for number in range(kills):
                await crashes.crash(number)
                if number % 10 == 9:
                    effort.say(f"{number + 1} kills, {len(ledger.asked)} requests, {len(verdict.broken)} cases broken")
            await crashes.restart()
            crashes.tell()
    return verdict


class Crashes:
    """One installation, whose gateway is killed again and again."""

    def __init__(self, here: Site, ledger: Ledger, verdict: Verdict) -> None:
        self._here = here
        self._ledger = ledger
        self._verdict = verdict
        self._told = Told()
        self._keys: list[Created] = []
        self._ready: list[float] = []
        self._short: list[int] = []
        self._may_be_missing = 0  # of usage
        self._day = datetime.now(UTC).date()

    async def begin(self) -> None:
        async with await self._here.services() as services:
            for number in range(_KEYS):
                key = await new_key(services, f"load-{number}", usd_per_day=1_000_000, usd_per_month=1_000_000)
                self._keys.append(key)
                self._told.keys[key.record.id] = "active"

    async def crash(self, number: int) -> None:
        """Load, changes of keys beside it, the kill in the midst of both; then everything is compared."""
        begun = time.monotonic()
        async with self._here.running() as gateway:
            await self._until_ready(gateway, begun)
            client = Client(gateway.port)
            stopping = asyncio.Event()
            loads = [asyncio.create_task(self._load(client, stopping, number, at)) for at in range(_AT_ONCE)]
            async with await self._here.services() as services:
                changes = asyncio.create_task(self._change(services, stopping, number))
                await asyncio.sleep(_LOAD)
                killed = time.monotonic()
                await asyncio.to_thread(gateway.process.kill_group)
                stopping.set()
                await asyncio.gather(*loads, changes)
            client.close()
        self._verdict.count("kills")
        self._may_be_missing += sum(at > killed - _SHORT - _FLUSH for _, at in self._ledger.asked)
        await self._compare(number)

    async def restart(self) -> None:
        """Once more, to end in good order: then no usage is missing but what is."""
        begun = time.monotonic()
        async with self._here.running() as gateway:
            await self._until_ready(gateway, begun)
            client = Client(gateway.port)
            answer = await client.ask(request(self._keys[0].text, f"{self._keys[0].record.lineage}/last"))
            self._verdict.check(answer.status == 200, "a request after all of it", str(answer))
            client.close()

    def tell(self) -> None:
        told, counts = self._told, self._verdict.counts
        counts["requests"] = len(self._ledger.asked)
        counts["requests that were answered"] = len(told.requests)
        counts["changes of keys"] = sum(told.events.values())
        counts["requests whose usage is missing, worst of a kill"] = max(self._short, default=0)
        counts["requests whose usage is missing, in all"] = sum(self._short)
        counts["seconds to ready, p50"] = percentile(self._ready, 0.5)
        counts["seconds to ready, worst"] = max(self._ready, default=0.0)

    async def _until_ready(self, gateway: Running, begun: float) -> None:
        client, is_ready = Client(gateway.port), False
        while not is_ready and time.monotonic() < begun + _PATIENCE:
            is_ready = (await client.ask(ready())).status == 200
            await asyncio.sleep(0 if is_ready else 0.02)
        client.close()
        took = time.monotonic() - begun
        self._ready.append(took)
        self._verdict.check(is_ready, "it does not become ready", gateway.process.output[-500:])
        self._verdict.check_time(took <= _READY, "ready too late", f"after {took:.1f} s")

    async def _load(self, client: Client, stopping: asyncio.Event, kill: int, at: int) -> None:
        turn = 0
        while not stopping.is_set():
            key = self._keys[(at + turn) % len(self._keys)]
            nonce = f"{key.record.lineage}/{kill}.{at}.{turn}"
            try:
                answer = await client.ask(request(key.text, nonce, stream=turn % 3 == 0))
            except OSError:
                return
            if answer.head_in and answer.status == 200:
                self._told.requests.add(answer.fields["x-request-id"])
            elif answer.head_in:
                self._verdict.broke("a request failed", str(answer))
            turn += 1

    async def _change(self, services: Services, stopping: asyncio.Event, kill: int) -> None:
        """Make keys, revoke them, rotate those in use: one after the other, each told only when it is committed."""
        told, turn = self._told, 0
        while not stopping.is_set():
            try:
                made = await new_key(services, f"other-{kill}-{turn}")
                told.keys[made.record.id] = "active"
                told.events["key.created", made.record.id] += 1
                await services.keys.revoke(made.record.id, ACTOR)
                told.keys[made.record.id] = "revoked"
                told.events["key.revoked", made.record.id] += 1
                if turn % 4 == 0:
                    await self._rotate(services, turn % len(self._keys))
            except DatabaseUnavailable as error:
                self._verdict.broke("a key cannot be changed", str(error))
            turn += 1
            await asyncio.sleep(0.02)

    async def _rotate(self, services: Services, at: int) -> None:
        old = self._keys[at]
        try:
            new = await services.keys.rotate(old.record.id, ACTOR, grace=timedelta(hours=1))
        except KeyRefused as error:
            self._verdict.broke("a key cannot be rotated", str(error))
            return
        self._keys[at] = new
        self._told.keys |= {old.record.id: "retiring", new.record.id: "active"}
        self._told.events["key.rotated", old.record.id] += 1
        self._told.events["key.created", new.record.id] += 1

    async def _compare(self, number: int) -> None:
        with closing(sqlite3.connect(self._here.database)) as connection:
            result = connection.execute("PRAGMA integrity_check").fetchone()[0]
        self._verdict.check(result == "ok", "the database is not whole", result)
        async with await self._here.services() as services:
            verdict = await services.audit.verify()
            self._verdict.check(verdict.whole, "the chain is not whole", verdict.faults)
            await self._compare_keys(services)
            await self._compare_audit(services)
            await self._compare_usage(services)
        self._compare_budgets()

    async def _compare_keys(self, services: Services) -> None:
        found, now, after = dict[str, str](), datetime.now(UTC), ""
        while page := await services.keys.page(after=after, limit=1000):
            found |= {record.id: record.state(now).value for record in page}
            after = page[-1].id
        for id_, state in self._told.keys.items():
            seen = found.get(id_, "lost")
            self._verdict.check(seen == state, "a key is not what was committed", f"{id_}: {seen}, not {state}")

    async def _compare_audit(self, services: Services) -> None:
        requests, events = set[str](), Counter[tuple[str, str]]()
        async for entry in services.audit.all(Filter()):
            if entry.event == Event.REQUEST:
                requests.add(json.loads(entry.details)["request"])
            events[entry.event, entry.subject] += 1
        lost = self._told.requests - requests
        self._verdict.check(not lost, "requests without their rows", f"{len(lost)}: {list(lost)[:3]}")
        lost_events = self._told.events - events
        self._verdict.check(not lost_events, "changes without their rows", lost_events)

    async def _compare_usage(self, services: Services) -> None:
        rows = sum(row.figures.requests for row in await services.usage.by_model() if row.provider)
        asked = len(self._ledger.asked)
        short = asked - rows
        self._short.append(short - sum(self._short))
        self._verdict.check(short >= 0, "usage of requests that nobody made", f"{rows} rows of {asked}")
        seen = f"{short} of {asked} are missing, at most {self._may_be_missing} may be"
        self._verdict.check_time(short <= self._may_be_missing, "usage is missing", seen)

    def _compare_budgets(self) -> None:
        asked = Counter(lineage for lineage, _ in self._ledger.asked)
        windows = [Calendar("month"), *([Calendar("day")] if datetime.now(UTC).date() == self._day else [])]
        counters = Counters.shared(self._here.data / "counters")
        try:
            for lineage, count in asked.items():
                for window in windows:
                    counted = counters.value(f"{KEY_PREFIX}{lineage}/USD", window)
                    seen = f"{window}: {counted}, not {count * COST}, for {lineage}"
                    self._verdict.check(counted >= count * COST, "money is forgotten", seen)
        finally:
            counters.close()
