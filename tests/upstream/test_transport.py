from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

import httpx
import pytest

from ai_gateway_mw.errors import (
    BadRequest,
    ConnectTimeout,
    GatewayError,
    Overloaded,
    UpstreamError,
    UpstreamInterrupted,
    UpstreamTimeout,
    UpstreamTLSFailed,
    UpstreamUnreachable,
)
from ai_gateway_mw.hosts import HostAddress
from ai_gateway_mw.upstream.foreign import ForeignAnswer
from ai_gateway_mw.upstream.http1 import HTTPTransport, Origin, Timeouts, UpstreamResponse
from ai_gateway_mw.upstream.transport import UpstreamRequest, send
from tests.fake_upstream import Upstream, closed_port, not_http, ok

pytestmark = pytest.mark.anyio

ORIGIN = Origin.of("https://api.test")
FIELDS = [(b"x-one", b"1"), (b"x-two", b"\xe9")]
POST = UpstreamRequest("POST", Origin.of("https://api.test/v1"), b"/v1/x?a=1", FIELDS, b"{}")


def untrusted() -> httpx.ConnectError:
    error = httpx.ConnectError("[SSL] sk-secret")
    error.__cause__ = ssl.SSLCertVerificationError()
    return error


async def sent(answer: Any, request: UpstreamRequest = POST) -> UpstreamResponse:
    return await send(httpx.MockTransport(answer), request, Timeouts())


async def body_of(response: UpstreamResponse) -> list[bytes]:
    pieces = [response.held] if response.held else []
    while piece := await response.read():
        pieces.append(piece)
    return pieces


def test_a_head_is_what_http_writes() -> None:
    assert POST.head() == (
        b"POST /v1/x?a=1 HTTP/1.1\r\nhost: api.test\r\nx-one: 1\r\nx-two: \xe9\r\ncontent-length: 2\r\n\r\n"
    )


@pytest.mark.parametrize(("method", "told"), [("POST", True), ("PUT", True), ("GET", False), ("DELETE", False)])
def test_the_length_of_no_content_is_told_where_some_is_expected(method: str, told: bool) -> None:
    assert (b"content-length: 0" in UpstreamRequest(method, ORIGIN, b"/", [], b"").head()) is told


@pytest.mark.parametrize(
    "request_",
    [
        UpstreamRequest("POST", ORIGIN, b"/", [(b"x", b"1\r\ny: 2")], b""),
        UpstreamRequest("POST", ORIGIN, b"/", [(b"x", b"1\ny: 2")], b""),
        UpstreamRequest("POST", ORIGIN, b"/", [(b"x", b"1\r")], b""),
        UpstreamRequest("POST", ORIGIN, b"/", [(b"x", b"nul\0")], b""),
        UpstreamRequest("POST", ORIGIN, b"/", [(b"x\n", b"1")], b""),
        UpstreamRequest("POST", ORIGIN, b"/ HTTP/1.1\r\nx: 1\r\n\r\n", [], b""),
        UpstreamRequest("POST\r\n", ORIGIN, b"/", [], b""),
    ],
    ids=["crlf", "lf", "cr", "nul", "name", "target", "method"],
)
async def test_a_head_with_a_line_too_many_is_never_sent(request_: UpstreamRequest) -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(BadRequest) as failure:
        await send(httpx.MockTransport(seen.append), request_, Timeouts())  # type: ignore[arg-type]
    assert seen == []
    assert "x" not in str(failure.value).split()


def test_a_tab_may_stand_in_a_value() -> None:
    assert b"x: a\tb\r\n" in UpstreamRequest("GET", ORIGIN, b"/", [(b"x", b"a\tb")], b"").head()


def test_a_request_does_not_show_its_credential() -> None:
    assert "sk-1" not in repr(UpstreamRequest("GET", ORIGIN, b"/", [(b"x-api-key", b"sk-1")], b"sk-1"))


async def test_a_request_goes_out_as_it_was_built() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    await sent(answer)
    assert (seen[0].method, str(seen[0].url), seen[0].content) == ("POST", "https://api.test/v1/x?a=1", b"{}")
    assert seen[0].headers.raw == [
        (b"host", b"api.test"),
        (b"x-one", b"1"),
        (b"x-two", b"\xe9"),
        (b"Content-Length", b"2"),
    ]
    assert seen[0].extensions["timeout"] == {"connect": 10.0, "read": 180.0, "write": 180.0, "pool": 10.0}


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (HostAddress("10.0.0.7"), "https://10.0.0.7/v1/x?a=1"),
        (HostAddress("10.0.0.7", 8443), "https://10.0.0.7:8443/v1/x?a=1"),
        (HostAddress("::1", 8443), "https://[::1]:8443/v1/x?a=1"),
        (HostAddress("elsewhere.internal"), "https://elsewhere.internal/v1/x?a=1"),
    ],
    ids=str,
)
async def test_a_mapped_host_leads_elsewhere_and_keeps_its_name(address: HostAddress, url: str) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    request = UpstreamRequest("POST", Origin.of("https://api.test", {"api.test": address}), b"/v1/x?a=1", [], b"{}")
    await sent(answer, request)
    assert str(seen[0].url) == url
    assert seen[0].headers["host"] == "api.test"
    assert seen[0].extensions["sni_hostname"] == "api.test"


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        (httpx.ConnectTimeout("sk-secret"), ConnectTimeout),
        (httpx.PoolTimeout("sk-secret"), Overloaded),
        (httpx.ReadTimeout("sk-secret"), UpstreamTimeout),
        (httpx.WriteTimeout("sk-secret"), UpstreamTimeout),
        (httpx.ConnectError("sk-secret"), UpstreamUnreachable),
        (untrusted(), UpstreamTLSFailed),
        (httpx.ReadError("sk-secret"), UpstreamInterrupted),
        (httpx.WriteError("sk-secret"), UpstreamInterrupted),
        (httpx.RemoteProtocolError("sk-secret"), UpstreamInterrupted),
        (httpx.LocalProtocolError("illegal header value sk-secret"), UpstreamError),
        (httpx.UnsupportedProtocol("sk-secret"), UpstreamError),
        (httpx.InvalidURL("sk-secret"), UpstreamError),
        (httpx.StreamConsumed(), UpstreamError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
async def test_foreign_errors_become_ours_and_lose_their_words(foreign: Exception, ours: type[GatewayError]) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise foreign

    with pytest.raises(GatewayError) as failure:
        await sent(fail)
    assert type(failure.value) is ours
    assert "sk-secret" not in str(failure.value)
    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


class Body(httpx.AsyncByteStream):
    def __init__(self, *pieces: bytes | Exception | asyncio.Event) -> None:
        self._pieces = pieces
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                yield piece

    async def aclose(self) -> None:
        self.closed += 1


def response(*pieces: bytes | Exception | asyncio.Event, kind: str = "application/json") -> UpstreamResponse:
    return ForeignAnswer(httpx.Response(200, headers={"Content-Type": kind}, stream=Body(*pieces)))


async def test_the_first_chunk_can_be_looked_at_and_is_not_lost() -> None:
    answer = response(b"", b"one", b"", b"two")
    assert await answer.buffered(1) == b"one"
    assert await answer.buffered(1) == b"one"
    assert await body_of(answer) == [b"one", b"two"]


async def test_an_empty_body_has_no_chunk() -> None:
    answer = response()
    assert await answer.buffered(1) == b""
    assert b"".join(await body_of(answer)) == b""


async def test_a_body_is_buffered_up_to_a_limit_and_not_lost() -> None:
    answer = response(b"one", b"two", b"three")
    assert await answer.buffered(5) == b"onetwo"
    assert await body_of(answer) == [b"onetwo", b"three"]


async def test_to_wait_for_the_next_chunk_and_give_up_loses_nothing() -> None:
    later = asyncio.Event()
    answer = response(b"one", later, b"two")
    assert await answer.news(5)
    assert await answer.read() == b"one"
    assert not await answer.news(0.01)
    later.set()
    assert await answer.news(5)
    assert await body_of(answer) == [b"two"]


async def test_an_answer_that_somebody_waited_for_can_be_closed() -> None:
    answer = response(asyncio.Event())
    assert not await answer.news(0.01)
    await answer.aclose()


async def test_a_body_that_breaks_off_is_an_error_of_ours() -> None:
    answer = response(b"one", httpx.ReadError("sk-secret"))
    with pytest.raises(UpstreamInterrupted):
        await body_of(answer)


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("text/event-stream", b"text/event-stream"),
        ("Text/Event-Stream ; charset=utf-8", b"text/event-stream"),
        ("application/json", b"application/json"),
        ("", b""),
    ],
)
async def test_a_media_type_is_told_without_its_parameters(kind: str, media_type: bytes) -> None:
    assert response(kind=kind).media_type == media_type


async def test_an_answer_is_let_go_of_once() -> None:
    released: list[int] = []
    answer = response(b"one")
    answer.on_close = lambda: released.append(1)
    await answer.aclose()
    await answer.aclose()
    assert released == [1]


async def test_field_names_are_in_one_case() -> None:
    answer = response()
    assert answer.fields == [(b"content-type", b"application/json")]
    assert answer.field(b"content-type") == b"application/json"
    assert answer.field(b"etag") == b""


# With the real transport ----------------------------------------------------------------------------------------------


@pytest.fixture(params=[HTTPTransport, partial(httpx.AsyncHTTPTransport, trust_env=False)], ids=["ours", "httpx"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncBaseTransport]:
    async with request.param() as made:
        yield made


def asking(url: str, content: bytes = b"{}", hosts: Mapping[str, HostAddress] | None = None) -> UpstreamRequest:
    fields = [(b"content-type", b"application/json")]
    return UpstreamRequest("POST", Origin.of(url, hosts), b"/v1/chat/completions", fields, content)


async def test_a_port_that_refuses_is_unreachable(transport: httpx.AsyncBaseTransport) -> None:
    with closed_port() as port, pytest.raises(UpstreamUnreachable):
        await send(transport, asking(f"http://127.0.0.1:{port}"), Timeouts())


async def test_a_name_that_does_not_resolve_is_unreachable(transport: httpx.AsyncBaseTransport) -> None:
    with pytest.raises(UpstreamUnreachable):
        await send(transport, asking("http://no-such-host.invalid"), Timeouts())


async def test_a_server_without_tls_is_an_error(transport: httpx.AsyncBaseTransport, upstream: Upstream) -> None:
    upstream.violations = Forgiving()
    with pytest.raises(UpstreamError):
        await send(transport, asking(f"https://127.0.0.1:{upstream.port}"), Timeouts(connect=0.3))


class Forgiving(list[str]):
    """Takes no violations down."""

    def append(self, _: str) -> None:
        pass


async def test_what_is_no_http_is_interrupted(transport: httpx.AsyncBaseTransport, upstream: Upstream) -> None:
    upstream.on(not_http())
    with pytest.raises(UpstreamInterrupted):
        await send(transport, asking(upstream.url), Timeouts())


async def test_silence_is_a_timeout(transport: httpx.AsyncBaseTransport, upstream: Upstream) -> None:
    upstream.on(ok(no_head=True, stall_after=0))
    with pytest.raises(UpstreamTimeout):
        await send(transport, asking(upstream.url), Timeouts(first_byte=0.05))


async def test_a_mapped_name_reaches_the_mapped_port(transport: httpx.AsyncBaseTransport, upstream: Upstream) -> None:
    hosts = {"models.internal": HostAddress("127.0.0.1", upstream.port)}
    answer = await send(transport, asking("http://models.internal", hosts=hosts), Timeouts())
    assert answer.status == 200
    assert upstream.requests[0].headers["host"] == "models.internal"
    await answer.aclose()


async def test_an_abandoned_answer_closes_its_connection(
    transport: httpx.AsyncBaseTransport, upstream: Upstream
) -> None:
    upstream.on(ok(chunks=2, stall_after=1))
    answer = await send(transport, asking(upstream.url, b'{"stream": true}'), Timeouts())
    assert await answer.buffered(1)
    await answer.aclose()
    assert (await upstream.over()).closed_early


async def test_connections_are_used_again(transport: httpx.AsyncBaseTransport, upstream: Upstream) -> None:
    for _ in range(3):
        answer = await send(transport, asking(upstream.url), Timeouts())
        assert await body_of(answer)
        await answer.aclose()
    assert upstream.connections == 1


async def test_a_cancelled_request_ends(transport: httpx.AsyncBaseTransport, upstream: Upstream) -> None:
    upstream.on(ok(no_head=True, stall_after=0))
    task = asyncio.create_task(send(transport, asking(upstream.url), Timeouts()))
    await upstream.arrived()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await upstream.over()).closed_early


async def test_an_address_that_httpx_cannot_take_is_an_error_of_ours() -> None:
    with pytest.raises(UpstreamError):
        await sent(httpx.Response, UpstreamRequest("POST", ORIGIN, b"/" + b"a" * 70_000, [], b""))
