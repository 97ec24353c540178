"""Heads that come again: known by their bytes, with all that the parser would have made of them, and by no less."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from ai_gateway_mw.cli.protocol.known_head import KnownHead
from tests.cli.protocol.wire import Wire, turns

pytestmark = pytest.mark.anyio

HEAD = (
    b"POST /v1/chat?a=%%20b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nContent-Length: %b\r\n"
    b"Authorization: Bearer abc\r\nConnection: keep-alive\r\n\r\n"
)
FIRST = HEAD % b"3" + b"abc"
FIELDS = [(b"host", b"x"), (b"content-length", b"3"), (b"a", b"b")]
LINE = b"POST / HTTP/1.1"
RAW = LINE + b"\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\n\r\n"


class Noting:
    """Notes what it is asked, and spoils the scope, as an app may."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append({**scope, "headers": list(scope["headers"]), "state": dict(scope["state"])})
        scope["headers"].append((b"x-evil", b"1"))
        scope["state"]["evil"] = True
        scope.update(path="/evil", method="EVIL")
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


class Seen:
    """Hands on to the parser what is fed to it, and keeps it."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser
        self.data = b""

    def feed_data(self, data: bytes) -> None:
        self.data += data
        self._parser.feed_data(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


@dataclass
class Heard:
    """What has come of packets: at the app, at the parser, and at the client."""

    scopes: list[Any]
    bodies: list[bytes]
    parsed: int  # heads that the parser has read
    said: bytes
    end: str


async def heard(*packets: bytes, all_parsed: bool = False) -> Heard:
    app = Noting()
    async with Wire(app) as wire:
        reading = wire.connection._parser
        seen = reading._parser = Seen(reading._parser)
        if all_parsed:
            reading._tries = 0
        await wire.hear(*packets)
        await turns(50)
        return Heard(app.scopes, app.bodies, seen.data.count(b" HTTP/1."), wire.said, wire.end)


async def same_as_parsed(*packets: bytes) -> Heard:
    known, parsed = await heard(*packets), await heard(*packets, all_parsed=True)
    assert known.scopes == parsed.scopes
    assert known.bodies == parsed.bodies
    assert _without_ids(known.said) == _without_ids(parsed.said)
    assert known.end == parsed.end
    return known


def _without_ids(said: bytes) -> list[bytes]:
    return [line for line in said.split(b"\r\n") if b"req_" not in line]


async def test_a_head_that_comes_again_is_not_parsed_again() -> None:
    told = await heard(FIRST, HEAD % b"11" + b"hello world", FIRST)
    assert told.parsed == 1
    assert told.bodies == [b"abc", b"hello world", b"abc"]


async def test_the_app_is_told_the_same_and_may_spoil_it() -> None:
    told = await same_as_parsed(FIRST, HEAD % b"11" + b"hello world", FIRST)
    first, second, third = told.scopes
    assert first == third
    assert second["headers"] == [(n, b"11" if n == b"content-length" else v) for n, v in first["headers"]]
    assert {**second, "headers": first["headers"]} == first
    assert first["path"] == "/v1/chat"
    assert first["query_string"] == b"a=%20b"


@pytest.mark.parametrize("at", range(1, len(FIRST) + 12))
async def test_split_anywhere(at: int) -> None:
    again = HEAD % b"11" + b"hello world"
    told = await heard(FIRST, again[:at], again[at:], FIRST)
    assert told.bodies == [b"abc", b"hello world", b"abc"]
    assert told.parsed == (1 if at >= len(HEAD % b"11") else 2)


async def test_byte_by_byte() -> None:
    said = FIRST + HEAD % b"0" + FIRST
    told = await same_as_parsed(FIRST, *(said[i : i + 1] for i in range(len(said))))
    assert told.bodies == [b"abc", b"abc", b"", b"abc"]


async def test_a_body_in_pieces() -> None:
    told = await heard(FIRST, HEAD % b"6", b"a", b"bc", b"def" + HEAD % b"1", b"g")
    assert told.bodies == [b"abc", b"abcdef", b"g"]
    assert told.parsed == 1


async def test_pipelined() -> None:
    told = await heard(FIRST, FIRST * 3 + HEAD % b"4" + b"ab", b"cd" + FIRST[:30], FIRST[30:] + FIRST)
    assert told.bodies == [b"abc"] * 4 + [b"abcd"] + [b"abc"] * 2
    assert told.said.count(b"HTTP/1.1 200") == 7
    assert told.parsed == 3  # the first; one that came in two parts, and what came with its end


async def test_too_many_pipelined() -> None:
    told = await same_as_parsed(FIRST, FIRST * 50)
    assert len(told.bodies) == 10
    assert told.said.count(b"HTTP/1.1 400 ") == 1


async def test_a_known_head_behind_another_in_one_packet() -> None:
    get = b"GET /other HTTP/1.1\r\nhost: x\r\n\r\n"
    told = await same_as_parsed(FIRST, get + FIRST, FIRST + get, FIRST)
    assert [scope["method"] for scope in told.scopes] == ["POST", "GET", "POST", "POST", "GET", "POST"]


async def test_the_second_head_of_a_packet_is_not_taken_for_the_first() -> None:
    other = FIRST.replace(b"abc\r\n", b"xyz\r\n")
    told = await same_as_parsed(FIRST + other, FIRST, other, FIRST)
    values = [dict(scope["headers"])[b"authorization"] for scope in told.scopes]
    assert values == [b"Bearer abc", b"Bearer xyz"] * 2 + [b"Bearer abc"]


async def test_a_head_behind_one_that_is_never_known_is_not_taken_for_it() -> None:
    waiting = FIRST.replace(b"Authorization: Bearer abc", b"Expect: 100-continue")
    told = await same_as_parsed(waiting + FIRST, waiting, FIRST, waiting)
    assert [b"authorization" in dict(scope["headers"]) for scope in told.scopes] == [False, True, False, True, False]


async def test_blank_lines_between_requests_do_not_add_up() -> None:
    """RFC 9112 2.2: some clients end a body with one. Only a head that has begun counts towards its limit."""
    async with Wire(Noting()) as wire:
        for _ in range(100):
            wire.connection.data_received(FIRST + b"\r\n")
            await turns()
            assert wire.connection._parser.received <= len(FIRST) + 2


LENGTHS = [b"0", b"3", b"03", b"0" * 11 + b"3", b"0" * 12 + b"3", b"0" * 30 + b"3", b"", b" ", b" 3", b"\t3", b"3 "]
LENGTHS += [b"+3", b"-3", b"3, 3", b"3 3", b"0x3", b"3\v", b"3\r", b"3\n", b"3\0", b"\xb3", b"1_0", b"3;", b"9" * 20]
LENGTHS += [b"3\r\nContent-Length: 3", b"3\r\nTransfer-Encoding: chunked", b"3\r\n b", b"3\r\nExpect: 100-continue"]
LENGTHS += [b"3\r\nUpgrade: h2c", b"3\r\nHost: y", b"3\r\nConnection: close", b"3\r\n\r\n", b"3\r\n: a", b"\xd9\xa3"]


@pytest.mark.parametrize("length", LENGTHS)
async def test_what_stands_for_the_length(length: bytes) -> None:
    await same_as_parsed(FIRST, FIRST, HEAD % length + b"abc", FIRST)


@pytest.mark.parametrize("at", range(len(FIRST) - 3))
async def test_a_byte_that_differs(at: int) -> None:
    """Above all not one that makes it another request, or none."""
    for byte in b"\r\n\0 :;,x9\x7f\xe4":
        await same_as_parsed(FIRST, FIRST[:at] + bytes([byte]) + FIRST[at + 1 :], FIRST)


@pytest.mark.parametrize("at", range(len(FIRST) - 3))
async def test_a_byte_too_many_or_missing(at: int) -> None:
    for inserted in (b"\r\n", b" ", b"1"):
        await same_as_parsed(FIRST, FIRST[:at] + inserted + FIRST[at:], FIRST)
    await same_as_parsed(FIRST, FIRST[:at] + FIRST[at + 1 :], FIRST)


NEVER_KNOWN = {
    "no length": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "blank after the length": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3 \r\n\r\nabc",
    "client that waits": b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc",
    "empty line before it": b"\r\nPOST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
    "empty lines before it": b"\r\n\r\nPOST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
    "long": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\na: " + b"b" * 9000 + b"\r\n\r\nabc",
}


@pytest.mark.parametrize("said", NEVER_KNOWN.values(), ids=NEVER_KNOWN)
async def test_never_known(said: bytes) -> None:
    told = await heard(said, said, FIRST, said, FIRST)
    assert len(told.bodies) == 5
    assert told.parsed == 4  # FIRST is known, although others came between


LAST = {
    "close": FIRST.replace(b"keep-alive", b"close"),
    "HTTP/1.0": FIRST.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "HTTP/1.0 that would go on": FIRST.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"keep-alive", b"Keep-Alive"),
}


@pytest.mark.parametrize("last", LAST.values(), ids=LAST)
async def test_nothing_is_known_after_the_last_request(last: bytes) -> None:
    told = await same_as_parsed(FIRST, FIRST, last + FIRST)
    assert len(told.bodies) == 3
    assert told.end
    await same_as_parsed(last, FIRST)
    await same_as_parsed(FIRST + last, FIRST)


async def test_an_app_that_ends_the_connection() -> None:
    async def closing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body"})

    async with Wire(closing) as wire:
        await wire.hear(FIRST + FIRST * 2, FIRST)
        assert wire.said.count(b"HTTP/1.1 200") == 1
        assert wire.end


async def test_a_server_that_is_full_refuses_a_known_head() -> None:
    app = Noting()
    async with Wire(app, limit_concurrency=1) as wire:
        await wire.hear(FIRST, FIRST)
        wire.state.tasks.add(task := object())  # type: ignore[arg-type]
        await wire.hear(FIRST)
        wire.state.tasks.discard(task)  # type: ignore[arg-type]
        assert wire.said.count(b"HTTP/1.1 503 ") == 1
    assert len(app.bodies) == 2


async def test_the_time_of_a_body_runs_after_a_known_head() -> None:
    app = Noting()
    async with Wire(app) as wire:
        await wire.hear(FIRST, HEAD % b"3", b"ab")
        await wire.loop.passes(15)
        assert wire.said.count(b"HTTP/1.1 408 ") == 1
    assert app.bodies == [b"abc"]


async def test_the_time_between_requests_runs_after_a_known_head() -> None:
    async with Wire(Noting()) as wire:
        await wire.hear(FIRST)
        await wire.loop.passes(3)
        await wire.hear(FIRST)
        await wire.loop.passes(3)
        assert not wire.end
        await wire.loop.passes(5)
        assert wire.end


async def test_a_long_body_is_not_taken_whole() -> None:
    """Nothing more is read from a client while there is so much that the app has not asked for."""

    async def waiting(scope: Any, receive: Any, send: Any) -> None:
        if dict(scope["headers"])[b"content-length"] != b"3":
            await asked.wait()
        await noting(scope, receive, send)

    for size in (65536, 65537):
        asked, noting = asyncio.Event(), Noting()
        async with Wire(waiting) as wire:
            await wire.hear(FIRST, HEAD % str(size).encode() + b"a" * size)
            assert wire.transport.is_reading_paused == (size > 65536)
            asked.set()
            await turns()
            assert not wire.transport.is_reading_paused
            assert noting.bodies == [b"abc", b"a" * size]


async def test_heads_that_are_never_the_same_are_not_remembered_for_ever() -> None:
    others = [FIRST.replace(b"Bearer abc", b"Bearer %d" % number) for number in range(20)]
    told = await heard(*others, others[19], others[15])
    assert len(told.bodies) == 22
    assert told.parsed == 21  # all but the one that was remembered last
    told = await heard(*others[:15], others[14], *others[:15], others[14])  # each that comes again makes it worth while
    assert told.parsed == 30


def test_a_head_that_could_grow_beyond_the_limit() -> None:
    assert KnownHead.of(RAW, LINE, FIELDS, {}, len(RAW) + 13) is not None
    assert KnownHead.of(RAW, LINE, FIELDS, {}, len(RAW) + 12) is None
    assert KnownHead.of(RAW, LINE, FIELDS, {}, 5) is None


@pytest.mark.parametrize(
    ("packet", "fields"),
    [
        (RAW, FIELDS[:2]),
        (RAW, [*FIELDS, (b"c", b"d")]),
        (RAW, [FIELDS[1], FIELDS[0], FIELDS[2]]),
        (RAW, [FIELDS[0], (b"content-length", b"4"), FIELDS[2]]),
        (RAW, [FIELDS[0], (b"content-length", b"x"), FIELDS[2]]),
        (RAW, [FIELDS[0], FIELDS[1], FIELDS[1]]),
        (RAW, [FIELDS[0], FIELDS[1], (b"transfer-encoding", b"chunked")]),
        (RAW[:-1], FIELDS),
        (b"\r\n" + RAW, FIELDS),
        (RAW.replace(b"th: 3", b"th: 33"), FIELDS),
        (RAW.replace(b"A: b", b"A: c"), FIELDS),
        (RAW.replace(b"A: b", b"B: b"), FIELDS),
        (RAW.replace(b" / ", b" /a "), FIELDS),
        (RAW.replace(b"POST", b"PUT"), FIELDS),
    ],
)
def test_fields_that_are_not_those_of_the_packet(packet: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    assert KnownHead.of(packet, LINE, fields, {}, 65536) is None


def test_again() -> None:
    known = KnownHead.of(RAW, LINE, FIELDS, {"a": 1}, 65536)
    assert known is not None
    assert known.scope == {"a": 1}
    assert known.again_in(RAW + b"abc") == (FIELDS, 3, len(RAW))
    fields = [FIELDS[0], (b"content-length", b"123456789012"), FIELDS[2]]
    assert known.again_in(RAW.replace(b"3", b"123456789012")) == (fields, 123456789012, len(RAW) + 11)
    assert known.again_in(RAW.replace(b"3", b"1234567890123")) is None
    assert all(known.again_in(RAW[:end]) is None for end in range(len(RAW)))
