"""P18: on SIGTERM the gateway takes nothing new, lets streams end, tells the rest that they were cut, and exits 0."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.contract.client import Answer, Client, Connection, connect, get
from benchmarks.contract.dialects import BOTH, Dialect, nonce_of
from benchmarks.contract.gateway import Provider, Running, running
from benchmarks.contract.verdict import Effort, Verdict
from tests.fake_upstream import Received, Reply, Upstream, ok

_STREAMS = 100
_DRAIN = 40.0  # seconds; longer than the gateway gives open streams
_UNREADY = 0.5  # seconds to fail the readiness check
_ENDING = 2.0  # seconds that a stream takes which ends by itself


class Open(NamedTuple):
    """A stream that is under way; `endless` ones do not end by themselves."""

    connection: Connection
    dialect: Dialect
    endless: bool


def _behave(received: Received) -> Reply:
    if nonce_of(received).startswith("endless"):
        return ok(chunks=10_000, gap=0.25)(received)
    return ok(chunks=20, gap=_ENDING / 20)(received)


async def campaign(effort: Effort) -> Verdict:
    """A quick run has no endless streams: those are open for as long as the gateway waits."""
    verdict = effort.verdict("P18 graceful shutdown")
    async with Upstream() as upstream:
        upstream.on(_behave)
        async with running([Provider("only", "model")], upstream.port, per_request_timeout="60s") as gateway:
            streams = [
                await _opened(gateway.port, number, endless=not effort.quick and number % 2 == 0)
                for number in range(_STREAMS)
            ]
            for stream in streams:
                await stream.connection.until(lambda answer: len(answer.body) > 0)
            effort.say(f"{len(streams)} streams are open")
            os.kill(gateway.process.pid, signal.SIGTERM)
            told = time.monotonic()
            await _readiness(gateway.port, told, verdict)
            await asyncio.gather(*(stream.connection.ended(_DRAIN) for stream in streams))
            verdict.counts["seconds to the last stream's end"] = time.monotonic() - told
            _judge(streams, verdict)
            await _exit_code(gateway, verdict)
    return verdict


async def _opened(port: int, number: int, *, endless: bool) -> Open:
    dialect = BOTH[number % 4 // 2]
    connection = await connect(port)
    connection.send(dialect.request("model", f"{'endless' if endless else 'ending'}-{number}", stream=True))
    return Open(connection, dialect, endless)


async def _readiness(port: int, told: float, verdict: Verdict) -> None:
    """A refused connection is a failed check, too."""
    while time.monotonic() < told + 5:
        client = Client(port)
        try:
            answer = await client.ask(get("/readyz"), patience=1)
        except OSError:
            break
        if answer.status != 200:
            break
        client.close()
        await asyncio.sleep(0.02)
    took = time.monotonic() - told
    verdict.counts["seconds to unready"] = took
    verdict.check_time(took <= _UNREADY, "ready after SIGTERM", f"for {took:.2f} s")


def _judge(streams: Sequence[Open], verdict: Verdict) -> None:
    for stream in streams:
        answer = stream.connection.answer
        case = f"{'endless' if stream.endless else 'ending'}, {stream.dialect.name}"
        verdict.count(case)
        well, error = stream.dialect.ended_well(answer.body), stream.dialect.ended_with_error(answer.body)
        verdict.check(answer.ended, f"{case}: no end", str(answer))
        if not stream.endless:
            verdict.check(answer.whole and well, f"{case}: had no time to end", str(answer))
        else:
            verdict.check(not well, f"{case}: a terminator after an interruption", str(answer))
            verdict.check(answer.whole and error, f"{case}: no error event", _end(answer))


def _end(answer: Answer) -> str:
    return f"{len(answer.body)} bytes, {answer}"


async def _exit_code(gateway: Running, verdict: Verdict) -> None:
    try:
        code = await asyncio.to_thread(gateway.process.stop)
    except AssertionError as problem:
        verdict.broke("it does not exit", str(problem)[:500])
        return
    verdict.counts["exit code"] = code
    verdict.check(code == 0, "exit code", f"{code}: {gateway.process.output[-500:]}")
