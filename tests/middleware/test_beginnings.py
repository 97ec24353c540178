"""A stream whose head and first event are at hand goes out with one write, where no rule has to see it first. The
client sees the same over our own server as over any other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway
from tests.asgi import request
from tests.cli.protocol.wire import Wire, turns
from tests.gateways import CHAT, CHAT_PATH, Pieces, secret_store

pytestmark = pytest.mark.anyio

KEY = "sk-proj-0123456789abcdef"
STREAM = {**CHAT, "stream": True}
BODY = json.dumps(STREAM).encode()
HEAD = f"POST {CHAT_PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
REQUEST = HEAD.encode() + BODY
ADD = {"type": "add-headers", "config": {"headers": {"x-seen": "1"}}}
REPLACE = {"type": "sse-find-replace", "config": {"replacements": [{"from": "Hello", "to": "Bye"}]}}
RULES: dict[str, Any] = {
    "no rules": {},
    "rules for heads": {"on_http_response": [{"actions": [ADD]}]},
    "rules for messages": {"on_event_stream_message": [{"actions": [REPLACE]}]},
}


def word(text: str) -> bytes:
    return b"data: %b\n\n" % json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()


HELLO, WORLD, DONE = word("Hello"), word("world"), b"data: [DONE]\n\n"


def app(stream: httpx.AsyncByteStream, rules: str = "no rules") -> Any:
    """A gateway in front of a provider that answers with this stream."""
    provider = {"id": "openai", "base_url": "http://provider.test/v1", "api_keys": [{"value": KEY}]}
    action = {"type": "ai-gateway", "config": {"providers": [provider]}}
    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)
    transport = httpx.MockTransport(lambda _: answer)
    policy = {"on_http_request": [action], **RULES[rules]}
    return Gateway.from_policy(policy, secrets=secret_store(), transport=transport).app


class Endless(httpx.AsyncByteStream):
    """One event, and then nothing until it is given up."""

    closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield HELLO
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed = True


def body_of(said: bytes) -> bytes:
    """Out of its chunks."""
    rest, body = said.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        body, rest = body + rest[:length], rest[length + 2 :]
    return body


async def test_head_and_first_event_go_out_with_one_write() -> None:
    async with Wire(app(Pieces(HELLO, WORLD, DONE))) as wire:
        await wire.hear(REQUEST)
        await turns(20)
        head, _, first = wire.transport.writes[0].partition(b"\r\n\r\n")
        assert b"content-type: text/event-stream" in head
        assert b"x-request-id: " in head
        assert first == b"%x\r\n%b\r\n" % (len(HELLO), HELLO)
        assert body_of(wire.said) == HELLO + WORLD + DONE


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("no rules", HELLO + WORLD + DONE),
        ("rules for heads", HELLO + WORLD + DONE),
        ("rules for messages", HELLO.replace(b"Hello", b"Bye") + WORLD + DONE),
    ],
)
async def test_any_server_sends_the_same(rules: str, expected: bytes) -> None:
    async with Wire(app(Pieces(HELLO, WORLD, DONE), rules)) as wire:
        await wire.hear(REQUEST)
        await turns(30)
    answer = await request(app(Pieces(HELLO, WORLD, DONE), rules), "POST", CHAT_PATH, json=STREAM)
    assert body_of(wire.said) == answer.body == expected
    lines = wire.said.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    assert {line.partition(": ")[0] for line in lines} == {*answer.headers, "transfer-encoding"}
    assert ("x-seen" in answer.headers) == (rules == "rules for heads")


async def test_the_first_event_shows_no_secret() -> None:
    async with Wire(app(Pieces(word(f"Your key is {KEY}."), DONE))) as wire:
        await wire.hear(REQUEST)
        await turns(20)
    assert body_of(wire.said) == word("Your key is [redacted].") + DONE


async def test_a_client_that_takes_nothing_is_waited_for() -> None:
    stream = Pieces(HELLO, *[WORLD] * 5, DONE)
    async with Wire(app(stream)) as wire:
        wire.connection.pause_writing()
        await wire.hear(REQUEST)
        await turns(20)
        assert not wire.said
        assert stream.read == 1
        wire.connection.resume_writing()
        await turns(40)
        assert body_of(wire.said) == HELLO + WORLD * 5 + DONE


async def test_a_client_that_takes_no_more_than_the_beginning_is_waited_for() -> None:
    stream = Pieces(HELLO, *[WORLD] * 5, DONE)
    async with Wire(app(stream)) as wire:
        write = wire.transport.write

        def clogging(data: Any) -> None:
            write(data)
            wire.connection.pause_writing()

        wire.connection.sending.write = clogging
        await wire.hear(REQUEST)
        await turns(40)
        assert body_of(wire.said + b"0") == HELLO + WORLD
        wire.connection.sending.write = write
        wire.connection.resume_writing()
        await turns(40)
        assert body_of(wire.said) == HELLO + WORLD * 5 + DONE


async def test_when_the_client_leaves_the_upstream_is_given_up() -> None:
    stream = Endless()
    async with Wire(app(stream)) as wire:
        await wire.hear(REQUEST)
        await turns(20)
        assert wire.said.endswith(HELLO + b"\r\n")
        assert not stream.closed
        await wire.lose()
        assert stream.closed
