"""Coroutines that wait for the same thing."""

from __future__ import annotations

import asyncio

import pytest

from ai_gateway_mw.cli.protocol.waiters import Waiters, joining, wake

pytestmark = pytest.mark.anyio


async def test_all_that_wait_go_on() -> None:
    waiters: Waiters = []
    futures = [joining(waiters, asyncio.get_running_loop()) for _ in range(3)]
    futures[1].cancel()
    wake(waiters)
    assert [future.done() and not future.cancelled() for future in futures] == [True, False, True]
    assert not waiters


async def test_one_that_waits_for_a_moment_again_and_again_holds_no_more() -> None:
    waiters: Waiters = []
    for _ in range(100):
        joining(waiters, asyncio.get_running_loop()).cancel()
    assert len(waiters) == 1
