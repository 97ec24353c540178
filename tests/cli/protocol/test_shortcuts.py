"""What our own edge does beside ASGI: the client sees the same as if it had been done with messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ai_gateway_mw.asgi import body_at_hand, body_writer, shortcuts
from tests.cli.protocol.wire import Wire, turns

pytestmark = pytest.mark.anyio

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
REQUESTS = {
    "GET": GET,
    "HEAD": GET.replace(b"GET", b"HEAD"),
    "HTTP/1.0": GET.replace(b"1.1", b"1.0"),
    "body": b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc",
    "body that is waited for": b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n",
    "last": GET[:-2] + b"connection: close\r\n\r\n",
}
LARGE = b"a" * 100_000
ANSWERS: dict[str, tuple[int, list[tuple[bytes, bytes]], bytes]] = {
    "length": (200, [(b"a", b"b"), (b"content-length", b"3"), (b"c", b"d")], b"abc"),
    "nothing": (200, [(b"content-length", b"0")], b""),
    "large": (200, [(b"content-length", b"100000")], LARGE),
    "no length": (200, [(b"a", b"b")], b"abc"),
    "nothing, without a length": (200, [], b""),
    "too short": (200, [(b"content-length", b"4")], b"abc"),
    "too long": (200, [(b"content-length", b"2")], b"abc"),
    "no content": (204, [], b""),
    "no content, with some": (204, [(b"content-length", b"3")], b"abc"),
    "not modified": (304, [(b"content-length", b"3")], b"abc"),
    "last": (200, [(b"content-length", b"3"), (b"connection", b"close")], b"abc"),
    "two heads": (200, [(b"content-length", b"3"), (b"a", b"b\r\nc: d")], b"abc"),
}


async def answered(request: bytes, app: Any) -> tuple[list[bytes], str]:
    async with Wire(app) as wire:
        await wire.hear(request, request)
        await turns(20)
        return [line for line in wire.said.split(b"\r\n") if b"req_" not in line], wire.end


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize(("status", "fields", "body"), ANSWERS.values(), ids=ANSWERS)
async def test_a_whole_answer(request_: bytes, status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    async def written(scope: Any, receive: Any, send: Any) -> None:
        assert shortcuts(send).write_answer(status, fields, body)
        assert not shortcuts(send).write_answer(status, fields, body)

    async def sent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    assert await answered(request_, written) == await answered(request_, sent)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize(
    "fields", [[], [(b"content-length", b"6")], [(b"content-length", b"5")]], ids=["no length", "length", "too long"]
)
async def test_pieces_of_a_body(request_: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    pieces = [b"a", b"", b"bc", b"def"]

    async def written(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        write = body_writer(send)
        for piece in pieces:
            assert write(piece) is None
        await send({"type": "http.response.body"})

    async def sent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    assert await answered(request_, written) == await answered(request_, sent)


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("first", [b"", b"abc", LARGE], ids=["nothing", "some", "large"])
@pytest.mark.parametrize(
    "fields",
    [[], [(b"content-length", b"6")], [(b"connection", b"close")], [(b"a", b"b\r\nc: d")]],
    ids=["no length", "length", "last", "two heads"],
)
async def test_the_beginning_of_an_answer(request_: bytes, fields: list[tuple[bytes, bytes]], first: bytes) -> None:
    async def written(scope: Any, receive: Any, send: Any) -> None:
        write = shortcuts(send).begin_answer(200, fields, first)
        assert write is not None
        assert shortcuts(send).begin_answer(200, fields, first) is None
        assert write(b"def") is None
        await send({"type": "http.response.body"})

    async def sent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for piece in (first, b"def"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})

    assert await answered(request_, written) == await answered(request_, sent)


async def test_an_answer_begins_with_one_write() -> None:
    async def written(scope: Any, receive: Any, send: Any) -> None:
        assert shortcuts(send).begin_answer(200, [], b"abc") is not None
        assert len(wire.transport.writes) == 1
        await send({"type": "http.response.body"})

    async with Wire(written) as wire:
        await wire.hear(GET)
        assert wire.transport.writes[0].endswith(b"\r\n\r\n3\r\nabc\r\n")
        assert wire.said.endswith(b"\r\n0\r\n\r\n")


async def test_of_an_answer_to_a_client_that_has_left_nothing_is_written() -> None:
    has_left = asyncio.Event()
    done: list[object] = []

    async def written(scope: Any, receive: Any, send: Any) -> None:
        await has_left.wait()
        write = shortcuts(send).begin_answer(200, [], b"abc")
        assert write is not None
        done.append(write(b"def"))

    async with Wire(written) as wire:
        await wire.hear(GET)
        await wire.lose()
        has_left.set()
        await turns()
    assert done == [None]
    assert not wire.said


async def test_a_piece_without_a_head() -> None:
    async def written(scope: Any, receive: Any, send: Any) -> None:
        shortcuts(send).write_body(b"a")

    lines, _ = await answered(GET, written)
    assert lines[0].startswith(b"HTTP/1.1 500 ")


async def test_a_piece_that_the_client_does_not_take_is_waited_for() -> None:
    passed: list[bytes] = []

    async def written(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for piece in (b"a", b"b"):
            if (wait := shortcuts(send).write_body(piece)) is not None:
                await wait
            passed.append(piece)
        await send({"type": "http.response.body"})

    async with Wire(written) as wire:
        wire.connection.pause_writing()
        await wire.hear(GET)
        assert not passed
        wire.connection.resume_writing()
        await turns()
        assert passed == [b"a", b"b"]
        assert wire.said.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n")


async def test_an_answer_is_not_written_to_a_client_that_takes_nothing() -> None:
    done: list[bool] = []

    async def written(scope: Any, receive: Any, send: Any) -> None:
        done.append(shortcuts(send).write_answer(200, [], b"a"))
        done.append(shortcuts(send).begin_answer(200, [], b"a") is not None)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async with Wire(written) as wire:
        wire.connection.pause_writing()
        await wire.hear(GET)
        assert done == [False, False]
        assert not wire.said
        wire.connection.resume_writing()
        await turns()
        assert wire.said.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_the_body_is_at_hand_once() -> None:
    bodies: list[bytes | None] = []

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        bodies.extend([body_at_hand(receive, 10), body_at_hand(receive, 10)])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async with Wire(reading) as wire:
        await wire.hear(REQUESTS["body"], REQUESTS["body"], GET, REQUESTS["body"][:-1])
    assert bodies == [b"abc", None, b"abc", None, b"", None, None, None]


async def test_of_others_nothing_is_known() -> None:
    async def channel(*_: Any) -> Any: ...

    assert body_at_hand(channel, 10) is None
    assert not shortcuts(channel).write_answer(200, [], b"")
    assert shortcuts(channel).begin_answer(200, [], b"") is None
    assert not shortcuts(channel).when_gone(None)
    assert not shortcuts(channel).drop()
