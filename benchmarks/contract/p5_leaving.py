"""P5: when a client leaves, at whatever point, the upstream call ends with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from benchmarks.contract.client import connect
from benchmarks.contract.dialects import BOTH, Dialect, nonce_of
from benchmarks.contract.gateway import Provider, running
from benchmarks.contract.verdict import Effort, Verdict, percentile
from tests.fake_upstream import Received, Reply, Upstream, hang, ok

_TRIALS = 200  # of each phase, streaming or not
_AT_ONCE = 16
_P99, _WORST = 0.25, 1.0
_LONG = "word " * 60_000  # beyond what is held back before an answer begins


def _hangs(received: Received) -> Reply:
    return hang()(received)


def _begins(received: Received) -> Reply:
    return ok(stall_after=0)(received)


def _stops_midway(received: Received) -> Reply:
    reply = ok("some words, and more of them to come" if received.wants_stream else _LONG)(received)
    half = len(reply.body) * 2 // 3
    pieces = reply.pieces if received.wants_stream else (reply.body[:half], reply.body[half:])
    return replace(reply, pieces=pieces, stall_after=6 if received.wants_stream else 1)


# What the provider does until the client leaves; None where the client leaves before it has sent all of its request.
PHASES: Mapping[str, Callable[[Received], Reply] | None] = {
    "queued": None,
    "before the head": _hangs,
    "before the first token": _begins,
    "mid-stream": _stops_midway,
}


@dataclass(frozen=True, slots=True)
class Trial:
    number: int
    phase: str
    stream: bool
    dialect: Dialect

    @property
    def nonce(self) -> str:
        return f"{self.phase}/{self.number}"

    def __str__(self) -> str:
        return f"{self.phase}, {'stream' if self.stream else 'plain'}, {self.dialect.name}"


class Ledger:
    """Behaves as the phase says that the nonce names, and tells when a request has come."""

    def __init__(self) -> None:
        self.calls: dict[str, list[Received]] = {}
        self._arrivals: dict[str, asyncio.Event] = {}

    def answer(self, received: Received) -> Reply:
        nonce = nonce_of(received)
        self.calls.setdefault(nonce, []).append(received)
        self._arrival(nonce).set()
        behave = PHASES[nonce.partition("/")[0]] or _hangs
        return behave(received)

    async def arrived(self, nonce: str) -> Received:
        await self._arrival(nonce).wait()
        return self.calls[nonce][0]

    def _arrival(self, nonce: str) -> asyncio.Event:
        return self._arrivals.setdefault(nonce, asyncio.Event())


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P5 a client that leaves ends the upstream call")
    ledger = Ledger()
    chosen = _trials(effort.of(_TRIALS, 10))
    took: dict[str, list[float]] = {phase: [] for phase in PHASES}
    async with Upstream() as upstream:
        upstream.on(ledger.answer)
        async with running([Provider("only", "model")], upstream.port, per_request_timeout="60s") as gateway:
            effort.say(f"{len(chosen)} clients leave")
            turns = asyncio.Semaphore(_AT_ONCE)

            async def run(trial: Trial) -> None:
                async with turns:
                    seconds = await _closed_after(trial, ledger, gateway.port, verdict)
                if seconds is not None:
                    took[trial.phase].append(seconds)

            await asyncio.gather(*map(run, chosen))
    _judge(took, ledger, verdict)
    return verdict


def _trials(count: int) -> Sequence[Trial]:
    """In turns, so that all phases are under way at once."""
    kinds = list(product((False, True), PHASES))
    return [Trial(number, phase, stream, BOTH[number % 2]) for number in range(count) for stream, phase in kinds]


async def _closed_after(trial: Trial, ledger: Ledger, port: int, verdict: Verdict) -> float | None:
    """Seconds from the client's leaving to the end of the upstream connection."""
    nonce = f"{trial.nonce}/{trial.stream}"
    request = trial.dialect.request("model", nonce, stream=trial.stream)
    connection = await connect(port)
    try:
        async with asyncio.timeout(20):
            if PHASES[trial.phase] is None:
                connection.send(request[:-10])
                await asyncio.sleep(0.02)
                return None
            connection.send(request)
            received = await ledger.arrived(nonce)
            if trial.phase == "mid-stream" and not await connection.until(lambda answer: len(answer.body) > 0):
                verdict.broke(str(trial), f"nothing of the answer came: {connection.answer}")
                return None
            if trial.phase != "mid-stream":
                await asyncio.sleep(0.02)  # so that the gateway has what the provider sent
            connection.leave()
            left = time.monotonic()
            await received.over.wait()
            verdict.check(received.closed_early, str(trial), "the provider ended it, not the gateway")
            return time.monotonic() - left
    except TimeoutError:
        verdict.broke(str(trial), f"the upstream call goes on, or never came: {connection.answer}")
        return None
    finally:
        connection.leave()
        verdict.count("clients")


def _judge(took: Mapping[str, list[float]], ledger: Ledger, verdict: Verdict) -> None:
    for phase, seconds in took.items():
        if PHASES[phase] is None:
            continue
        p99, worst = percentile(seconds, 0.99), max(seconds, default=0.0)
        verdict.counts |= {f"{phase}, p99 ms": p99 * 1000, f"{phase}, worst ms": worst * 1000}
        verdict.check_time(p99 <= _P99, phase, f"closed after {p99:.3f} s (p99)")
        verdict.check_time(worst <= _WORST, phase, f"closed after {worst:.3f} s (worst)")
    for nonce, calls in ledger.calls.items():
        wanted = 0 if nonce.startswith("queued") else 1
        verdict.check(len(calls) == wanted, "calls", f"{nonce}: {len(calls)} upstream calls, not {wanted}")
