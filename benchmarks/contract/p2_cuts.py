"""P2 and P3: a stream that is interrupted never looks complete, and is never begun again at another provider.

Streams break at random bytes: closed, reset, ended cleanly without their terminator, or gone silent. They are read by
the real SDKs, and as bare bytes.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import anthropic
import openai

from benchmarks.contract.client import Client
from benchmarks.contract.dialects import ANTHROPIC, OPENAI, RESPONSES, Dialect, nonce_of, text_of
from benchmarks.contract.gateway import Provider, running
from benchmarks.contract.verdict import Effort, Verdict
from tests.fake_upstream import Received, Reply, Upstream, ok

_CUTS = 2000
_OF_ONE_PROVIDER = 4  # so few that its breaker stays closed
_AT_ONCE, _STALLS_AT_ONCE = 12, 64
_SEED = 20_260_101
_IDLE = 2.0
_STALLS = 0.1  # of all cuts; they take the idle timeout each

How = Literal["close", "reset", "end", "stall"]
Reading = Literal["openai", "anthropic", "responses", "bytes"]


class Seen(NamedTuple):
    """What a client made of a stream. `success`: it was told that all went well; `failure`: that it did not."""

    text: str
    success: bool
    failure: str


@dataclass(frozen=True, slots=True)
class Cut:
    """One stream: how and where (as a part of its bytes) it breaks, and who reads it."""

    number: int
    how: How
    at: float
    reading: Reading
    dialect: Dialect

    @property
    def nonce(self) -> str:
        return f"cut/{self.number}"

    @property
    def model(self) -> str:
        return f"model-{self.number // _OF_ONE_PROVIDER}"

    def __str__(self) -> str:
        return f"{self.how} in {self.dialect.name}, read as {self.reading}"


class Ledger:
    """Breaks the first attempt of each stream; further ones go well, and say which they are."""

    def __init__(self, cuts: Sequence[Cut]) -> None:
        self._cuts = {cut.nonce: cut for cut in cuts}
        self.calls: dict[str, list[Received]] = defaultdict(list)
        self.broken_at: dict[str, int] = {}

    def answer(self, received: Received) -> Reply:
        nonce = nonce_of(received)
        calls = self.calls[nonce]
        calls.append(received)
        reply = ok(_words(nonce, len(calls)))(received)
        return self._broken(reply, self._cuts[nonce]) if len(calls) == 1 else reply

    def _broken(self, reply: Reply, cut: Cut) -> Reply:
        at = int(cut.at * (len(reply.body) - 3))  # the terminator's own line is never whole
        self.broken_at[cut.nonce] = at
        pieces = _up_to(reply.pieces, at)
        if cut.how == "stall":
            return replace(reply, pieces=pieces, stall_after=len(pieces))
        if cut.how == "end":
            return replace(reply, pieces=pieces)
        return replace(reply, cut_at=at, reset=cut.how == "reset")


def _words(nonce: str, attempt: int) -> str:
    return " ".join(f"{nonce}#{attempt}:{number}" for number in range(12))


def _up_to(pieces: Sequence[bytes], size: int) -> tuple[bytes, ...]:
    kept = []
    for piece in pieces:
        if size > 0:
            kept.append(piece[:size])
        size -= len(piece)
    return tuple(kept)


def cuts(count: int, *, stalls: float) -> list[Cut]:
    """The same ones in every run."""
    chance = random.Random(_SEED)
    readers: list[tuple[Reading, Dialect]] = [("openai", OPENAI), ("anthropic", ANTHROPIC), ("responses", RESPONSES)]
    readers += [("bytes", OPENAI), ("bytes", ANTHROPIC)]
    found = []
    for number in range(count):
        how: How = "stall" if chance.random() < stalls else chance.choice(("close", "reset", "end"))
        found.append(Cut(number, how, chance.random(), *readers[number % len(readers)]))
    return found


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P2 no silent truncation, P3 no replay after content")
    chosen = cuts(effort.of(_CUTS, 100), stalls=0.04 if effort.quick else _STALLS)
    ledger = Ledger(chosen)
    async with Upstream() as upstream:
        upstream.on(ledger.answer)
        providers = [Provider(f"p{cut.model}", cut.model) for cut in chosen[::_OF_ONE_PROVIDER]]
        async with (
            running(providers, upstream.port, per_request_timeout=f"{_IDLE:g}s", total_timeout="30s") as gateway,
            _readers(gateway.port) as readers,
        ):
            effort.say(f"{len(chosen)} cuts at {len(providers)} providers")
            await _run(chosen, ledger, readers, effort, verdict)
    return verdict


async def _run(
    chosen: Sequence[Cut], ledger: Ledger, readers: dict[Reading, Reader], effort: Effort, verdict: Verdict
) -> None:
    turns = {False: asyncio.Semaphore(_AT_ONCE), True: asyncio.Semaphore(_STALLS_AT_ONCE)}
    done = 0

    async def run(cut: Cut) -> None:
        nonlocal done
        async with turns[cut.how == "stall"]:
            try:
                seen = await readers[cut.reading](cut)
            except TimeoutError:
                verdict.broke(str(cut), f"cut {cut.number}: no end")
                return
        _judge(cut, seen, ledger, verdict)
        done += 1
        if done % 250 == 0:
            effort.say(f"{done} of {len(chosen)} cuts, {len(verdict.broken)} cases broken")

    await asyncio.gather(*map(run, chosen))


def _judge(cut: Cut, seen: Seen, ledger: Ledger, verdict: Verdict) -> None:
    attempts = len(ledger.calls[cut.nonce])
    texts = [_words(cut.nonce, attempt) for attempt in range(1, attempts + 1)]
    case = f"cut {cut.number} at byte {ledger.broken_at.get(cut.nonce)}, {attempts} attempts: {seen}"
    first = f"{cut.nonce}#1:"
    verdict.count("cuts")
    if first in seen.text:
        verdict.count("after content")
        verdict.check(attempts == 1, f"{cut}: replayed after content", case)
        verdict.check(texts[0].startswith(seen.text), f"{cut}: mixed with another answer", case)
    if attempts > 1 and first not in seen.text:
        verdict.count("before content, taken over by another key")
        verdict.check(seen.success and seen.text == texts[-1], f"{cut}: not the whole answer of the last attempt", case)
    else:
        verdict.check(not seen.success, f"{cut}: looks like a success", case)
        verdict.check(bool(seen.failure), f"{cut}: no error raised", case)
        verdict.count("told as an error", bool(seen.failure))


Reader = Callable[[Cut], Awaitable[Seen]]


@asynccontextmanager
async def _readers(port: int) -> AsyncIterator[dict[Reading, Reader]]:
    """The clients by name; each reads the stream of a cut to its end."""
    base, key = f"http://127.0.0.1:{port}", "sk-of-the-sdk"
    plain = Client(port)

    async def as_bytes(cut: Cut) -> Seen:
        answer = await plain.ask(cut.dialect.request(cut.model, cut.nonce, stream=True))
        if not answer.ended:
            raise TimeoutError
        told = answer.status != 200 or answer.cut or cut.dialect.ended_with_error(answer.body)
        success = answer.whole and cut.dialect.ended_well(answer.body)
        return Seen(text_of(answer.body), success, str(answer) if told else "")

    async with (
        openai.AsyncOpenAI(base_url=f"{base}/v1", api_key=key, max_retries=0, timeout=30) as of_openai,
        anthropic.AsyncAnthropic(base_url=base, api_key=key, max_retries=0, timeout=30) as of_anthropic,
    ):

        async def chat(cut: Cut) -> Seen:
            text, success = "", False
            try:
                stream = await of_openai.chat.completions.create(
                    model=cut.model, messages=[{"role": "user", "content": cut.nonce}], stream=True
                )
                async for chunk in stream:
                    text += chunk.choices[0].delta.content or ""
            except Exception as error:  # noqa: BLE001 - whatever it is, the SDK's user is told
                return Seen(text, success, repr(error))
            return Seen(text, True, "")

        async def responses(cut: Cut) -> Seen:
            text, success = "", False
            try:
                async for event in await of_openai.responses.create(model=cut.model, input=cut.nonce, stream=True):
                    text += event.delta if event.type == "response.output_text.delta" else ""
                    success = success or event.type == "response.completed"
            except Exception as error:  # noqa: BLE001
                return Seen(text, success, repr(error))
            return Seen(text, True, "")

        async def messages(cut: Cut) -> Seen:
            text, success = "", False
            try:
                async with of_anthropic.messages.stream(
                    model=cut.model, max_tokens=100, messages=[{"role": "user", "content": cut.nonce}]
                ) as stream:
                    async for event in stream:
                        text += event.text if event.type == "text" else ""
                        success = success or event.type == "message_stop"
            except Exception as error:  # noqa: BLE001
                return Seen(text, success, repr(error))
            return Seen(text, True, "")

        yield {"openai": chat, "anthropic": messages, "responses": responses, "bytes": as_bytes}
    plain.close()
