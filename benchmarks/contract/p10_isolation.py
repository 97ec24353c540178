"""P10: no answer reaches anybody but the client who asked, however many ask at once, and whatever an upstream adds."""

from __future__ import annotations

import asyncio
import json
from typing import cast

from benchmarks.contract.client import Answer, Client
from benchmarks.contract.dialects import OPENAI
from benchmarks.contract.gateway import Provider, running
from benchmarks.contract.verdict import Effort, Verdict

_REQUESTS = 100_000
_AT_ONCE = 128
_LINGERING = 100
_PAUSE = 0.02  # seconds in which surplus bytes reach a connection that nobody uses
_POISON = b'{"choices": [{"message": {"role": "assistant", "content": "poison"}}]}'
_SURPLUS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(_POISON),
    _POISON,
)


class Echo(asyncio.Protocol):
    """A provider that answers with the nonce it is asked with, and, where the nonce says so, with more than was asked:
    at once, or a little later."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._request()) is not None:
            nonce = request["messages"][0]["content"]
            surplus = _SURPLUS if nonce.startswith("surplus") else b""
            self._transport.write(_answer(nonce, stream=request.get("stream", False)) + surplus)
            if nonce.startswith("late"):
                asyncio.get_running_loop().call_later(_PAUSE / 4, self._transport.write, _SURPLUS)

    def _request(self) -> dict[str, list[dict[str, str]]] | None:
        """The next whole request's body, if it is in."""
        head_end = self._buffer.find(b"\r\n\r\n") + 4
        if head_end < 4:
            return None
        head = bytes(self._buffer[:head_end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self._buffer) < head_end + length:
            return None
        body = bytes(self._buffer[head_end : head_end + length])
        del self._buffer[: head_end + length]
        return cast("dict[str, list[dict[str, str]]]", json.loads(body))


def _answer(nonce: str, *, stream: object) -> bytes:
    if not stream:
        body = json.dumps({"choices": [{"message": {"role": "assistant", "content": nonce}}]}).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    events = [{"choices": [{"delta": {"content": text}}]} for text in ("", nonce)]
    body = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    )


async def campaign(effort: Effort) -> Verdict:
    verdict = effort.verdict("P10 isolation")
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)
    try:
        async with running([Provider("echo", "model", keys=3)], server.sockets[0].getsockname()[1]) as gateway:
            client = Client(gateway.port)
            await _crowd(client, effort.of(_REQUESTS, 2000), effort, verdict)
            await _lingering(client, effort.of(_LINGERING, 20), verdict)
            client.close()
    finally:
        server.close()
    return verdict


async def _crowd(client: Client, requests: int, effort: Effort, verdict: Verdict) -> None:
    """Many at once; every 50th answer has a surplus that would be another's answer."""
    numbers = iter(range(requests))

    async def run() -> None:
        for number in numbers:
            kind = "surplus" if number % 50 == 7 else "plain"
            nonce = f"{kind}-{number}-of-{requests}"
            stream = number % 5 == 0
            _judge(nonce, await client.ask(OPENAI.request("model", nonce, stream=stream)), verdict)
            if number % 20_000 == 19_999:
                effort.say(f"{number + 1} requests, {len(verdict.broken)} cases broken")

    await asyncio.gather(*(run() for _ in range(_AT_ONCE)))


async def _lingering(client: Client, requests: int, verdict: Verdict) -> None:
    """Surplus bytes that come when the connection is idle; the next request must not take them for its answer."""
    for number in range(requests):
        nonce = f"late-{number}-of-{requests}"
        _judge(nonce, await client.ask(OPENAI.request("model", nonce, stream=False)), verdict)
        await asyncio.sleep(_PAUSE)


def _judge(nonce: str, answer: Answer, verdict: Verdict) -> None:
    verdict.count("requests")
    if nonce.startswith(("surplus", "late")):
        verdict.count("with surplus bytes after the answer")
    case = nonce.partition("-")[0]
    verdict.check(answer.whole and answer.status == 200, f"{case}: not answered", f"{nonce}: {answer}")
    body = bytes(answer.body)
    own = f'"content": "{nonce}"'.encode()
    mixed = answer.status == 200 and (body.count(own) != 1 or b"poison" in body)
    verdict.check(not mixed, f"{case}: another's answer", f"{nonce}: {answer}")
