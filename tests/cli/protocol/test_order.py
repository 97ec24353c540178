"""What happens in which order on one connection: packets, answers, faults, the end."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from ai_gateway_mw.cli.protocol import Limits
from ai_gateway_mw.cli.protocol.parsing import RequestParser
from tests.cli.protocol.talking import CHUNKED, GET, HEAD, LAST, App, refused
from tests.cli.protocol.wire import Wire, turns

pytestmark = pytest.mark.anyio

POST = HEAD + b"content-length: 3\r\n\r\n"


def get(path: str) -> bytes:
    return f"GET /{path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def post(path: str, length: int) -> bytes:
    return f"POST /{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode()


async def test_a_small_answer_is_written_at_once() -> None:
    async with Wire(App()) as wire:
        await wire.hear(GET)
        assert len(wire.transport.writes) == 1


async def test_a_large_body_is_not_copied_to_its_head() -> None:
    async with Wire(App()) as wire:
        await wire.hear(get("large"))
        assert [len(data) for data in wire.transport.writes[1:]] == [100_001]


async def test_a_head_that_nobody_waits_for_is_not_written() -> None:
    async with Wire(App()) as wire:
        wire.connection.data_received(get("head"))
        await wire.lose()
        assert wire.said == b""


async def test_a_head_precedes_its_body_where_the_client_reads_slowly() -> None:
    async with Wire(App()) as wire:
        wire.connection.pause_writing()
        await wire.hear(get("stream"))
        assert wire.said == b""
        wire.connection.resume_writing()
        await turns()
        assert wire.said.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


async def test_stopped_before_the_head_was_written() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise asyncio.CancelledError

    async with Wire(app) as wire:
        await wire.hear(GET)
        assert refused(wire.said) == (503, "overloaded")


async def test_100_continue_comes_before_the_head() -> None:
    async with Wire(App()) as wire:
        await wire.hear(HEAD + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert wire.said == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.hear(b"abc")
        assert wire.said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_no_request_is_taken_after_a_close_in_the_same_packet() -> None:
    """The server ends while the rest of an answered request comes; what follows it is not the app's."""
    app = App()
    async with Wire(app) as wire:
        await wire.hear(post("early", 6), b"abc")
        wire.connection.shutdown()
        await wire.hear(b"def" + GET * 20)
        assert app.asked == 1
        assert wire.end == "half-closed"


async def test_the_server_ends_while_a_request_waits_for_its_answer() -> None:
    async with Wire(App()) as wire:
        wire.connection.data_received(GET)
        wire.connection.shutdown()
        await turns()
        assert b"\r\nconnection: close\r\n" in wire.said
        assert wire.end == "closed"


async def test_the_server_ends_while_a_head_comes() -> None:
    async with Wire(App()) as wire:
        await wire.hear(GET[:20])
        wire.connection.shutdown()
        assert not wire.end
        await wire.hear(GET[20:])
        assert wire.said.endswith(b"GET / host ")
        assert wire.end == "closed"


@pytest.mark.parametrize("said", [b"", GET], ids=["new", "idle"])
async def test_the_server_ends_while_nothing_comes(said: bytes) -> None:
    async with Wire(App()) as wire:
        await wire.hear(said)
        wire.connection.shutdown()
        wire.connection.shutdown()
        assert wire.end == "closed"


async def test_a_fault_after_requests_that_wait() -> None:
    """It has its turn after theirs, and nothing has one after it."""
    app = App()
    async with Wire(app) as wire:
        await wire.hear(post("", 3), b"abc" + get("stream") + b"nonsense\r\n\r\n" + GET, GET)
        first, second, third = (b"HTTP/1.1 " + answer for answer in wire.said.split(b"HTTP/1.1 ")[1:])
        assert first.endswith(b" abc")
        assert second.endswith(b"0\r\n\r\n")
        assert refused(third) == (400, "invalid_request")
        assert app.asked == 2
        assert wire.end == "half-closed"


@pytest.mark.parametrize("path", ["early", "waiting", "head", "endless", ""])
@pytest.mark.parametrize("cut", range(1, 90, 8))
async def test_nothing_is_left_of_a_client_that_leaves(path: str, cut: int) -> None:
    """Wherever in its second request it was: `Wire` looks."""
    said = post(path, 20) + b"x" * 20
    async with Wire(App()) as wire:
        await wire.hear(GET, said[:cut])
        await wire.lose(ConnectionResetError())


async def test_a_body_that_the_app_does_not_read_stays_with_the_client() -> None:
    async with Wire(App()) as wire:
        await wire.hear(get("head") + post("early", 1_000_000), b"x" * 70_000)
        assert wire.transport.is_reading_paused


async def test_a_body_that_waits_for_the_app_is_not_taken_for_framing() -> None:
    app = App()
    async with Wire(app, Limits(framing=1000)) as wire:
        await wire.hear(get("head") + post("", 200_000), b"x" * 70_000)
        await wire.loop.passes(60)
        assert wire.transport.is_reading_paused
        await wire.hear(b"x" * 1000)
        await wire.loop.passes(5)
        assert wire.end == ""
        assert b"413" not in wire.said


async def test_an_endless_head_in_one_packet() -> None:
    async with Wire(App()) as wire:
        await wire.hear(b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 70_000)
        assert refused(wire.said) == (431, "request_too_large")


async def test_a_large_body_before_a_head_in_one_packet() -> None:
    """Its bytes are not those of the head."""
    async with Wire(App()) as wire:
        await wire.hear(post("early", 100_000) + b"x" * 100_000 + GET[:-2], b"\r\n" + LAST)
        assert wire.said.endswith(b"GET /last host,connection ")


async def test_framing_instead_of_content_in_one_packet() -> None:
    async with Wire(App()) as wire:
        await wire.hear(CHUNKED, b"1;" + b"a" * 70_000)
        assert refused(wire.said) == (413, "request_too_large")


async def test_who_begins_to_wait_when_the_way_is_free_again_does_not_wait() -> None:
    async with Wire(App()) as wire:
        await wire.hear(get("waiting"))
        sending = wire.connection.sending
        wire.connection.pause_writing()
        waiting = sending.unclogged()  # as a piece of a stream leaves behind that clogs the way
        wire.connection.resume_writing()
        await asyncio.wait_for(waiting, 1)


async def test_trailers_are_counted_as_they_come() -> None:
    """Also where the answer is out, and the client could go on for ever."""
    async with Wire(App()) as wire:
        await wire.hear(b"POST /early HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        await wire.hear(*[b"a: b\r\n" * 40] * 3)
        assert wire.end


async def test_a_connection_that_is_gone_leaves_nothing_for_the_cycle_collector() -> None:
    async with Wire(App()) as wire:
        gc.collect()
        await wire.hear(GET, GET[:10])
        gc.disable()
        try:
            await wire.lose()
            del wire.connection
            assert not any(type(each) is RequestParser for each in gc.get_objects())
        finally:
            gc.enable()
