"""P15: streams, faults and clients that leave, for minutes: nothing piles up, and afterwards all is as before."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.contract.client import Client, connect
from benchmarks.contract.dialects import BOTH, nonce_of
from benchmarks.contract.gateway import Provider, Running, running
from benchmarks.contract.load import at_rate, until
from benchmarks.contract.p1_failover import TIMEOUT, Lane, Ledger, doors, lanes, problems
from benchmarks.contract.verdict import Effort, Verdict
from tests.fake_upstream import Received, Reply, Upstream, ok

_SECONDS = 720
_STREAMS = 200
_RATE = 50
_LEAVES = 7  # every seventh client of a stream leaves it midway
_GAP = 0.25  # seconds between two events of a stream
_EVENTS = 40
_SAMPLED = 2.0  # seconds
_WARM = 500.0  # seconds: what is measured of a key is kept for five minutes, and not every key is used at once
_GROWTH, _GROWTH_KIB = 1.05, 20 * 1024
_SLACK = 5  # descriptors and tasks
_REST = 70.0  # seconds until idle connections to providers have been closed


class Size(NamedTuple):
    """What a process holds. Memory is what only it has, in RAM or swapped out."""

    memory_kib: int
    files: int

    @classmethod
    def of(cls, pid: int) -> Size:
        process = Path("/proc") / str(pid)
        lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        memory = sum(int(lines[name].split()[0]) for name in ("RssAnon", "VmSwap"))
        return cls(memory, len(list((process / "fd").iterdir())))


class Soak:
    """The providers: one streams for long, the others have the faults of P1."""

    def __init__(self) -> None:
        self.ledger = Ledger()

    def answer(self, received: Received) -> Reply:
        if nonce_of(received).startswith("long/"):
            return ok(chunks=_EVENTS, gap=_GAP)(received)
        return self.ledger.answer(received)


async def campaign(effort: Effort) -> Verdict:
    """A quick run does not wait until idle connections to providers have had their time."""
    verdict = effort.verdict("P15 soak")
    soak, chosen, seconds = Soak(), lanes(Effort(quick=True)), effort.of(_SECONDS, 6)
    with doors() as closed:
        async with Upstream() as upstream:
            upstream.on(soak.answer)
            providers = [Provider("long", "long"), *(one for lane in chosen for one in lane.providers(closed))]
            async with running(
                providers,
                upstream.port,
                settings={"CONNECT_TIMEOUT": "2"},
                module="benchmarks.contract.counting",
                per_request_timeout=f"{TIMEOUT:g}s",
                total_timeout="20s",
            ) as gateway:
                before, tasks = Size.of(gateway.process.pid), await _tasks(gateway, 1)
                sizes = await _loaded(gateway, soak.ledger, chosen, seconds, effort, verdict)
                _judge_growth(sizes, verdict)
                await _judge_rest(gateway, before, tasks, effort, verdict)
    return verdict


async def _loaded(
    gateway: Running, ledger: Ledger, chosen: Sequence[Lane], seconds: int, effort: Effort, verdict: Verdict
) -> list[Size]:
    """The sizes of the gateway during the load."""
    client, sizes, ends = Client(gateway.port), list[Size](), time.monotonic() + seconds

    async def fault(number: int) -> None:
        lane = chosen[number % len(chosen)]
        nonce = f"{lane.fault.name}/{lane.number}/{number}"
        answer = await client.ask(lane.dialect.request(lane.model, nonce, stream=lane.stream))
        for problem in problems(lane, answer, ledger.calls.pop(nonce, []), first=False):
            verdict.broke(lane.name, problem)
        verdict.count("requests with faults")

    streams = [asyncio.create_task(_streams(gateway.port, number, ends, verdict)) for number in range(_STREAMS)]
    async with at_rate(_RATE, fault):
        while time.monotonic() < ends:
            await asyncio.sleep(_SAMPLED)
            sizes.append(Size.of(gateway.process.pid))
            if len(sizes) % 15 == 0:
                effort.say(f"{sizes[-1].memory_kib:,} KiB, {sizes[-1].files} files")
    await asyncio.gather(*streams)
    client.close()
    return sizes


async def _streams(port: int, number: int, ends: float, verdict: Verdict) -> None:
    """One stream after the other, some of which their clients leave."""
    turn = 0
    while time.monotonic() < ends:
        dialect, leaves = BOTH[number % 2], (number + turn) % _LEAVES == 0
        connection = await connect(port)
        connection.send(dialect.request("long", f"long/{number}/{turn}", stream=True))
        if leaves:
            await connection.until(lambda answer: len(answer.body) > 0)
            await asyncio.sleep(_GAP * (1 + number % 8))
            verdict.count("streams left")
        else:
            answer = await connection.ended()
            verdict.check(answer.whole and dialect.ended_well(answer.body), "a stream", str(answer))
            verdict.count("streams")
        connection.leave()
        turn += 1


def _judge_growth(sizes: Sequence[Size], verdict: Verdict) -> None:
    """The last quarter beside the first one after the warm-up."""
    warm = [size.memory_kib for size in sizes[int(_WARM / _SAMPLED) :]] or [sizes[-1].memory_kib]
    part = max(1, len(warm) // 4)
    first, last = statistics.median(warm[:part]), statistics.median(warm[-part:])
    verdict.counts |= {"MiB at first": first / 1024, "MiB at last": last / 1024}
    grown = f"from {first:,.0f} to {last:,.0f} KiB"
    verdict.check_time(last <= first * _GROWTH and last - first <= _GROWTH_KIB, "memory grows", grown)


async def _judge_rest(gateway: Running, before: Size, tasks: int, effort: Effort, verdict: Verdict) -> None:
    """Tasks are what they were, and files, once the idle connections to providers have had their time."""
    pid, most = gateway.process.pid, before.files + _SLACK
    tasks_after = await _tasks(gateway, 2)
    verdict.counts |= {"tasks before": tasks, "tasks after": tasks_after}
    verdict.check(tasks_after <= tasks + _SLACK, "tasks stay", f"{tasks}, then {tasks_after}")
    if effort.quick:
        return
    effort.say("waiting for rest")
    await until(lambda: Size.of(pid).files <= most, _REST, every=0.5)
    after = Size.of(pid)
    verdict.counts |= {"files before": before.files, "files after": after.files, "MiB after": after.memory_kib / 1024}
    verdict.check(after.files <= most, "files stay open", f"{before.files}, then {after.files}")


async def _tasks(gateway: Running, times: int) -> int:
    """How many tasks the gateway has, asked for so many times by now."""
    os.kill(gateway.process.pid, signal.SIGUSR1)
    await until(lambda: gateway.process.output.count("tasks: ") >= times, 5)
    return int(gateway.process.output.rpartition("tasks: ")[2].split()[0])
