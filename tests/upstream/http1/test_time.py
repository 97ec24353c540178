"""What takes too long ends; what only takes its time does not."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from ai_gateway_mw.errors import ConnectTimeout, Overloaded, UpstreamInterrupted, UpstreamTimeout
from ai_gateway_mw.upstream.http1 import HTTPTransport, Origin, PoolLimits, Timeouts
from ai_gateway_mw.upstream.http1.sweep import Sweep
from tests.upstream.http1.asking import ask, body_of, get
from tests.upstream.http1.raw_server import FIN, HANG, RST, RawServer, Script

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SHORT = Timeouts(connect=0.05, first_byte=0.05, idle=0.05, pool=0.05)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([HANG], id="nothing"),
        pytest.param([OK, HANG], id="part-of-a-head"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n", HANG], id="only-an-informational-answer"),
        pytest.param([OK + b"Content-Length: 5\r\n\r\nhel", HANG], id="part-of-a-body"),
        pytest.param([OK + b"\r\nhello", HANG], id="a-body-without-an-end"),
        pytest.param([CHUNKED + b"5\r\nhello\r\n", HANG], id="a-body-without-its-last-chunk"),
        pytest.param([CHUNKED + b"5\r\nhello\r\n0\r\n", HANG], id="a-body-without-its-last-line"),
    ],
)
async def test_silence_is_a_timeout_and_ends_the_connection(transport: HTTPTransport, script: Script) -> None:
    async with RawServer(script) as server:
        with pytest.raises(UpstreamTimeout):
            await get(transport, server.origin, timeouts=SHORT)
        await server.left_alone()
        assert transport.connections == 0


async def test_what_had_arrived_before_the_silence_is_handed_out(transport: HTTPTransport) -> None:
    async with RawServer([OK + b"Content-Length: 5\r\n\r\nhel", HANG]) as server:
        answer = await ask(transport, server.origin, timeouts=SHORT)
        assert await answer.read() == b"hel"
        with pytest.raises(UpstreamTimeout):
            await answer.read()


async def test_a_body_that_goes_on_may_take_longer_than_each_of_its_pauses() -> None:
    now = 1000.0
    timeouts = Timeouts(connect=5, first_byte=5, idle=5, pool=5)
    async with (
        RawServer([CHUNKED, *[b"1\r\nx\r\n"] * 100, b"0\r\n\r\n"]) as server,
        HTTPTransport(clock=lambda: now) as transport,
    ):
        answer = await ask(transport, server.origin, timeouts=timeouts)
        body = b""
        while piece := await answer.read():
            body += piece
            now += 4
        assert body == b"x" * 100
        assert now > 1100


async def test_a_reader_may_take_its_time(transport: HTTPTransport) -> None:
    """The pause is counted from where somebody waits, not from the last piece."""
    async with RawServer([OK + b"Content-Length: 6\r\n\r\nabc", b"def"]) as server:
        answer = await ask(transport, server.origin, timeouts=SHORT)
        await asyncio.sleep(0.25)
        assert await body_of(answer) == b"abcdef"


async def test_a_request_that_is_not_taken_is_a_timeout(transport: HTTPTransport) -> None:
    async with RawServer([OK], reads=False) as server:
        with pytest.raises(UpstreamTimeout):
            await ask(transport, server.origin, content=b"x" * 32_000_000, timeouts=SHORT)
        assert transport.connections == 0


@pytest.mark.parametrize(("later", "ends"), [(6, False), (11, True)])
async def test_the_time_for_an_answer_begins_when_the_request_is_out(later: float, ends: bool) -> None:
    """Of ten seconds, writing takes six; then there are ten for the answer."""
    now = 1000.0
    content = b"x" * 32_000_000
    timeouts = Timeouts(connect=5, first_byte=10, idle=5, pool=5)
    async with RawServer(reads=False) as server, HTTPTransport(clock=lambda: now) as transport:
        task = asyncio.create_task(ask(transport, server.origin, content=content, timeouts=timeouts))
        await server.until(lambda server: bool(server.peers))
        peer = server.peers[0]
        now += 6
        await a_round_of_the_sweep()
        peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
        head = await peer.reader.readuntil(b"\r\n\r\n")
        await peer.reader.readexactly(len(content))
        assert head.startswith(b"POST")
        now += later
        await a_round_of_the_sweep()
        peer.writer.write(OK + b"Content-Length: 0\r\n\r\n")
        if ends:
            with pytest.raises(UpstreamTimeout):
                await task
        else:
            assert (await task).complete


async def a_round_of_the_sweep() -> None:
    await asyncio.sleep(0.15)


async def test_a_handshake_that_hangs_is_a_connect_timeout(transport: HTTPTransport) -> None:
    async with RawServer(reads=False) as server:
        with pytest.raises(ConnectTimeout):
            await get(transport, Origin.of(f"https://127.0.0.1:{server.port}"), timeouts=SHORT)
        assert transport.connections == 0


class Timer:
    def __init__(self, delay: float, callback: Callable[[], None], timers: list[Timer]) -> None:
        self.delay = delay
        self.callback = callback
        self.cancel = lambda: timers.remove(self) if self in timers else None


class Loop:
    """Timers that a test lets run out."""

    def __init__(self) -> None:
        self.timers: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(delay, callback, self.timers))
        return self.timers[-1]

    def elapse(self) -> None:
        due = self.timers[:]
        self.timers.clear()
        for timer in due:
            timer.callback()


class Waiting:
    """A connection, as the sweep sees it."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.ended = False

    def time_out(self) -> None:
        self.ended = True


class Tidy:
    """What is called at each round."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.left = False

    def __call__(self, now: float) -> bool:
        self.times.append(now)
        return self.left


def test_one_timer_is_enough_and_none_is_left_when_there_is_nothing_to_end() -> None:
    loop, tidy = Loop(), Tidy()
    sweep = Sweep(cast(Any, loop), lambda: 10.0, tidy)
    waiting = [Waiting(9.9), Waiting(10.0), Waiting(10.1), Waiting(math.inf)]
    for connection in waiting:
        sweep.watch(cast(Any, connection))
    assert len(loop.timers) == 1
    loop.elapse()
    assert [connection.ended for connection in waiting] == [True, True, False, False]
    assert (len(loop.timers), tidy.times) == (1, [10.0])
    for connection in waiting:
        sweep.discard(cast(Any, connection))
    loop.elapse()
    assert not loop.timers
    sweep.watch(cast(Any, waiting[0]))
    assert len(loop.timers) == 1


def test_what_is_idle_is_looked_at_now_and_then() -> None:
    loop, tidy = Loop(), Tidy()
    tidy.left = True
    sweep, connection = Sweep(cast(Any, loop), lambda: 10.0, tidy), cast(Any, Waiting(10.1))
    sweep.watch(connection)
    sweep.discard(connection)
    delays = [timer.delay for timer in loop.timers]
    loop.elapse()
    delays += [timer.delay for timer in loop.timers]
    sweep.watch(connection)
    sweep.watch(connection)
    delays += [timer.delay for timer in loop.timers]
    assert delays == [0.1, 5.0, 0.1]


# One deadline for all of it ------------------------------------------------------------------------------------------


def within(seconds: float) -> Timeouts:
    """Plenty of time for each part, and little for all of them."""
    return Timeouts(connect=5, first_byte=5, idle=5, pool=5, deadline=time.monotonic() + seconds)


async def test_the_deadline_counts_for_the_head(transport: HTTPTransport) -> None:
    async with RawServer([HANG]) as server:
        with pytest.raises(UpstreamTimeout):
            await get(transport, server.origin, timeouts=within(0.05))


async def test_the_deadline_counts_for_a_place(transport: HTTPTransport) -> None:
    async with RawServer([CHUNKED, HANG]) as server, HTTPTransport(PoolLimits(connections=1)) as narrow:
        answer = await ask(narrow, server.origin)
        with pytest.raises(Overloaded):
            await get(narrow, server.origin, timeouts=within(0.05))
        answer.close()


async def test_the_deadline_counts_for_the_handshake(transport: HTTPTransport) -> None:
    async with RawServer(reads=False) as server:
        with pytest.raises(ConnectTimeout):
            await get(transport, Origin.of(f"https://127.0.0.1:{server.port}"), timeouts=within(0.05))


async def test_the_deadline_counts_for_a_request_that_is_not_taken(transport: HTTPTransport) -> None:
    async with RawServer(reads=False) as server:
        with pytest.raises(UpstreamTimeout):
            await ask(transport, server.origin, content=b"x" * 32_000_000, timeouts=within(0.05))


async def test_the_body_may_come_after_it(transport: HTTPTransport) -> None:
    async with RawServer([CHUNKED, b"1\r\nx\r\n", b"0\r\n\r\n"]) as server:
        answer = await ask(transport, server.origin, timeouts=within(0.2))
        await asyncio.sleep(0.35)
        assert await body_of(answer) == b"x"


# To wait for news and go on without them ------------------------------------------------------------------------------


async def test_news_that_do_not_come_end_nothing(transport: HTTPTransport) -> None:
    async with RawServer([CHUNKED + b"3\r\none\r\n", HANG]) as server:
        answer = await ask(transport, server.origin)
        assert await answer.news(5)
        assert answer.take() == b"one"
        assert not await answer.news(0.01)
        assert not await answer.news(-1)
        server.peers[0].writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        assert await answer.news(5)
        assert await body_of(answer) == b"two"
        assert await answer.news(0)  # its end


@pytest.mark.parametrize("end", [FIN, RST], ids=["closed", "reset"])
async def test_a_break_is_news_too(transport: HTTPTransport, end: Any) -> None:
    async with RawServer([CHUNKED, end]) as server:
        answer = await ask(transport, server.origin)
        assert await answer.news(5)
        with pytest.raises(UpstreamInterrupted):
            await answer.read()


async def test_whoever_is_cancelled_while_waiting_for_news_ends_the_connection(transport: HTTPTransport) -> None:
    async with RawServer([CHUNKED, HANG]) as server:
        answer = await ask(transport, server.origin)
        task = asyncio.create_task(answer.news(5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.connections == 0


async def test_framing_is_no_news(transport: HTTPTransport) -> None:
    """An upstream that drips it gets no more time for content."""
    async with RawServer([CHUNKED, b"1", b"0", b";a", b"=b", HANG]) as server:
        answer = await ask(transport, server.origin)
        assert not await answer.news(0.05)
        answer.close()


async def test_framing_does_not_put_off_the_end_of_what_is_poured(transport: HTTPTransport) -> None:
    pieces: list[bytes] = []
    timeouts = Timeouts(connect=5, first_byte=5, idle=0.3, pool=5)
    async with RawServer([CHUNKED + b"1\r\na\r\n", *[b"0"] * 3000, HANG]) as server:
        answer = await ask(transport, server.origin, timeouts=timeouts)
        with pytest.raises(UpstreamTimeout):
            await answer.pour(pieces.append)
        assert pieces == [b"a"]
