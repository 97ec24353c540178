"""P19: a provider that was down is probed by one request at a time, and comes back without a rush."""

from __future__ import annotations

import asyncio
import time

from benchmarks.contract.client import PATIENCE, Answer, Client
from benchmarks.contract.dialects import OPENAI
from benchmarks.contract.gateway import Provider, provider_of, running
from benchmarks.contract.load import steady, until
from benchmarks.contract.verdict import Effort, Verdict
from tests.fake_upstream import Received, Reply, Upstream, error, ok

_RATE = 100
_TO_OPEN = 20  # attempts at the most: five failures in a row open the breaker, but some are under way by then
_OPEN = (7.0, 13.0)  # seconds: ten, give or take three tenths
_AGAIN = (14.0, 26.0)  # after a probe that failed
_PROBE = 0.5  # seconds that the answer to a probe takes
_PROBES = 3  # successes that close the breaker
_PATIENCE = 30.0


class Sick:
    """A provider whose health is set from outside, beside one that is always well. It notes when it was asked."""

    def __init__(self) -> None:
        self.well = False
        self.delay = 0.0
        self.asked: list[float] = []
        self.received: list[Received] = []

    def answer(self, received: Received) -> Reply:
        if provider_of(received) == "well":
            return ok()(received)
        self.asked.append(time.monotonic())
        self.received.append(received)
        return (ok(delay=self.delay) if self.well else error(500, delay=self.delay))(received)

    @property
    def under_way(self) -> int:
        return sum(not received.over.is_set() for received in self.received)

    def since(self, moment: float) -> list[float]:
        return [asked for asked in self.asked if asked >= moment]


async def campaign(effort: Effort) -> Verdict:
    """A quick run leaves out the probe that fails, after which the provider is left alone for twice as long."""
    verdict = effort.verdict("P19 recovery")
    sick = Sick()
    async with Upstream() as upstream:
        upstream.on(sick.answer)
        providers = [Provider("sick", "model", keys=1), Provider("well", "model", keys=1)]
        async with running(providers, upstream.port) as gateway:
            client = Client(gateway.port)

            def taken(answer: Answer, _: float) -> None:
                verdict.count("requests")
                verdict.check(answer.whole and answer.status == 200, "a request failed", str(answer))

            async with steady(client, lambda number: OPENAI.request("model", "Hi", stream=False), _RATE, taken):
                opened = await _opens(sick, verdict)
                effort.say(f"open after {len(sick.asked)} attempts")
                if not effort.quick:
                    opened = await _failed_probe(sick, opened, verdict)
                    effort.say("a probe failed")
                sick.well, sick.delay = True, _PROBE
                await _recovers(sick, opened, _OPEN if effort.quick else _AGAIN, effort, verdict)
            client.close()
    return verdict


async def _opens(sick: Sick, verdict: Verdict) -> float:
    """Failures open the breaker: for a second nobody asks. When it opened."""
    begun = time.monotonic()
    await until(lambda: bool(sick.asked) and time.monotonic() - sick.asked[-1] > 1, 5, every=0.05)
    verdict.counts["attempts that opened the breaker"] = len(sick.asked)
    verdict.check(5 <= len(sick.asked) <= _TO_OPEN, "opening", f"after {len(sick.asked)} attempts")
    return sick.asked[-1] if sick.asked else begun


async def _failed_probe(sick: Sick, opened: float, verdict: Verdict) -> float:
    """One attempt alone finds out that the provider is still down. When that was."""
    sick.delay = _PROBE
    count = len(sick.asked)
    await until(lambda: len(sick.asked) > count, _PATIENCE)
    _check_wait(sick.asked[-1] - opened, _OPEN, verdict)
    await asyncio.sleep(_PROBE + 2)
    verdict.check(len(sick.asked) == count + 1, "probes while one fails", f"{len(sick.asked) - count} attempts")
    return sick.asked[count] + _PROBE if len(sick.asked) > count else time.monotonic()


async def _recovers(sick: Sick, opened: float, wait: tuple[float, float], effort: Effort, verdict: Verdict) -> None:
    count = len(sick.asked)
    await until(lambda: len(sick.asked) > count, _PATIENCE)
    if len(sick.asked) == count:
        verdict.broke("recovery", "no probe came")
        return
    _check_wait(sick.asked[count] - opened, wait, verdict)
    most = 0
    while len(sick.asked) < count + _PROBES or sick.received[count + _PROBES - 1].over.is_set() is False:
        most = max(most, sick.under_way)
        if time.monotonic() > sick.asked[count] + PATIENCE:
            verdict.broke("recovery", "it does not close")
            return
        await asyncio.sleep(0.01)
    verdict.counts["probes under way at once"] = most
    verdict.check(most == 1, "probes under way at once", str(most))
    sick.delay = 0.0
    closed = time.monotonic()
    await asyncio.sleep(1)
    first = len(sick.since(closed))
    verdict.counts["requests in the first second"] = first
    verdict.check_time(0 < first <= 2 * _RATE, "the first second", f"{first} requests, where {_RATE} are usual")
    effort.say("it is back")


def _check_wait(seconds: float, wait: tuple[float, float], verdict: Verdict) -> None:
    verdict.counts[f"seconds to the probe after {wait[0]:g} to {wait[1]:g}"] = seconds
    verdict.check_time(wait[0] - 0.1 <= seconds <= wait[1] + 1, "time to the probe", f"{seconds:.1f} s, not {wait}")
