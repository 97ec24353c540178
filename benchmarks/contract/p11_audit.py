"""P11: no request reaches a provider before the audit log has it; none does where it cannot be written; and whatever is
done to the log is found."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

from ai_gateway_mw.audit import Event, Filter, Head
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from benchmarks.contract.client import Answer, Client
from benchmarks.contract.dialects import nonce_of
from benchmarks.contract.gateway import Running
from benchmarks.contract.keyed import Site, code_of, new_key, nonce_in, request, site
from benchmarks.contract.verdict import Effort, Verdict
from benchmarks.contract.workers import processes_below
from tests.fake_upstream import Received, Reply, Upstream, ok
from tests.servers import clean_environment

_REQUESTS = 3000
_AT_ONCE = 32
_REFUSED = 64  # requests while nothing can be written
_PLACES = 6  # of each kind of forgery
_MENDED = 20.0  # seconds until requests pass again
_COLUMNS = ("at", "event", "actor", "address", "subject", "details", "mac")


class Ledger:
    """The provider: it looks, the moment it is asked, how far the audit log has been committed."""

    def __init__(self, database: Path) -> None:
        self.heads: dict[str, int] = {}
        self._database = sqlite3.connect(f"file:{database}?mode=ro", uri=True, isolation_level=None)

    def answer(self, received: Received) -> Reply:
        head = self._database.execute("SELECT max(seq) FROM audit").fetchone()[0]
        self.heads[nonce_in(nonce_of(received))] = head or 0
        return ok()(received)

    def close(self) -> None:
        self._database.close()


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P11 audit")
    async with Upstream() as upstream:
        workers = 1 if effort.quick else 4
        async with site(upstream.port, workers=workers, settings={"AUDIT_REQUESTS": "strict"}) as here:
            async with await here.services() as services, here.running() as gateway:
                ledger = Ledger(here.database)
                upstream.on(ledger.answer)
                with closing(ledger):
                    at_work = AtWork(here, gateway, services, ledger, verdict)
                    await at_work.begin()
                    await at_work.precedes(effort.of(_REQUESTS, 60))
                    effort.say(f"{len(ledger.heads)} requests")
                    for name, broken in at_work.breakages(quick=effort.quick):
                        await at_work.refuses(name, broken)
                        effort.say(f"{name}: {len(verdict.broken)} cases broken")
                    at_work.close()
            await _forgeries(here, effort, verdict)
    return verdict


class AtWork:
    """A gateway that writes every request to its audit log, and clients of it."""

    def __init__(self, here: Site, gateway: Running, services: Services, ledger: Ledger, verdict: Verdict) -> None:
        self._here = here
        self._gateway = gateway
        self._services = services
        self._ledger = ledger
        self._verdict = verdict
        self._client = Client(gateway.port)
        self._key = ""

    async def begin(self) -> None:
        self._key = (await new_key(self._services, "audited")).text

    def close(self) -> None:
        self._client.close()

    async def precedes(self, count: int, name: str = "ordinary") -> None:
        """Each request that the provider saw has a row, committed before it came, and no request has two."""
        ids: dict[str, str] = {}
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            nonce = f"{name}-{number}"
            async with turns:
                answer = await self._ask(nonce, stream=number % 2 == 0)
            self._verdict.check(answer.status == 200 and answer.whole, "a request failed", str(answer))
            ids[nonce] = answer.fields.get("x-request-id", "")

        await asyncio.gather(*map(one, range(count)))
        rows = await self._rows()
        for nonce, id_ in ids.items():
            found = rows.get(id_, [])
            self._verdict.check(len(found) == 1, "not one row for a request", f"{nonce}: {found}")
            late = [seq for seq in found if seq > self._ledger.heads.get(nonce, -1)]
            self._verdict.check(not late, "a row that comes after the call", f"{nonce}: {late}")
            self._verdict.count("requests with their rows")

    def breakages(self, *, quick: bool) -> Iterator[tuple[str, Callable[[], AsyncIterator[None]]]]:
        """What keeps the log from being written. Locks cost the time that a writer waits for another."""
        yield "rows cannot be inserted", self._trigger
        yield "the disk is full", self._full_disk
        if not quick:
            yield "the head is gone", self._headless
            yield "another writer holds the database", self._locked

    async def refuses(self, name: str, broken: Callable[[], AsyncIterator[None]]) -> None:
        """Nothing reaches the provider, every client is told 503; and it all works again afterwards."""
        async with asynccontextmanager(broken)():
            before = len(self._ledger.heads)
            answers = await asyncio.gather(*(self._ask(f"{name[:14]}-{n}", stream=n % 2 == 0) for n in range(_REFUSED)))
            passed = len(self._ledger.heads) - before
            self._verdict.check(passed == 0, f"{name}: calls without a row", passed)
            for answer in answers:
                told = answer.status == 503 and code_of(answer) == "audit_unavailable"
                self._verdict.check(told and "retry-after" in answer.fields, f"{name}: not 503", str(answer))
                self._verdict.count("requests that could not be written")
        await self._mended(name)
        await self.precedes(_AT_ONCE, f"after {name[:8]}")

    async def _mended(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        begun, in_a_row = loop.time(), 0
        while in_a_row < 2 * self._here.workers and loop.time() < begun + _MENDED:
            answer = await self._ask(f"mended-{loop.time():.4f}")
            in_a_row = in_a_row + 1 if answer.status == 200 else 0
        self._verdict.check(in_a_row > 0, f"{name}: nothing passes afterwards", "")

    async def _ask(self, nonce: str, *, stream: bool = False) -> Answer:
        return await self._client.ask(request(self._key, nonce, stream=stream))

    async def _rows(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        async for entry in self._services.audit.all(Filter(frozenset([Event.REQUEST]))):
            rows.setdefault(json.loads(entry.details)["request"], []).append(entry.seq)
        return rows

    async def _trigger(self) -> AsyncIterator[None]:
        await self._do("CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no'); END")
        yield
        await self._do("DROP TRIGGER no_audit")

    async def _headless(self) -> AsyncIterator[None]:
        await self._do("UPDATE audit_head SET id = 2")
        yield
        await self._do("UPDATE audit_head SET id = 1")

    async def _locked(self) -> AsyncIterator[None]:
        with closing(sqlite3.connect(self._here.database, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")

    async def _full_disk(self) -> AsyncIterator[None]:
        """Not so much as a page may be written to a file."""
        pids = processes_below(self._gateway.process.pid)
        limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
        for pid, (_, hard) in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, hard))
        yield
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)

    async def _do(self, statement: str) -> None:
        with closing(sqlite3.connect(self._here.database, timeout=10)) as connection, connection:
            connection.execute(statement)


Forge = Callable[[sqlite3.Connection, int, int], None]
"""Does something to a log, at this row of so many."""


def _edit(column: str) -> Forge:
    def forge(log: sqlite3.Connection, seq: int, _: int) -> None:
        value = {"at": "at + 1", "mac": "randomblob(32)"}.get(column, f"{column} || 'x'")
        log.execute(f"UPDATE audit SET {column} = {value} WHERE seq = ?", (seq,))

    return forge


def _delete(log: sqlite3.Connection, seq: int, _: int) -> None:
    log.execute("DELETE FROM audit WHERE seq = ?", (seq,))


def _delete_and_close_up(log: sqlite3.Connection, seq: int, last: int) -> None:
    _delete(log, seq, last)
    log.execute("UPDATE audit SET seq = -seq WHERE seq > ?", (seq,))
    log.execute("UPDATE audit SET seq = -seq - 1 WHERE seq < 0")
    log.execute("UPDATE audit_head SET seq = seq - 1")


def _insert(log: sqlite3.Connection, seq: int, _: int) -> None:
    log.execute("UPDATE audit SET seq = -seq WHERE seq > ?", (seq,))
    log.execute("UPDATE audit SET seq = 1 - seq WHERE seq < 0")
    columns = ", ".join(_COLUMNS)
    log.execute(f"INSERT INTO audit (seq, {columns}) SELECT seq + 1, {columns} FROM audit WHERE seq = ?", (seq,))
    log.execute("UPDATE audit_head SET seq = seq + 1")


def _append(log: sqlite3.Connection, seq: int, last: int) -> None:
    columns = ", ".join(_COLUMNS)
    log.execute(f"INSERT INTO audit (seq, {columns}) SELECT ?, {columns} FROM audit WHERE seq = ?", (last + 1, seq))
    log.execute("UPDATE audit_head SET seq = ?, mac = (SELECT mac FROM audit WHERE seq = ?)", (last + 1, seq))


def _swap(log: sqlite3.Connection, seq: int, last: int) -> None:
    other = seq + 1 if seq < last else seq - 1
    log.execute("UPDATE audit SET seq = -1 WHERE seq = ?", (seq,))
    log.execute("UPDATE audit SET seq = ? WHERE seq = ?", (seq, other))
    log.execute("UPDATE audit SET seq = ? WHERE seq = -1", (other,))


def _truncate(log: sqlite3.Connection, seq: int, _: int) -> None:
    log.execute("DELETE FROM audit WHERE seq >= ?", (seq,))


def _truncate_with_head(log: sqlite3.Connection, seq: int, last: int) -> None:
    """All that the database itself could tell of it is taken away: only a head from before does."""
    _truncate(log, seq, last)
    mac = "coalesce((SELECT mac FROM audit WHERE seq = ?), x'')"
    log.execute(f"UPDATE audit_head SET seq = ?, mac = {mac}", (seq - 1, seq - 1))


FORGERIES: dict[str, Forge] = {
    **{f"edited: {column}": _edit(column) for column in _COLUMNS},
    "deleted": _delete,
    "deleted, and closed up": _delete_and_close_up,
    "inserted": _insert,
    "appended": _append,
    "reordered": _swap,
    "truncated": _truncate,
    "truncated with its head": _truncate_with_head,
}


async def _forgeries(here: Site, effort: Effort, verdict: Verdict) -> None:
    """Every kind, at several places of a copy each: the first and the last row among them."""
    async with await here.services() as services:
        whole = await services.audit.verify()
    verdict.check(whole.whole, "the log is not whole", whole.faults)
    last = whole.head.seq
    verdict.count("rows of the log", last)
    places = effort.of(_PLACES, 2)
    for number, (name, forge) in enumerate(FORGERIES.items()):
        middle = {1 + (last - 1) * part // places for part in range(1, places)}
        for at in middle if effort.quick else middle | {1, last}:
            with _copy(here, forge, at, last) as data:
                async with await Services.open(Settings(data_dir=data)) as services:
                    found = await services.audit.verify(whole.head)
                verdict.check(not found.whole, f"{name}: not found", f"row {at} of {last}")
                verdict.count("forgeries")
        if not effort.quick or number == 0:
            with _copy(here, forge, 2 + last // 2, last) as data:
                code, said = await _verified(data, whole.head)
                verdict.check(code == 1, f"{name}: `audit verify` does not tell", f"{code}: {said}")
                verdict.count("of `audit verify`")
    code, said = await _verified(here.data, whole.head)
    verdict.check(code == 0, "`audit verify` of a log that is whole", f"{code}: {said}")


@contextmanager
def _copy(here: Site, forge: Forge, seq: int, last: int) -> Iterator[Path]:
    """The data directory again, with a log that was forged."""
    data = here.data.with_name("forged")
    data.mkdir(mode=0o700)
    try:
        shutil.copy(here.data / "master.key", data)
        with closing(sqlite3.connect(data / "gateway.db")) as log, closing(sqlite3.connect(here.database)) as log_of:
            log_of.backup(log)
            with log:
                forge(log, seq, last)
        yield data
    finally:
        shutil.rmtree(data)


async def _verified(data: Path, head: Head) -> tuple[int | None, str]:
    """What `ai-gateway audit verify` says, and its exit code."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ai_gateway_mw", "audit", "verify", "--head", str(head)),
        env=clean_environment() | {"AI_GATEWAY_DATA_DIR": str(data)},
        cwd=data.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()[-300:]
