"""P17: a provider that hangs until its pool is exhausted takes nothing from others, and who queues for it is told."""

from __future__ import annotations

import asyncio
import resource
import time
from collections import Counter

from benchmarks.contract.client import Answer, Client, Connection, connect
from benchmarks.contract.dialects import OPENAI, nonce_of
from benchmarks.contract.gateway import Provider, running
from benchmarks.contract.load import steady, until
from benchmarks.contract.verdict import Effort, Verdict, percentile
from tests.fake_upstream import Received, Reply, Upstream, hang, ok

_PLACES = 2500  # of the pool of one origin
_QUEUED = 100
_POOL_TIMEOUT = 2.0
_SLACK = 1.0  # seconds; this machine does both sides
_RATE = 100
_FLOOR = 0.02  # seconds; below it, twice as long is no more than chance


class Hung:
    """A provider that never answers, and one that does."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def answer(self, received: Received) -> Reply:
        self.calls[nonce_of(received)] += 1
        return (hang() if received.model == "hung" else ok())(received)

    @property
    def held(self) -> int:
        return sum(count for nonce, count in self.calls.items() if nonce.startswith("held"))


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P17 bulkheads")
    _raise_file_limit()
    hung = Hung()
    seconds = effort.of(5, 2)
    async with Upstream() as upstream:
        upstream.on(hung.answer)
        providers = [Provider("hung", "hung", keys=1), Provider("fine", "fine", keys=1)]
        async with running(
            providers,
            upstream.port,
            settings={"CONNECT_TIMEOUT": f"{_POOL_TIMEOUT:g}"},
            per_request_timeout="120s",
            total_timeout="120s",
        ) as gateway:
            client = Client(gateway.port)
            before = await _others(client, seconds, verdict)
            held = await _exhaust(gateway.port, hung, verdict)
            effort.say(f"{len(held)} requests hang")
            queued = asyncio.create_task(_queue(gateway.port, seconds, verdict))
            during = await _others(client, seconds, verdict)
            await queued
            await _leaving(gateway.port, held, hung, verdict)
            client.close()
    verdict.counts |= {"others, p99 ms before": before * 1000, "others, p99 ms beside it": during * 1000}
    verdict.check_time(
        during <= max(2 * before, _FLOOR), "others are slowed down", f"p99 {before:.4f} s, then {during:.4f} s"
    )
    return verdict


async def _others(client: Client, seconds: float, verdict: Verdict) -> float:
    """What the 99th of a hundred requests to the other provider takes."""
    took: list[float] = []

    def taken(answer: Answer, each: float) -> None:
        took.append(each)
        verdict.count("requests to the other provider")
        verdict.check(answer.status == 200, "a request to the other provider failed", str(answer))

    async with steady(client, lambda number: OPENAI.request("fine", "Hi", stream=False), _RATE, taken):
        await asyncio.sleep(seconds)
    return percentile(took, 0.99)


async def _exhaust(port: int, hung: Hung, verdict: Verdict) -> list[Connection]:
    """Clients that hold every place of the pool."""
    held = []
    for number in range(_PLACES):
        connection = await connect(port)
        connection.send(OPENAI.request("hung", f"held-{number}", stream=False))
        held.append(connection)
        if number % 100 == 99:
            await asyncio.sleep(0.02)
    await until(lambda: hung.held == _PLACES, 20, every=0.05)
    verdict.check(hung.held == _PLACES, "the pool", f"{hung.held} of {_PLACES} requests reached the provider")
    return held


async def _queue(port: int, seconds: float, verdict: Verdict) -> None:
    """Those for whom there is no place are told so in time. They come one after the other: a hundred at once would slow
    down everybody by themselves."""

    async def one(number: int) -> None:
        await asyncio.sleep(seconds * number / _QUEUED)
        begun = time.monotonic()
        client = Client(port)
        answer = await client.ask(OPENAI.request("hung", f"queued-{number}", stream=number % 2 == 0))
        client.close()
        took = time.monotonic() - begun
        verdict.count("queued")
        verdict.check(answer.status in (503, 504), "who queues is not told 503 or 504", str(answer))
        verdict.check_time(took <= _POOL_TIMEOUT + _SLACK, "who queues is told late", f"after {took:.2f} s: {answer}")

    await asyncio.gather(*map(one, range(_QUEUED)))


async def _leaving(port: int, held: list[Connection], hung: Hung, verdict: Verdict) -> None:
    """P5 in the queue: who leaves it before there is a place is never asked for upstream."""
    waiting = [await connect(port) for _ in range(20)]
    for number, connection in enumerate(waiting):
        connection.send(OPENAI.request("hung", f"left-{number}", stream=False))
    await asyncio.sleep(0.2)
    for connection in waiting:
        connection.leave()
    await asyncio.sleep(0.2)
    for connection in held:
        connection.leave()
    answer = await Client(port).ask(OPENAI.request("fine", "after", stream=False))
    verdict.check(answer.status == 200, "a request to the other provider failed", str(answer))
    calls = [nonce for nonce in hung.calls if nonce.startswith(("left", "queued"))]
    verdict.check(not calls, "who left the queue was asked for upstream", f"{len(calls)}: {calls[:5]}")
    verdict.count("left the queue", len(waiting))


def _raise_file_limit() -> None:
    """Both ends of thousands of connections are here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
