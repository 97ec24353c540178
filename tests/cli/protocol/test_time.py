"""How long clients may take for what they do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import pytest

from ai_gateway_mw.cli.protocol import Limits
from tests.cli.protocol.talking import BRISK, CHUNKED, GET, HEAD, LAST, App, Client, heard, refused, served
from tests.cli.protocol.wire import Wire

SLOW: dict[str, Sequence[bytes]] = {
    "half a head": (b"GET / HTTP/1.1\r\nho",),
    "head of a later request": (GET, b"GET"),
    "no body": (HEAD + b"content-length: 3\r\n\r\n",),
    "half a body": (HEAD + b"content-length: 3\r\n\r\na",),
    "half a chunk": (CHUNKED + b"3\r\na",),
}


@pytest.mark.parametrize("said", SLOW.values(), ids=SLOW)
def test_slow(said: Sequence[bytes], brisk: str) -> None:
    answer = heard(brisk, *said)
    last = answer[answer.rindex(b"HTTP/1.1 ") :]
    assert refused(last) == (408, "request_timeout")
    assert b"\r\nx-should-retry: false" in last


def test_dripping_does_not_help(brisk: str) -> None:
    """The time is that of the whole head, however many bytes come."""
    with Client(brisk) as client:
        stop = threading.Event()

        def drip() -> None:
            try:
                client.say(b"GET / HTTP/1.1\r\n")
                while not stop.wait(0.02):
                    client.say(b"a: b\r\n")
            except OSError:
                pass

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert client.until(b"\r\n").startswith(b"HTTP/1.1 408 ")
        stop.set()
        dripping.join()


def test_a_connection_without_a_request_ends(brisk: str) -> None:
    assert heard(brisk) == b""


def test_a_body_that_keeps_coming_has_more_time() -> None:
    """Every `body_rate` bytes are worth a second; here, these few are worth minutes."""
    limits = Limits(body_time=0.1, body_rate=1, sweep=0.02)
    with served(limits=limits) as url, Client(url) as client:
        client.say(HEAD + b"content-length: 303\r\n\r\n" + b"a" * 300)
        client._socket.settimeout(0.4)
        with pytest.raises(TimeoutError):
            client.rest()
        client._socket.settimeout(5)
        assert client.say(b"abc").until(b"abc").startswith(b"HTTP/1.1 200")


def test_the_rest_of_an_answered_request_has_little_time(brisk: str) -> None:
    answer = heard(brisk, b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\na")
    assert answer.removesuffix(b"<reset>").endswith(b"enough")


def test_idle_connections_end() -> None:
    with served(timeout_keep_alive=0.1, limits=Limits(sweep=0.02)) as url:
        assert heard(url, GET).endswith(b"GET / host ")


def test_a_client_that_never_reads_holds_the_app_up_and_is_cut() -> None:
    app = App()
    with served(app, BRISK) as url, Client(url) as client:
        client._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.say(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        assert app.left.wait(5)
        assert app.sent < 8 * 1024 * 1024  # what the kernel took, and one buffer


HALF = b"GET / HTTP/1.1\r\nho"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "packets",
    [
        pytest.param([HALF], id="first"),
        pytest.param([GET, HALF], id="later"),
        pytest.param([GET + HALF], id="with the one before"),
        pytest.param([GET[:20], GET[20:] + HALF], id="with the end of the one before"),
        pytest.param([HEAD + b"content-length: 3\r\n\r\na", b"bc" + HALF], id="with the end of a body"),
        pytest.param([CHUNKED + b"0\r\n", b"\r\n" + HALF], id="with the end of chunks"),
    ],
)
async def test_half_a_head_has_its_time_wherever_it_begins(packets: Sequence[bytes]) -> None:
    async with Wire(App()) as wire:
        await wire.hear(*packets)
        await wire.loop.passes(9)
        assert not wire.end
        await wire.loop.passes(2)
        assert refused(wire.said[wire.said.rindex(b"HTTP/1.1 ") :]) == (408, "request_timeout")


@pytest.mark.anyio
async def test_the_time_of_the_first_head_runs_from_the_opening() -> None:
    async with Wire(App()) as wire:
        await wire.loop.passes(9)
        await wire.hear(HALF)
        await wire.loop.passes(2)
        assert refused(wire.said) == (408, "request_timeout")


@pytest.mark.anyio
async def test_a_later_head_has_time_however_long_the_connection_was_idle() -> None:
    async with Wire(App(), timeout_keep_alive=20) as wire:
        await wire.hear(GET)
        await wire.loop.passes(19)
        await wire.hear(HALF)
        await wire.loop.passes(9)
        assert not wire.end


@pytest.mark.anyio
async def test_who_waits_to_be_told_to_go_on_is_not_slow() -> None:
    async with Wire(App()) as wire:
        await wire.hear(b"GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n")
        await wire.hear(HEAD + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        await wire.loop.passes(60)
        assert not wire.end
        assert b"408" not in wire.said


@pytest.mark.anyio
async def test_who_still_reads_a_last_answer_is_not_cut() -> None:
    async with Wire(App()) as wire:
        wire.transport.waiting = 60_000
        await wire.hear(b"POST /early HTTP/1.0\r\ncontent-length: 9\r\n\r\na")
        assert wire.end == "half-closed"
        for _ in range(5):
            wire.transport.waiting -= 10_000
            await wire.loop.passes(200)
            assert wire.end == "half-closed"
        wire.transport.waiting = 0
        await wire.loop.passes(4)
        assert wire.end == "cut"


@pytest.mark.anyio
async def test_who_does_not_read_a_last_answer_is_cut() -> None:
    async with Wire(App()) as wire:
        wire.transport.waiting = 1
        await wire.hear(LAST)
        assert wire.end == "closed"
        await wire.loop.passes(290)
        assert wire.end == "closed"
        await wire.loop.passes(20)
        assert wire.end == "cut"


@pytest.mark.anyio
async def test_nothing_is_timed_while_the_answer_is_awaited() -> None:
    async with Wire(App()) as wire:
        await wire.hear(b"GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n")
        await wire.loop.passes(3600)
        assert not wire.end
