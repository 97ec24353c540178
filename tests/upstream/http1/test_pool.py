"""Which connection a request gets, who waits for one, and what becomes of those that nobody uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ai_gateway_mw.errors import Overloaded, UpstreamInterrupted, UpstreamUnreachable
from ai_gateway_mw.upstream.http1 import HTTPTransport, Origin, PoolLimits, Timeouts
from ai_gateway_mw.upstream.http1.dialling import TLS
from ai_gateway_mw.upstream.http1.pools import Pools
from tests.fake_upstream import closed_port
from tests.upstream.http1.asking import SOON, ask, body_of, get
from tests.upstream.http1.raw_server import FIN, HANG, RawServer, Script

pytestmark = pytest.mark.anyio

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"
AT_ONCE = Timeouts(connect=5, first_byte=5, idle=5, pool=0.02)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def narrow() -> AsyncIterator[HTTPTransport]:
    """One connection for an origin."""
    async with HTTPTransport(PoolLimits(connections=1)) as made:
        yield made


def by_path(request: bytes) -> Script:
    """The path /slow gets the beginning of an answer, all others a whole one."""
    return [BEGUN, HANG] if b" /slow" in request else [PLAIN]


async def queued(tasks: int = 1) -> None:
    """Give tasks the turns that they need to get in line."""
    for _ in range(3 * tasks):
        await asyncio.sleep(0)


async def test_a_connection_is_free_as_soon_as_its_answer_is_complete(narrow: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        unread = [await ask(narrow, server.origin) for _ in range(3)]
        assert [await body_of(answer) for answer in unread] == [b"hello"] * 3
        assert server.connections == 1


async def test_the_connection_used_last_is_taken_first(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        await asyncio.gather(*(get(transport, server.origin) for _ in range(3)))
        assert [len(peer.requests) for peer in server.peers] == [1, 1, 1]
        for _ in range(4):
            await get(transport, server.origin)
        assert max(len(peer.requests) for peer in server.peers) == 5


async def test_requests_at_the_same_time_have_connections_of_their_own(transport: HTTPTransport) -> None:
    async with RawServer(answer=lambda request: [PLAIN.replace(b"hello", request.split(b" ")[1][1:])]) as server:
        got = await asyncio.gather(*(get(transport, server.origin, path=f"/{n:05}") for n in range(200)))
        assert [body for _, _, body in got] == [b"%05d" % n for n in range(200)]
        assert transport.connections == server.connections <= 200


async def test_origins_have_limits_of_their_own(narrow: HTTPTransport) -> None:
    """One that hangs takes nothing from the others."""
    async with RawServer(answer=by_path) as hanging, RawServer([PLAIN]) as other:
        answer = await ask(narrow, hanging.origin, path="/slow")
        with pytest.raises(Overloaded):
            await get(narrow, hanging.origin, timeouts=AT_ONCE)
        assert (await get(narrow, other.origin)).body == b"hello"
        answer.close()


async def test_who_waits_is_served_in_order(narrow: HTTPTransport) -> None:
    async with RawServer(answer=by_path) as server:
        first = await ask(narrow, server.origin, path="/slow")
        waiting = [asyncio.create_task(get(narrow, server.origin, path=f"/{n}")) for n in range(20)]
        await queued(20)
        first.close()
        await asyncio.gather(*waiting)
        assert [request.split(b" ")[1] for request in server.requests] == [b"/slow", *(b"/%d" % n for n in range(20))]
        assert server.connections == 2


async def test_who_comes_later_does_not_overtake(narrow: HTTPTransport) -> None:
    async with RawServer(answer=by_path) as server:
        first = await ask(narrow, server.origin, path="/slow")
        waiting = asyncio.create_task(get(narrow, server.origin, path="/waiting"))
        await queued()
        first.close()
        later = asyncio.create_task(get(narrow, server.origin, path="/later"))
        await asyncio.gather(waiting, later)
        assert [request.split(b" ")[1] for request in server.requests][1:] == [b"/waiting", b"/later"]


async def test_waiting_has_an_end(narrow: HTTPTransport) -> None:
    async with RawServer(answer=by_path) as server:
        first = await ask(narrow, server.origin, path="/slow")
        with pytest.raises(Overloaded):
            await get(narrow, server.origin, timeouts=AT_ONCE)
        first.close()
        assert (await get(narrow, server.origin)).body == b"hello"


async def test_who_gives_up_waiting_leaves_the_line(narrow: HTTPTransport) -> None:
    async with RawServer(answer=by_path) as server:
        first = await ask(narrow, server.origin, path="/slow")
        waiting = [asyncio.create_task(get(narrow, server.origin, path=f"/{n}")) for n in range(3)]
        await queued(3)
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
        first.close()
        await asyncio.gather(*waiting[1:])
        assert [request.split(b" ")[1] for request in server.requests][1:] == [b"/1", b"/2"]


@pytest.mark.parametrize("slow", [False, True], ids=["a connection", "a place"])
async def test_who_is_cancelled_when_served_hands_on(narrow: HTTPTransport, slow: bool) -> None:
    async with RawServer(answer=by_path) as server:
        first = await ask(narrow, server.origin, path="/slow" if slow else "/")
        busy = None if slow else await ask(narrow, server.origin, path="/slow")
        waiting = [asyncio.create_task(get(narrow, server.origin, path=f"/{n}")) for n in range(2)]
        await queued(2)
        (busy or first).close()  # serves the first in line, who does not know it yet
        waiting[0].cancel()
        assert (await waiting[1]).body == b"hello"
        assert waiting[0].cancelled()
        assert narrow.connections == 1


async def test_a_connection_that_cannot_be_had_leaves_its_place(narrow: HTTPTransport) -> None:
    with closed_port() as port:
        origin = Origin.of(f"http://127.0.0.1:{port}")
        results = await asyncio.gather(*(get(narrow, origin) for _ in range(5)), return_exceptions=True)
        assert [type(result) for result in results] == [UpstreamUnreachable] * 5
        assert narrow.connections == 0


async def test_who_is_cancelled_while_connecting_leaves_the_place(narrow: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        secure = Origin.of(server.url.replace("http:", "https:"))  # the handshake hangs
        task = asyncio.create_task(get(narrow, secure))
        await server.until(lambda server: bool(server.connections))
        assert narrow.connections == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert narrow.connections == 0
        await server.left_alone()


async def test_only_so_many_connections_are_kept() -> None:
    async with RawServer([PLAIN]) as server, HTTPTransport(PoolLimits(idle=2)) as transport:
        await asyncio.gather(*(get(transport, server.origin) for _ in range(10)))
        await server.until(lambda server: server.open <= 2)
        assert transport.connections <= 2


@pytest.mark.parametrize(
    ("said", "idle", "kept"),
    [
        (b"", 54, True),
        (b"", 56, False),
        (b"Keep-Alive: timeout=5\r\n", 3.9, True),
        (b"Keep-Alive: timeout=5\r\n", 4.1, False),
        (b"Keep-Alive: max=7, Timeout=20\r\n", 18, True),
        (b"Keep-Alive: max=7, Timeout=20\r\n", 20, False),
        (b"Keep-Alive: timeout=20\r\nKeep-Alive: timeout=5\r\n", 4.1, False),
        (b"Keep-Alive: timeout=1\r\n", 0.4, True),
        (b"Keep-Alive: timeout=1\r\n", 0.6, False),
        (b"Keep-Alive: timeout=3600\r\n", 56, False),
        (b"Keep-Alive: timeout=99999999999999999999\r\n", 54, True),
    ],
)
async def test_idle_connections_are_good_for_a_while(clock: Clock, said: bytes, idle: float, kept: bool) -> None:
    script = [PLAIN.replace(b"\r\n\r\n", b"\r\n" + said + b"\r\n")]
    async with RawServer(script) as server, HTTPTransport(clock=clock) as transport:
        await get(transport, server.origin)
        clock.now += idle
        await get(transport, server.origin)
        assert server.connections == (1 if kept else 2)


async def test_a_connection_that_the_server_ends_when_idle_is_forgotten(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN, FIN]) as server:
        for connections in (1, 2, 3):
            await get(transport, server.origin)
            await server.left_alone()
            await queued()
            assert transport.connections == 0
            assert server.connections == connections


async def test_old_connections_go_also_when_newer_ones_are_used(clock: Clock) -> None:
    """A burst leaves many; afterwards one is enough."""
    async with RawServer(answer=by_path) as server, HTTPTransport(clock=clock) as transport:
        await asyncio.gather(*(get(transport, server.origin) for _ in range(5)))
        clock.now += 50
        await get(transport, server.origin)
        clock.now += 10
        answer = await ask(transport, server.origin, path="/slow")
        await server.until(lambda server: server.open == 1)
        answer.close()


async def test_an_origin_that_nobody_asks_for_is_forgotten(clock: Clock) -> None:
    pools = Pools(asyncio.get_running_loop(), PoolLimits(), TLS(None), clock)
    async with RawServer([PLAIN]) as server:
        connection = await pools[server.origin].connection(SOON)
        clock.now += 100
        pools.tidy(clock.now)
        assert len(pools) == 1
        connection.drop()
        pools.tidy(clock.now)
        assert len(pools) == 1
        clock.now += 61
        pools.tidy(clock.now)
        assert len(pools) == 0


async def test_a_closed_transport_has_no_connections_left(transport: HTTPTransport) -> None:
    async with RawServer(answer=by_path) as server:
        await get(transport, server.origin)
        answer = await ask(transport, server.origin, path="/slow")
        answer.take()
        await transport.aclose()
        with pytest.raises(UpstreamInterrupted):
            await answer.read()
        await server.left_alone()
        assert transport.connections == 0


async def test_closing_ends_the_line(narrow: HTTPTransport) -> None:
    async with RawServer(answer=by_path) as server:
        await ask(narrow, server.origin, path="/slow")
        waiting = [asyncio.create_task(get(narrow, server.origin)) for _ in range(3)]
        await queued(3)
        await narrow.aclose()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [Overloaded] * 3


async def test_a_closed_transport_can_be_used_again(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        await get(transport, server.origin)
        await transport.aclose()
        assert (await get(transport, server.origin)).body == b"hello"


def test_each_event_loop_has_connections_of_its_own() -> None:
    transport = HTTPTransport()

    async def two_requests() -> int:
        async with RawServer([PLAIN]) as server:
            await get(transport, server.origin)
            await get(transport, server.origin)
            await transport.aclose()
            return server.connections

    assert [asyncio.run(two_requests()) for _ in range(2)] == [1, 1]


def test_connections_of_another_loop_are_closed_in_it() -> None:
    transport = HTTPTransport()
    loop = asyncio.new_event_loop()

    async def opened() -> RawServer:
        server = await RawServer([PLAIN]).__aenter__()
        await get(transport, server.origin)
        return server

    server = loop.run_until_complete(opened())
    asyncio.run(transport.aclose())
    loop.run_until_complete(server.left_alone())
    loop.run_until_complete(server.__aexit__())
    loop.close()
