"""The journal of requests: none goes on unwritten where that is wanted, and none fills the memory."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from ai_gateway_mw.asgi import Message
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AuditUnavailable, DatabaseUnavailable
from ai_gateway_mw.telemetry import Journal, Note
from tests.asgi import http_scope

pytestmark = pytest.mark.anyio


def context() -> Context:
    async def receive() -> Message:
        raise AssertionError

    return Context(http_scope(), receive)


class Log:
    """What is written, unless it fails or is held up."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.failure: Exception | None = None
        self.held = asyncio.Event()
        self.held.set()

    async def write(self, notes: Sequence[Note]) -> None:
        await self.held.wait()
        if self.failure is not None:
            raise self.failure
        self.batches.append(len(notes))


async def test_requests_at_once_are_written_together() -> None:
    log = Log()
    journal = Journal("strict", log.write)
    await asyncio.gather(*(journal.note(context()) for _ in range(20)))
    assert sum(log.batches) == 20
    assert len(log.batches) <= 2
    await journal.aclose()


@pytest.mark.parametrize("failure", [DatabaseUnavailable("x"), RuntimeError("ours")])
async def test_what_cannot_be_written_does_not_go_on(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    log.failure = failure
    journal = Journal("strict", log.write)
    with pytest.raises(AuditUnavailable):
        await journal.note(context())
    assert journal.is_failing
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    log.failure = None
    await journal.note(context())
    assert not journal.is_failing
    assert caplog.messages[1:] == ["requests are written to the audit log again"]
    await journal.aclose()


@pytest.mark.parametrize("failure", [DatabaseUnavailable("x"), RuntimeError("ours")])
async def test_closing_says_what_is_lost(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    log.failure = failure
    journal = Journal("best-effort", log.write)
    for _ in range(3):
        await journal.note(context())
    await journal.aclose()
    assert "notes of 3 requests" in caplog.text


async def test_clients_that_leave_while_nothing_can_be_written_do_not_fill_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ai_gateway_mw.telemetry.journal._MOST_WAITING", 10)
    log = Log()
    log.held.clear()
    journal = Journal("strict", log.write)
    for _ in range(50):
        asking = asyncio.ensure_future(journal.note(context()))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
    assert len(journal._waiting) <= 10
    log.held.set()
    await journal.aclose()
