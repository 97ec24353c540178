"""P1: whatever fault a provider has, every request ends in exactly one answer, which is all of one attempt."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product

from benchmarks.contract.client import Answer, Client
from benchmarks.contract.dialects import ANTHROPIC, BOTH, Dialect, nonce_of
from benchmarks.contract.faults import FAULTS, Fault, Then
from benchmarks.contract.gateway import Provider, provider_of, running
from benchmarks.contract.verdict import Effort, Verdict
from tests.fake_upstream import Received, Reply, Upstream, closed_port, ok

_REQUESTS = 70  # of a lane: 19,000 in all, and more
_AT_ONCE, _SLOW_AT_ONCE = 32, 256
_LANES = 10  # of a slow fault: each request takes the timeout, so they are spread over so many providers
TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One fault in one format, with two providers of its own, so that its first request meets a gateway that has
    learned nothing. The requests of a lane follow each other."""

    number: int
    fault: Fault
    dialect: Dialect
    stream: bool

    @property
    def name(self) -> str:
        return f"{self.fault.name}, {self.dialect.name}, {'stream' if self.stream else 'plain'}"

    @property
    def model(self) -> str:
        return f"model-{self.number}"

    def providers(self, doors: dict[str, str]) -> tuple[Provider, Provider]:
        door = doors.get(self.fault.door, "")
        first = Provider(f"a{self.number}", self.model, base_url=door and door.replace("HOST", f"a{self.number}"))
        return first, Provider(f"b{self.number}", self.model)

    def expected(self) -> list[tuple[str, str]]:
        """Providers and keys that see the first request of this lane."""
        first, second = f"a{self.number}", f"b{self.number}"
        calls = [] if self.fault.door else [(first, f"sk-{first}-1")]
        if self.fault.then in (Then.KEY, Then.OTHER):
            calls.append((first, f"sk-{first}-2"))
        elif self.fault.then is Then.PROVIDER:
            calls.append((second, f"sk-{second}-1"))
        return calls


class Ledger:
    """Answers the first attempt of a request with the fault that its nonce names, and every other one well."""

    def __init__(self) -> None:
        self.calls: dict[str, list[Received]] = defaultdict(list)
        self._faults = {fault.name: fault for fault in FAULTS}

    def answer(self, received: Received) -> Reply:
        nonce = nonce_of(received)
        calls = self.calls[nonce]
        calls.append(received)
        text = f"<{nonce}#{len(calls)}>"
        fault = self._faults[nonce.partition("/")[0]]
        return fault.make(text)(received) if len(calls) == 1 and not fault.door else ok(text)(received)


def lanes(effort: Effort) -> list[Lane]:
    """All lanes; a slow fault has several. A quick run takes one format for streams, the other for what is none."""
    found: list[Lane] = []
    for fault, dialect, stream in product(FAULTS, BOTH, (False, True)):
        if fault.only and stream is not (fault.only == "stream"):
            continue
        if effort.quick and stream is not (dialect is ANTHROPIC):
            continue
        for _ in range(effort.of(_LANES, 1) if fault.slow else 1):
            found.append(Lane(len(found), fault, dialect, stream))
    return found


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P1 failover correctness")
    requests = effort.of(_REQUESTS, 1)
    ledger, chosen = Ledger(), lanes(effort)
    with doors() as closed:
        async with Upstream() as upstream:
            upstream.on(ledger.answer)
            providers = [provider for lane in chosen for provider in lane.providers(closed)]
            async with running(
                providers,
                upstream.port,
                settings={"CONNECTTIMEOUT": "2"},
                per_request_timeout=f"{TIMEOUT:g}s",
                total_timeout="20s",
            ) as gateway:
                effort.say(f"{len(chosen)} lanes, {len(FAULTS)} kinds of fault")
                await _run(chosen, ledger, Client(gateway.port), requests, effort, verdict)
    verdict.counts |= {"kinds of fault": len(FAULTS)}
    return verdict


async def _run(
    chosen: Sequence[Lane], ledger: Ledger, client: Client, requests: int, effort: Effort, verdict: Verdict
) -> None:
    turns = {False: asyncio.Semaphore(_AT_ONCE), True: asyncio.Semaphore(_SLOW_AT_ONCE)}
    done = 0

    async def run(lane: Lane) -> None:
        nonlocal done
        async with turns[lane.fault.slow]:
            for number in range(max(1, requests // _LANES) if lane.fault.slow else requests):
                nonce = f"{lane.fault.name}/{lane.number}/{number}"
                answer = await client.ask(lane.dialect.request(lane.model, nonce, stream=lane.stream))
                for problem in problems(lane, answer, ledger.calls[nonce], first=number == 0):
                    verdict.broke(lane.name, f"request {number}: {problem}")
                verdict.count("requests")
                verdict.count("attempts", len(ledger.calls[nonce]))
        done += 1
        if done % 50 == 0:
            effort.say(f"{done} of {len(chosen)} lanes, {len(verdict.broken)} cases broken")

    await asyncio.gather(*map(run, chosen))
    client.close()


def problems(lane: Lane, answer: Answer, calls: Sequence[Received], *, first: bool) -> Iterator[str]:
    """What is wrong with one request: what the client saw, beside what the providers saw."""
    made = [(provider_of(call), call.key or "") for call in calls]
    if not answer.ended:
        yield f"lost: no end after {made}"
        return
    if len(made) != len(set(made)):
        yield f"a key was tried twice: {made}"
    if lane.fault.then in (Then.RETURN, Then.BREAKS) and len(made) != 1:
        yield f"more than one attempt: {made}, {answer}"
    if first and made != lane.expected():
        yield f"tried {made}, not {lane.expected()}; {answer}"
    if not calls:
        yield f"nobody was asked: {answer}"
    elif lane.fault.then is Then.BREAKS:
        yield from _break_problems(lane, answer, calls[0])
    elif not answer.whole or answer.status != _status(calls[-1]) or bytes(answer.body) != _body(calls[-1]):
        yield f"not the answer of the last of {made}: {answer}"


def _break_problems(lane: Lane, answer: Answer, call: Received) -> Iterator[str]:
    """What came before the break is a part of the one answer; after it comes an error, or the transfer is aborted."""
    sent = _body(call)
    if not lane.stream:
        if answer.whole or not sent.startswith(bytes(answer.body)):
            yield f"no abort after a part: {answer}"
        return
    if lane.dialect.ended_well(answer.body):
        yield f"a terminator after an interruption: {answer}"
    if answer.whole and not lane.dialect.ended_with_error(answer.body):
        yield f"a clean end without an error event: {answer}"
    kept = bytes(answer.body).rpartition(b"\n\n")[0].rpartition(b"\n\n")[0] if answer.whole else bytes(answer.body)
    if not sent.startswith(kept):
        yield f"bytes that the provider did not send: {answer}"


def _body(call: Received) -> bytes:
    assert call.reply is not None
    return call.reply.body


def _status(call: Received) -> int:
    assert call.reply is not None
    return call.reply.status


@contextmanager
def doors() -> Iterator[dict[str, str]]:
    """Base URLs behind which no provider can be reached. HOST is a name of its own for each of them."""
    with ExitStack() as stack:
        refused = stack.enter_context(closed_port())
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        silent = listening.getsockname()[1]
        for _ in range(4):  # a full queue of connections that nobody accepts answers no further ones
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", silent))
        yield {
            "refused": f"http://127.0.0.1:{refused}/HOST/v1",
            "silent": f"http://127.0.0.1:{silent}/HOST/v1",
            "nowhere": "http://HOST.invalid/v1",
            "plain": "https://HOST.internal/v1",
        }
