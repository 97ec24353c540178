"""The recorder: everything that is noted is written once, whatever the sink does."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ai_gateway_mw.database import Installation
from ai_gateway_mw.usage import OTHER, Batch, UsageRecorder, Used
from ai_gateway_mw.usage.store import UsageStore
from tests.databases import installation_of

pytestmark = pytest.mark.anyio

AT = 1_769_860_800.0  # 2026-01-31T12:00:00Z
SOON = 0.001
PATIENCE = 20.0


class Sink:
    """Takes batches, or fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.batches: list[Batch] = []
        self.written = asyncio.Event()
        self.failed = asyncio.Event()

    async def add(self, batch: Batch) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            self.failed.set()
            raise ConnectionError("the database is away")
        self.batches.append(batch)
        self.written.set()

    @property
    def requests(self) -> Counter[str]:
        total = Counter[str]()
        for row in (row for batch in self.batches for row in batch.usage):
            total[row.key_id] += row.requests
        return total


def used(key_id: str = "key_1", at: float = AT, **more: object) -> Used:
    usual = {"provider": "openai", "model": "o1", "address": "10.0.0.1", "user_agent": "curl"}
    return Used(key_id, at=at, **usual | more)


async def written(*noted: Used) -> Batch:
    sink = Sink()
    recorder = UsageRecorder(sink)
    for each in noted:
        recorder.note(each)
    await recorder.flush()
    return sink.batches[0]


async def test_requests_are_added_up_before_they_are_written() -> None:
    tokens = {"input_tokens": 100, "output_tokens": 20, "cached_tokens": 30}
    batch = await written(used(**tokens, cost_nano=7), used(at=AT + 5, **tokens, cost_nano=None), used(error=True))

    (row,) = batch.usage
    assert (row.key_id, row.day, row.provider, row.model) == ("key_1", 20_484, "openai", "o1")
    assert (row.requests, row.errors, row.unpriced, row.cost_nano) == (3, 1, 1, 7)
    assert (row.input_tokens, row.output_tokens, row.cached_tokens) == (200, 40, 60)
    assert (row.first, row.last) == (AT, AT + 5)
    (caller,) = batch.callers
    assert (caller.address, caller.user_agent, caller.requests) == ("10.0.0.1", "curl", 3)
    assert (caller.first, caller.last) == (AT, AT + 5)


async def test_times_that_come_out_of_order_still_make_a_first_and_a_last() -> None:
    batch = await written(used(at=AT + 2), used(at=AT), used(at=AT + 1))
    assert (batch.usage[0].first, batch.usage[0].last) == (AT, AT + 2)
    assert (batch.callers[0].first, batch.callers[0].last) == (AT, AT + 2)


async def test_a_price_that_nobody_knows_matters_only_where_there_are_tokens() -> None:
    assert (await written(used(cost_nano=None))).usage[0].unpriced == 0


async def test_keys_days_models_and_callers_have_their_own_rows() -> None:
    batch = await written(
        used(), used("key_2"), used(at=AT + 86_400), used(model="o3"), used(provider="azure"), used(user_agent="x")
    )
    assert len(batch.usage) == 5
    assert len(batch.callers) == 3


async def test_requests_without_a_key_leave_no_trace() -> None:
    sink = Sink()
    recorder = UsageRecorder(sink)
    recorder.note(used(""))
    assert await recorder.flush()
    assert sink.batches == []


@pytest.mark.parametrize(
    ("noted", "kept"),
    [
        ("a\x00b\r\nc\x1b[1m\u202e", "abc[1m"),
        ("half \ud800 a character", "half  a character"),
        ("x" * 5_000, "x" * 200),
        ("Grüße/1.0 (日本)", "Grüße/1.0 (日本)"),
    ],
    ids=["control characters", "surrogates", "long", "letters"],
)
async def test_texts_of_clients_are_made_fit_to_be_stored(noted: str, kept: str) -> None:
    batch = await written(used(user_agent=noted, model=noted), used(user_agent=kept, model=kept))
    assert [row.model for row in batch.usage] == [kept]
    assert [(row.user_agent, row.requests) for row in batch.callers] == [(kept, 2)]


async def test_no_nonsense_of_a_provider_overflows_the_sums() -> None:
    huge = {"input_tokens": 2**53, "output_tokens": -5, "cached_tokens": 2**70, "cost_nano": 2**80}
    (row,) = (await written(*(used(**huge) for _ in range(1_000)))).usage
    assert 0 <= row.output_tokens < row.input_tokens < 2**63
    assert row.cached_tokens < 2**63
    assert row.cost_nano < 2**63


async def test_the_callers_of_a_key_are_told_apart_up_to_a_thousand() -> None:
    many = [used(address=f"10.0.{number // 256}.{number % 256}") for number in range(1_500)]
    batch = await written(*many, *many, used("key_2", address="192.0.2.1"))

    callers = {(row.key_id, row.address): row.requests for row in batch.callers}
    assert len(callers) == 1_002
    assert callers["key_1", OTHER] == 1_000
    assert callers["key_1", "10.0.0.0"] == 2
    assert callers["key_2", "192.0.2.1"] == 1


async def test_a_caller_that_is_known_stays_known_in_later_batches() -> None:
    sink = Sink()
    recorder = UsageRecorder(sink)
    for _ in range(2):
        for number in range(1_001):
            recorder.note(used(address=str(number)))
        await recorder.flush()
    first, second = ({row.address for row in batch.callers} for batch in sink.batches)
    assert first == second
    assert "999" in first
    assert "1000" not in first


async def test_the_models_that_clients_make_up_are_told_apart_up_to_a_thousand() -> None:
    batch = await written(*(used(model=f"made-up-{number}") for number in range(1_500)))
    assert len(batch.usage) == 1_001
    assert {row.model: row.requests for row in batch.usage}[OTHER] == 500


# Writing --------------------------------------------------------------------------------------------------------------


def test_sums_wait_for_at_most_a_second() -> None:
    assert inspect.signature(UsageRecorder).parameters["interval"].default == 1.0


async def test_what_is_noted_is_written_soon_without_being_asked() -> None:
    sink = Sink()
    recorder = UsageRecorder(sink, interval=SOON)
    await recorder.start()
    recorder.note(used())
    await asyncio.wait_for(sink.written.wait(), PATIENCE)
    assert sink.requests == {"key_1": 1}
    await recorder.aclose()


async def test_nothing_is_written_where_nothing_was_noted() -> None:
    sink = Sink()
    recorder = UsageRecorder(sink)
    await recorder.start()
    await recorder.aclose()
    assert sink.batches == []


async def test_closing_loses_nothing_and_does_not_wait_for_the_second_to_pass() -> None:
    sink = Sink()
    recorder = UsageRecorder(sink, interval=3_600)
    await recorder.start()
    await asyncio.sleep(0)
    recorder.note(used())
    await asyncio.wait_for(recorder.aclose(), PATIENCE)
    assert sink.requests == {"key_1": 1}


async def test_a_recorder_that_was_closed_may_be_started_again() -> None:
    sink = Sink()
    recorder = UsageRecorder(sink, interval=SOON)
    for _ in range(2):
        await recorder.start()
        recorder.note(used())
        await recorder.aclose()
    assert sink.requests == {"key_1": 2}


async def test_what_fails_is_kept_and_written_once(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(failures=3)
    recorder = UsageRecorder(sink)
    with caplog.at_level(logging.WARNING, "ai_gateway_mw.usage"):
        for number in range(5):
            recorder.note(used(at=AT + number))
            assert await recorder.flush() is (number > 2)

    assert sink.requests == {"key_1": 5}
    assert [row.requests for row in sink.batches[0].usage] == [4]
    assert (sink.batches[0].usage[0].first, sink.batches[0].callers[0].last) == (AT, AT + 3)
    assert [record.message for record in caplog.records] == [
        "usage cannot be stored, and is kept in memory: the database is away",
        "usage is stored again",
    ]


async def test_a_sink_that_fails_does_not_end_the_writing() -> None:
    sink = Sink(failures=2)
    recorder = UsageRecorder(sink, interval=SOON)
    await recorder.start()
    recorder.note(used())
    await asyncio.wait_for(sink.written.wait(), PATIENCE)
    await recorder.aclose()
    assert sink.requests == {"key_1": 1}


async def test_a_sum_that_was_interrupted_is_kept() -> None:
    sink = Sink()
    recorder = UsageRecorder(sink)
    recorder.note(used())
    writing = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    await recorder.aclose()
    assert sink.requests == {"key_1": 1}


async def test_what_cannot_be_stored_even_at_the_end_is_told(caplog: pytest.LogCaptureFixture) -> None:
    recorder = UsageRecorder(Sink(failures=9))
    recorder.note(used())
    recorder.note(used("key_2"))
    await recorder.aclose()
    assert caplog.records[-1].message == "the usage of 2 requests could not be stored and is lost"


async def test_sums_that_wait_for_long_stay_bounded_and_exact(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(failures=2)
    recorder = UsageRecorder(sink)
    recorder.note(used(address="often"))
    for key in range(110):
        for caller in range(950):
            recorder.note(used(f"key_{key}", address=str(caller)))
    recorder.note(used(address="often"))
    await recorder.flush()
    recorder.note(used(address="often"))
    await recorder.flush()
    await recorder.flush()

    (batch,) = sink.batches
    assert len(batch) <= 100_000
    assert sum(row.requests for row in batch.callers) == batch.requests == 110 * 950 + 3
    assert {row.address: row.requests for row in batch.callers if row.key_id == "key_1"}["often"] == 3
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING", "WARNING"]


async def test_the_sums_are_those_of_what_was_noted_while_it_is_written(database: Installation) -> None:
    store = UsageStore(database.database)
    recorder = UsageRecorder(store, interval=SOON)
    await recorder.start()

    async def client(number: int) -> None:
        for turn in range(50):
            recorder.note(used(f"key_{turn % 3}", input_tokens=number, cost_nano=1, address=str(number)))
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(client(number))
    await recorder.aclose()

    found = await store.summary()
    assert sum(each.figures.requests for each in found) == 1_000
    assert sum(each.figures.cost_nano for each in found) == 950  # of those with tokens
    assert sum(each.figures.input_tokens for each in found) == 50 * sum(range(20))
    assert len(await store.callers("key_0")) == 20


async def test_a_database_that_was_away_gets_everything(database: Installation) -> None:
    store = UsageStore(database.database)
    recorder = UsageRecorder(Flaky(store))
    for number in range(10):
        recorder.note(used(at=AT + number))
        await recorder.flush()
    await recorder.aclose()
    assert (await store.summary())[0].figures.requests == 10


class Flaky:
    """Every other batch finds the database away."""

    def __init__(self, store: UsageStore) -> None:
        self._store = store
        self._away = False

    async def add(self, batch: Batch) -> None:
        self._away = not self._away
        if self._away:
            raise ConnectionError("away")
        await self._store.add(batch)


CRASHING = """
import asyncio, os, signal, sys
from pathlib import Path
from ai_gateway_mw.database import database_of
from ai_gateway_mw.usage import UsageRecorder, Used
from ai_gateway_mw.usage.store import UsageStore

async def main():
    store = UsageStore(database_of(Path(sys.argv[1]), None))
    recorder = UsageRecorder(store, interval=0.01)
    await recorder.start()
    for _ in range(100):
        recorder.note(Used("key_1", "openai", "o1", 1.0))
    while not await store.summary():
        await asyncio.sleep(0.01)
    for _ in range(7):
        recorder.note(Used("key_1", "openai", "o1", 2.0))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_process_that_is_killed_loses_what_it_had_not_written_yet_and_nothing_else(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with installation_of("sqlite", tmp_path, request) as installation:
        done = subprocess.run([sys.executable, "-c", CRASHING, tmp_path], check=False)  # noqa: ASYNC221
        assert done.returncode == -signal.SIGKILL
        assert (await UsageStore(installation.database).summary())[0].figures.requests == 100
