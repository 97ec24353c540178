"""P14: a policy is reloaded under load without a failed request; one that is bad leaves the last one in force."""

from __future__ import annotations

import json
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.contract.client import PATIENCE, Answer, Client
from benchmarks.contract.dialects import OPENAI
from benchmarks.contract.gateway import Provider, Running, policy, running
from benchmarks.contract.load import steady, until
from benchmarks.contract.verdict import Effort, Verdict
from tests.fake_upstream import Received, Reply, Upstream, ok

_GOOD, _BAD = 1000, 3000
_RATE = 50
_SEED = 20_260_101
_PROVIDERS = [Provider("one", "model"), Provider("two", "model")]
_PLACE = re.compile(r"policy\.yaml:\d+:\d+: ")


def _policy(variant: int) -> dict[str, Any]:
    """Policies differ in a field that the provider is shown."""
    return policy(_PROVIDERS, headers={"x-variant": str(variant)})


class BadPolicies:
    """Documents that must not load: a good one with something wrong in it, of every kind in turn."""

    def __init__(self) -> None:
        self._chance = random.Random(_SEED)
        self._good = json.dumps(_policy(0))

    def texts(self, count: int) -> Iterator[str]:
        kinds = (
            self._replaced('"ai-gateway"', '"ai-gateway-{}"'),
            self._replaced('"on_http_request"', '"on_http_request_{}"'),
            self._replaced('{"actions"', '{{"expressions": ["req.path{}.startsWith(1)"], "actions"'),
            self._replaced('{"actions"', '{{"expressions": ["{} +"], "actions"'),
            self._replaced('"headers"', '"haeders{}"'),
            self._replaced('"providers": [', '"providers": [{}, '),
            self._replaced('"http', '"ftp{}'),
            self._replaced('"only_allow_configured_providers": true', '"total_timeout": "{} parsecs"'),
            self._replaced('"config": {', '"config": {{"providers": [{}], '),  # a name twice
            self._shortened,
            self._without_a_bracket,
            lambda number: "a: &a [*a, *a]\n" * (number + 1),
        )
        return (kinds[number % len(kinds)](number) for number in range(count))

    def _replaced(self, old: str, new: str) -> Callable[[int], str]:
        assert old in self._good
        return lambda number: self._good.replace(old, new.format(number), 1)

    def _shortened(self, _: int) -> str:
        return self._good[: self._chance.randrange(10, len(self._good) - 1)]

    def _without_a_bracket(self, _: int) -> str:
        at = self._chance.choice([at for at, character in enumerate(self._good) if character in "[{"])
        return self._good[:at] + self._good[at + 1 :]


class Variants:
    """The provider: it notes which policy the last request came by."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def answer(self, received: Received) -> Reply:
        self.seen.add(received.headers.get("x-variant", ""))
        return ok()(received)


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P14 reloads")
    variants = Variants()
    async with Upstream() as upstream:
        upstream.on(variants.answer)
        async with running(_PROVIDERS, upstream.port, headers={"x-variant": "0"}) as gateway:
            client = Client(gateway.port)

            def taken(answer: Answer, _: float) -> None:
                verdict.count("requests under way")
                verdict.check(answer.whole and answer.status == 200, "a request failed", str(answer))

            def request(number: int) -> bytes:
                return OPENAI.request("model", "Hi", stream=number % 2 == 0)

            async with steady(client, request, _RATE, taken):
                last = await _good(gateway, client, variants, effort.of(_GOOD, 20), effort, verdict)
                await _bad(gateway, client, variants, last, effort.of(_BAD, 36), effort, verdict)
            client.close()
    return verdict


async def _good(
    gateway: Running, client: Client, variants: Variants, count: int, effort: Effort, verdict: Verdict
) -> str:
    """Reload so often; the variant that is in force in the end."""
    for variant in range(1, count + 1):
        _replace(gateway.file, json.dumps(_policy(variant)))
        await _reloaded(gateway, "is in force", variant)
        variants.seen.clear()
        await client.ask(OPENAI.request("model", "Hi", stream=False))
        verdict.check(str(variant) in variants.seen, "a good policy is not in force", f"{variant}: {variants.seen}")
        verdict.count("good reloads")
        if variant % 200 == 0:
            effort.say(f"{variant} good reloads")
    return str(count)


async def _bad(
    gateway: Running, client: Client, variants: Variants, last: str, count: int, effort: Effort, verdict: Verdict
) -> None:
    for number, text in enumerate(BadPolicies().texts(count), 1):
        _replace(gateway.file, text)
        before = len(gateway.process.output)
        await _reloaded(gateway, "is not taken over", number)
        said = gateway.process.output[before:]
        verdict.check(bool(_PLACE.search(said)), "a bad policy without its place", f"{text[:200]!r}: {said[:300]!r}")
        variants.seen.clear()
        await client.ask(OPENAI.request("model", "Hi", stream=False))
        verdict.check(variants.seen == {last}, "the old policy did not stay", f"{text[:200]!r}: {variants.seen}")
        verdict.count("bad reloads")
        if number % 500 == 0:
            effort.say(f"{number} bad reloads")


async def _reloaded(gateway: Running, words: str, times: int) -> None:
    """Ask for a reload, and wait until it is said, for so many times in all, how that went."""
    os.kill(gateway.process.pid, signal.SIGHUP)
    if not await until(lambda: gateway.process.output.count(words) >= times, PATIENCE, every=0.005):
        raise TimeoutError(f"nothing is said of reload {times}: {gateway.process.output[-500:]}")


def _replace(file: Path, text: str) -> None:
    """At one go, as editors and Kubernetes do."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)
