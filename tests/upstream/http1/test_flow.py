"""Back-pressure, cancellation, letting go: what an exchange holds, and that it holds nothing afterwards."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable

import pytest

from ai_gateway_mw.errors import Overloaded, UpstreamInterrupted
from ai_gateway_mw.upstream.http1 import Answer, HTTPTransport, Origin, PoolLimits, Timeouts
from tests.upstream.http1.asking import SOON, ask, body_of, get, head_of, until
from tests.upstream.http1.raw_server import FIN, HANG, RawServer, Script

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 5\r\n\r\nhello"
BEGUN = OK + b"Content-Length: 5\r\n\r\nhel"
MiB = 1024 * 1024
AT_MOST = 64 * 1024 + 256 * 1024  # the high-water mark, and one read of the event loop


def by_path(request: bytes) -> Script:
    return [BEGUN, HANG] if b" /slow" in request else [PLAIN]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([OK + b"Content-Length: %d\r\n\r\n" % (50 * MiB), *[b"x" * MiB] * 50], id="length"),
        pytest.param(
            [OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"100000\r\n" + b"x" * MiB + b"\r\n"] * 50, b"0\r\n\r\n"],
            id="chunked",
        ),
        pytest.param([OK + b"\r\n", *[b"x" * MiB] * 50, FIN], id="until-the-end"),
    ],
)
async def test_what_nobody_reads_stays_with_the_upstream(transport: HTTPTransport, script: Script) -> None:
    async with RawServer(script) as server:
        answer = await ask(transport, server.origin)
        for _ in range(30):
            await asyncio.sleep(0.005)
            assert answer.size <= AT_MOST
        assert not answer.complete
        received = 0
        while piece := await answer.read():
            assert len(piece) <= AT_MOST
            received += len(piece)
        assert received == 50 * MiB
        assert answer.complete


async def test_many_small_pieces_take_no_more_than_their_bytes(transport: HTTPTransport) -> None:
    """Some pieces are kept apart, since most readers take them at once; thousands are not."""
    pieces = b"1\r\nx\r\n" * 30_000
    async with RawServer([OK + b"Transfer-Encoding: chunked\r\n\r\n" + pieces, HANG]) as server:
        answer = await ask(transport, server.origin)
        await until(lambda: answer.size == 30_000)
        assert len(answer.chunks) <= 64
        assert answer.take() == b"x" * 30_000
        answer.close()


async def test_an_answer_that_is_let_go_of_ends_its_connection(transport: HTTPTransport) -> None:
    async with RawServer(answer=by_path) as server:
        answer = await ask(transport, server.origin, path="/slow")
        assert transport.connections == 1
        answer.close()
        answer.close()
        assert transport.connections == 0
        await server.left_alone()
        with pytest.raises(UpstreamInterrupted):
            await answer.read()


async def test_closing_a_complete_answer_keeps_its_connection(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        for _ in range(3):
            answer = await ask(transport, server.origin)
            answer.close()
            answer.close()
        assert server.connections == 1


async def test_an_old_answer_cannot_touch_the_next_one(transport: HTTPTransport) -> None:
    async with RawServer(answer=by_path) as server:
        old = await ask(transport, server.origin)
        new = await ask(transport, server.origin, path="/slow")
        old.close()
        old.take()
        assert await new.read() == b"hel"
        assert server.open == 1
        new.close()


async def test_a_request_that_is_cancelled_ends_its_connection(transport: HTTPTransport) -> None:
    async with RawServer([HANG]) as server:
        task = asyncio.create_task(ask(transport, server.origin))
        await server.asked(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.connections == 0
        await server.left_alone()


async def test_a_read_that_is_cancelled_ends_its_connection(transport: HTTPTransport) -> None:
    async with RawServer(answer=by_path) as server:
        answer = await ask(transport, server.origin, path="/slow")
        assert await answer.read() == b"hel"
        task = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.connections == 0
        await server.left_alone()
        with pytest.raises(UpstreamInterrupted):
            await answer.read()


@pytest.mark.parametrize("turns", range(15))
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_cancelled_at_any_moment_no_place_is_lost_or_won(turns: int, warm: bool) -> None:
    async with RawServer(answer=by_path) as server, HTTPTransport(PoolLimits(connections=3)) as transport:
        if warm:
            await asyncio.gather(*(get(transport, server.origin) for _ in range(3)))
        tasks = [asyncio.create_task(get(transport, server.origin)) for _ in range(6)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        held = [await ask(transport, server.origin, path="/slow") for _ in range(3)]
        with pytest.raises(Overloaded):
            await ask(transport, server.origin, timeouts=Timeouts(pool=0.01))
        for answer in held:
            answer.close()
        assert transport.connections == 0
        await server.left_alone()


async def test_an_answer_before_the_request_is_out_ends_the_connection(transport: HTTPTransport) -> None:
    """The rest of the request would be read as the next one."""
    async with RawServer(reads=False) as server:
        head, content = head_of(length=32 * MiB), b"x" * 32 * MiB
        task = asyncio.create_task(transport.exchange(server.origin, head, content, SOON))
        await server.until(lambda server: bool(server.peers))
        server.peers[0].writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello")
        answer = await task
        assert (answer.status, await body_of(answer)) == (413, b"hello")
        assert transport.connections == 0


async def test_many_streams_at_once_are_not_mixed(transport: HTTPTransport) -> None:
    def answer(request: bytes) -> Script:
        name = request.split(b" ")[1][1:]
        return [OK + b"Transfer-Encoding: chunked\r\n\r\n", *[b"5\r\n" + name + b"\r\n"] * 5, b"0\r\n\r\n"]

    async with RawServer(answer=answer) as server:
        got = await asyncio.gather(*(get(transport, server.origin, path=f"/{n:05}") for n in range(300)))
        assert [body for _, _, body in got] == [b"%05d" % n * 5 for n in range(300)]


# Poured ---------------------------------------------------------------------------------------------------------------

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


async def test_each_piece_is_poured_when_it_comes(transport: HTTPTransport) -> None:
    pieces: list[bytes] = []
    async with RawServer([CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n", b"5\r\nthree\r\n0\r\n\r\n"]) as server:
        answer = await ask(transport, server.origin)
        await answer.pour(pieces.append)
        assert b"".join(pieces) == b"onetwothree"
        assert answer.complete
        assert (await get(transport, server.origin)).body == b"onetwothree"
        assert server.connections == 1


async def test_what_is_poured_waits_for_whoever_takes_it(transport: HTTPTransport) -> None:
    """Meanwhile no more is read than is held for anybody."""
    gate, taken = asyncio.Event(), 0

    def into(piece: bytes) -> Awaitable[None] | None:
        nonlocal taken
        taken += len(piece)
        return None if gate.is_set() else wait()

    async def wait() -> None:
        await gate.wait()

    async with RawServer([CHUNKED, *[b"100000\r\n" + b"x" * MiB + b"\r\n"] * 20, b"0\r\n\r\n"]) as server:
        answer = await ask(transport, server.origin)
        pouring = asyncio.create_task(answer.pour(into))
        for _ in range(30):
            await asyncio.sleep(0.005)
            assert taken + answer.size <= 2 * AT_MOST
        gate.set()
        await pouring
        assert taken == 20 * MiB


async def test_an_answer_that_breaks_off_while_it_is_poured_says_so(transport: HTTPTransport) -> None:
    pieces: list[bytes] = []
    async with RawServer([CHUNKED, b"3\r\none\r\n", FIN]) as server:
        answer = await ask(transport, server.origin)
        with pytest.raises(UpstreamInterrupted):
            await answer.pour(pieces.append)
        assert pieces == [b"one"]


async def test_whoever_takes_what_is_poured_may_fail(transport: HTTPTransport) -> None:
    def into(piece: bytes) -> None:
        if piece == b"two":
            raise ZeroDivisionError

    async with RawServer([CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n", HANG]) as server:
        answer = await ask(transport, server.origin)
        with pytest.raises(ZeroDivisionError):
            await answer.pour(into)
        answer.close()
        assert transport.connections == 0


async def test_to_be_cancelled_while_pouring_ends_the_connection(transport: HTTPTransport) -> None:
    async with RawServer([CHUNKED, b"3\r\none\r\n", HANG]) as server:
        answer = await ask(transport, server.origin)
        pieces: list[bytes] = []
        task = asyncio.create_task(answer.pour(pieces.append))
        await until(lambda: pieces)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.connections == 0


async def test_a_piece_that_was_taken_is_sent_though_its_reader_is_cancelled(transport: HTTPTransport) -> None:
    """In the same moment: whoever watched it go by counts on that."""
    sent: list[bytes] = []

    async def send(piece: bytes) -> None:
        sent.append(piece)

    def into(piece: bytes) -> Awaitable[None] | None:
        if piece == b"one":
            return None
        asyncio.get_running_loop().call_soon(task.cancel)
        return send(piece)

    async with RawServer([CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n", HANG]) as server:
        answer = await ask(transport, server.origin)
        task = asyncio.create_task(answer.pour(into))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sent in ([b"two"], [])  # cancelled before its turn, or after it
        assert transport.connections == 0


async def test_who_leaves_when_all_has_come_ends_no_other_request(transport: HTTPTransport) -> None:
    """In one round of the event loop an answer arrives, another request takes its connection, and its client leaves."""
    loop = asyncio.get_running_loop()
    others: list[asyncio.Task[Answer]] = []

    def leave() -> None:
        others.append(asyncio.create_task(ask(transport, origin)))
        loop.call_soon(first.cancel)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        origin = Origin.of(f"http://127.0.0.1:{listening.getsockname()[1]}")
        first = asyncio.create_task(ask(transport, origin))
        upstream, _ = await loop.sock_accept(listening)
        with upstream:
            await loop.sock_recv(upstream, 4096)
            upstream.send(PLAIN)
            loop.call_soon(leave)
            await asyncio.gather(first, return_exceptions=True)
            if first.cancelled() and transport.connections == 1:
                await loop.sock_recv(upstream, 4096)
                upstream.send(PLAIN)
                assert await body_of(await others[0]) == b"hello"
            others[0].cancel()
            await asyncio.gather(*others, return_exceptions=True)
