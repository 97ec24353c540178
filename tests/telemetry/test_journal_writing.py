"""The journal: who waits for a note is told what became of it, whatever goes wrong with the writing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AuditUnavailable
from ai_gateway_mw.telemetry import Journal, Note
from tests.asgi import http_scope

pytestmark = pytest.mark.anyio


class Writing:
    """Where notes go; each writing waits until it is let go, and then fails as it was told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.failure: Exception | None = None
        self.written: list[Note] = []

    async def __call__(self, notes: Sequence[Note]) -> None:
        self.begun.set()
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        self.written += notes


def context() -> Context:
    async def receive() -> dict[str, object]:
        raise AssertionError("nothing is read")

    return Context(http_scope(), receive, route=None)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_whoever_comes_while_a_writing_fails_unexpectedly_is_not_forgotten() -> None:
    writing = Writing()
    writing.failure = RuntimeError("nobody has thought of this")
    journal = Journal("strict", writing)
    first = asyncio.create_task(journal.note(context()))
    await writing.begun.wait()
    second = asyncio.create_task(journal.note(context()))
    await asyncio.sleep(0)
    writing.go.set()
    async with asyncio.timeout(5):
        results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result) for result in results] == [AuditUnavailable, AuditUnavailable]
    assert journal.is_failing
    await journal.aclose()


async def test_notes_of_requests_that_went_on_outlast_an_unexpected_failure() -> None:
    writing = Writing()
    writing.failure = RuntimeError("nobody has thought of this")
    journal = Journal("best-effort", writing)
    await journal.note(context())
    await writing.begun.wait()
    await journal.note(context())
    writing.go.set()
    await asyncio.sleep(0)
    writing.failure = None
    await journal.aclose()
    assert len(writing.written) == 2
