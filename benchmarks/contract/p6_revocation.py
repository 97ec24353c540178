"""P6: a key that is revoked is dead in every worker within a second, and with it the streams that it has open; when the
database is gone, what was remembered of keys lasts half a minute and no longer."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from ai_gateway_mw.services import Services
from benchmarks.contract.client import Answer, Connection
from benchmarks.contract.dialects import OPENAI, nonce_of
from benchmarks.contract.keyed import ACTOR, REFUSED, Site, code_of, new_key, nonce_in, request, site
from benchmarks.contract.verdict import Effort, Verdict, percentile
from benchmarks.contract.workers import Pinned, processes_below
from tests.databases import postgresql_cluster
from tests.fake_upstream import Received, Reply, Upstream, ok

_REVOCATIONS, _IN_POSTGRESQL = 200, 60
_WORKERS = 4
_BOUND, _BOUND_OF_POSTGRESQL = 1.0, 2.0  # seconds
_PATIENCE = 15.0
_POLL = 0.01  # seconds between two requests of a poller
_HEARD = 0.1  # seconds until a worker hears of a change
_REMEMBERED = 30.0  # seconds for which a key that was in use goes on without the database
_SLACK = 1.5
_MENDED = 10.0
_POSTGRESQL = Path("/usr/lib/postgresql")

Outage = Callable[[], AsyncIterator[None]]


def _behave(received: Received) -> Reply:
    """Streams go on for long: some talk, some have fallen silent."""
    nonce = nonce_in(nonce_of(received))
    if nonce.startswith("talking"):
        return ok(chunks=200, gap=0.1)(received)
    return ok(chunks=20, stall_after=5)(received) if nonce.startswith("silent") else ok()(received)


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P6 revocation")
    async with Upstream() as upstream:
        upstream.on(_behave)
        async with site(upstream.port, workers=2 if effort.quick else _WORKERS) as here:
            revocations = effort.of(_REVOCATIONS, 3)
            await _shown(here, "SQLite", _BOUND, revocations, lambda: _moved_away(here), effort, verdict)
        if not effort.quick and _has_postgresql():
            with ExitStack() as stack:
                cluster = await asyncio.to_thread(stack.enter_context, postgresql_cluster())
                url, data = cluster.url("postgres"), cluster.folder / "data"
                async with site(upstream.port, workers=_WORKERS, database=url) as here:
                    revocations = effort.of(_IN_POSTGRESQL, 0)
                    bound = _BOUND_OF_POSTGRESQL
                    await _shown(here, "PostgreSQL", bound, revocations, lambda: _halted(data), effort, verdict)
    return verdict


async def _shown(
    here: Site, kind: str, bound: float, revocations: int, outage: Outage, effort: Effort, verdict: Verdict
) -> None:
    async with await here.services() as services, here.running() as gateway:
        workers = Workers(Pinned(gateway.port, gateway.process.pid, here.workers), services, kind, verdict)
        for number in range(revocations):
            await workers.revocation(number, bound)
            if number % 50 == 49:
                effort.say(f"{kind}: {number + 1} revocations, {len(verdict.broken)} cases broken")
        workers.tell()
        await workers.without_database(asynccontextmanager(outage), quick=effort.quick)
        effort.say(f"{kind}: an outage, {len(verdict.broken)} cases broken")
        workers.pinned.close()


class Workers:
    """All workers of one gateway, each asked over connections that it holds."""

    def __init__(self, pinned: Pinned, services: Services, kind: str, verdict: Verdict) -> None:
        self.pinned = pinned
        self._services = services
        self._kind = kind
        self._verdict = verdict
        self._dead_after: list[float] = []
        self._streams_after: list[float] = []

    def tell(self) -> None:
        counts = self._verdict.counts
        for what, times in (("refused", self._dead_after), ("streams ended", self._streams_after)):
            counts[f"{self._kind}: {what}, p50 ms"] = percentile(times, 0.5) * 1000
            counts[f"{self._kind}: {what}, worst ms"] = max(times, default=0.0) * 1000

    async def revocation(self, number: int, bound: float) -> None:
        """Every worker knows the key and has a stream open with it; then it is revoked, while all are asked on."""
        made = await new_key(self._services, f"revoked-{number}")
        asked, streaming = await self.pinned.of_each(), await self.pinned.of_each()
        for worker, connection in asked.items():
            connection.send(request(made.text, "before"))
            answer = await connection.ended()
            self._verdict.check(answer.status == 200, f"{self._kind}: a key that is good", f"{worker}: {answer}")
        for at, connection in enumerate(streaming.values()):
            nonce = ("talking", "silent")[(number + at) % 2]
            connection.send(request(made.text, nonce, stream=True, most=1000))
        for connection in streaming.values():
            await connection.until(lambda answer: len(answer.body) > 0)
        polling = [asyncio.create_task(_refused(connection, made.text)) for connection in asked.values()]
        ending = [asyncio.create_task(_ended(connection)) for connection in streaming.values()]
        await asyncio.sleep(2 * _POLL)
        await self._services.keys.revoke(made.record.id, ACTOR)
        committed = time.monotonic()
        for refused_at, answer in await asyncio.gather(*polling):
            self._judge(
                refused_at - committed, bound, answer.status in REFUSED, "a revoked key", answer, self._dead_after
            )
        for ended_at, answer in await asyncio.gather(*ending):
            told = answer.whole and OPENAI.ended_with_error(answer.body) and not OPENAI.ended_well(answer.body)
            self._judge(ended_at - committed, bound, told, "a stream of a revoked key", answer, self._streams_after)
        for connection in asked.values():
            connection.send(request(made.text, "after"))
            answer = await connection.ended()
            self._verdict.check(answer.status in REFUSED, f"{self._kind}: a dead key works again", str(answer))
        for connections in (asked, streaming):
            for worker, connection in connections.items():
                self.pinned.give_back(worker, connection)
        self._verdict.count(f"{self._kind}: revocations")
        self._verdict.count("refusals, and streams that ended", 2 * len(asked))

    def _judge(self, took: float, bound: float, told: bool, what: str, answer: Answer, times: list[float]) -> None:
        times.append(took)
        self._verdict.check(told, f"{self._kind}: {what}", f"{took:.3f} s: {answer}")
        self._verdict.check_time(took <= bound, f"{self._kind}: {what}, late", f"{took:.3f} s: {answer}")

    async def without_database(self, outage: Callable[[], AbstractAsyncContextManager[None]], *, quick: bool) -> None:
        """A key in use goes on for a while, and is then refused with 503, in every worker; one that no worker knows is
        refused at once. Afterwards all is as before. A quick run does not wait until what is remembered is too old."""
        known = await new_key(self._services, "known")
        unknown = await new_key(self._services, "unknown")
        await asyncio.sleep(5 * _HEARD)  # who hears of a key that it knows already forgets it, and looks it up anew
        asked = await self.pinned.of_each()
        for connection in asked.values():
            connection.send(request(known.text, "before"))
            await connection.ended()
        async with outage():
            begun = time.monotonic()
            await asyncio.gather(
                *(self._outage(each, known.text, unknown.text, begun, quick) for each in asked.values())
            )
        for connection in asked.values():
            mended = await _until(connection, known.text, (200,), _MENDED)
            self._verdict.check(mended.status == 200, f"{self._kind}: not mended", str(mended))
        for worker, connection in asked.items():
            self.pinned.give_back(worker, connection)

    async def _outage(self, connection: Connection, known: str, unknown: str, begun: float, quick: bool) -> None:
        verdict, kind = self._verdict, f"{self._kind}, outage"
        connection.send(request(unknown, "unknown"))
        answer = await connection.ended()
        self._is_503(answer, f"{kind}: a key that was not in use")
        connection.send(request(known, "known"))
        answer = await connection.ended()
        verdict.check(answer.status == 200, f"{kind}: a key in use does not go on", str(answer))
        if quick:
            return
        answer = await _until(connection, known, (503,), _REMEMBERED + 10)
        lasted = time.monotonic() - begun
        self._is_503(answer, f"{kind}: a key in use, in the end")
        verdict.counts[f"{kind}: a key in use lasts, worst s"] = max(
            lasted, verdict.counts.get(f"{kind}: a key in use lasts, worst s", 0)
        )
        verdict.check_time(lasted <= _REMEMBERED + _SLACK, f"{kind}: a key in use lasts too long", f"{lasted:.1f} s")
        for _ in range(8):
            connection.send(request(known, "known"))
            self._is_503(await connection.ended(), f"{kind}: a key in use, after its time")
            await asyncio.sleep(0.25)

    def _is_503(self, answer: Answer, case: str) -> None:
        told = answer.status == 503 and code_of(answer) == "key_store_unavailable" and "retry-after" in answer.fields
        self._verdict.check(told, case, str(answer))


async def _refused(connection: Connection, key: str) -> tuple[float, Answer]:
    """When the key was first refused over this connection."""
    answer = await _until(connection, key, REFUSED, _PATIENCE)
    return time.monotonic(), answer


async def _ended(connection: Connection) -> tuple[float, Answer]:
    answer = await connection.ended(_PATIENCE)
    return time.monotonic(), answer


async def _until(connection: Connection, key: str, statuses: tuple[int, ...], patience: float) -> Answer:
    """Ask on until such an answer comes, or patience ends; the last answer."""
    ends = time.monotonic() + patience
    while True:
        connection.send(request(key, "polled"))
        answer = await connection.ended()
        if answer.status in statuses or time.monotonic() > ends or not connection.open:
            return answer
        await asyncio.sleep(_POLL)


async def _moved_away(here: Site) -> AsyncIterator[None]:
    """The file of the database, and what SQLite keeps beside it, are elsewhere for a while."""
    away = here.data / "away"
    away.mkdir()
    names = [file.name for file in here.data.glob("gateway.db*")]
    for name in names:
        (here.data / name).rename(away / name)
    yield
    for name in names:
        (away / name).rename(here.data / name)


async def _halted(data: Path) -> AsyncIterator[None]:
    """PostgreSQL neither answers nor closes a connection, as behind a network that is gone."""
    main = int((data / "postmaster.pid").read_text().split()[0])
    halted = processes_below(main)
    for pid in halted:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in halted:
            os.kill(pid, signal.SIGCONT)


def _has_postgresql() -> bool:
    installed = any(_POSTGRESQL.glob("*/bin/initdb")) or shutil.which("initdb") is not None
    return installed and find_spec("asyncpg") is not None
