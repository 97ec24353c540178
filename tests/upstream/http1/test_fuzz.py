"""Whatever bytes come: an answer or an error of ours, in time, and nothing of it in anybody else's answer."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import pytest

from ai_gateway_mw.errors import UpstreamInterrupted, UpstreamTimeout
from ai_gateway_mw.upstream.http1 import HTTPTransport, PoolLimits, Timeouts
from tests.upstream.http1.asking import get
from tests.upstream.http1.raw_server import FIN, HANG, RawServer, Script
from tests.upstream.http1.test_wire import BROKEN, CHUNKED, EVIL, GOOD, SURPLUS, chunk

pytestmark = pytest.mark.anyio

SHORT = Timeouts(connect=5, first_byte=0.1, idle=0.1, pool=20)
LONG = Timeouts(connect=20, first_byte=20, idle=20, pool=20)
CASES = 100  # for each seed, all at once
WORDS = [b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b"0\r\n\r\n", b"Content-Length: 3\r\n", b"HTTP/1.1 200 OK\r\n"]
WORDS += [b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"-1", b"ffffffff", b"\xff", EVIL]
SEEDS = [b"".join(piece for piece in case.script if isinstance(piece, bytes)) for case in GOOD.values()]
SEEDS += [b"".join(piece for piece in case.script if isinstance(piece, bytes)) for case in SURPLUS.values()]
SEEDS += [b"".join(piece for piece in script if isinstance(piece, bytes)) for script in BROKEN.values()]
SEEDS = [seed for seed in SEEDS if len(seed) < 2000]


def mutated(data: bytes, randomness: random.Random) -> bytes:
    for _ in range(randomness.randint(1, 4)):
        at = randomness.randint(0, len(data))
        to = min(len(data), at + randomness.randint(0, 8))
        kind = randomness.randrange(6)
        if kind == 0:  # drop
            data = data[:at] + data[to:]
        elif kind == 1:  # repeat
            data = data[:to] + data[at:to] * 3 + data[to:]
        elif kind == 2:  # replace
            data = data[:at] + randomness.randbytes(to - at) + data[to:]
        elif kind == 3:  # insert
            data = data[:at] + randomness.choice(WORDS) + data[at:]
        elif kind == 4:  # flip a bit
            data = (
                data[:at]
                + bytes([byte ^ (1 << randomness.randrange(8)) for byte in data[at : at + 1]])
                + data[at + 1 :]
            )
        else:  # end early
            data = data[:at]
    return data


def in_pieces(data: bytes, randomness: random.Random) -> Script:
    cuts = sorted(randomness.randint(0, len(data)) for _ in range(randomness.randint(0, 2)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [*(piece for piece in pieces if piece), randomness.choice([FIN, HANG])]


async def ended(transport: HTTPTransport, server: RawServer, path: str) -> None:
    """Ask, and do not mind what comes; an error of another kind fails the test."""
    with suppress(UpstreamInterrupted, UpstreamTimeout):
        await get(transport, server.origin, path=path, timeouts=SHORT)


@pytest.mark.parametrize("seed", range(8))
async def test_any_bytes_end_well(seed: int) -> None:
    randomness = random.Random(seed)
    scripts = [in_pieces(mutated(randomness.choice(SEEDS), randomness), randomness) for _ in range(CASES)]

    async def one(number: int) -> None:
        async with HTTPTransport() as transport:
            await ended(transport, server, f"/{number}")

    async with RawServer(answer=lambda request: scripts[int(request.split(b" ")[1][1:])]) as server:
        async with asyncio.timeout(20):
            await asyncio.gather(*(one(number) for number in range(CASES)))
        await server.left_alone()


@pytest.mark.parametrize("seed", range(5))
async def test_any_bytes_touch_nobody_elses_answer(seed: int) -> None:
    """Connections are few, and shared by those who get rubbish and those who get their own path back."""
    randomness = random.Random(seed)
    rubbish = [mutated(randomness.choice(SEEDS), randomness) for _ in range(CASES)]

    def answer(request: bytes) -> Script:
        path = request.split(b" ")[1]
        return [rubbish[int(path[6:])] if path.startswith(b"/fuzz/") else CHUNKED + chunk(path) + b"0\r\n\r\n"]

    async def both(number: int) -> None:
        await ended(transport, server, f"/fuzz/{number}")
        assert (await get(transport, server.origin, path=f"/echo/{number}", timeouts=LONG)).body == b"/echo/%d" % number

    async with RawServer(answer=answer) as server, HTTPTransport(PoolLimits(connections=20)) as transport:
        await asyncio.gather(*(both(number) for number in range(CASES)))


@pytest.mark.parametrize("seed", range(5))
async def test_random_bytes_are_never_an_answer(transport: HTTPTransport, seed: int) -> None:
    randomness = random.Random(seed)
    async with RawServer(answer=lambda _: [randomness.randbytes(randomness.randint(1, 5000)), FIN]) as server:
        for _ in range(30):
            with pytest.raises(UpstreamInterrupted):
                await get(transport, server.origin)
        assert transport.connections == 0
