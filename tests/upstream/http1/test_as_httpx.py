"""The transport in the hands of httpx: its requests, its responses, its exceptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ai_gateway_mw.errors import UpstreamTLSFailed
from ai_gateway_mw.upstream.http1 import HTTPTransport, PoolLimits
from tests.fake_upstream import closed_port
from tests.upstream.http1.certificates import Authority
from tests.upstream.http1.raw_server import FIN, HANG, RawServer, Script

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
async def client(transport: HTTPTransport) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=transport, trust_env=False) as made:
        yield made


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_a_client_sends_and_receives(client: httpx.AsyncClient) -> None:
    async with RawServer([PLAIN]) as server:
        response = await client.post(f"{server.url}/v1/x?a=1&b=%20", json={"a": 1})
        assert (response.status_code, response.text, response.http_version) == (200, "hello", "HTTP/1.1")
        assert response.headers["Content-Type"] == "text/plain"
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /v1/x?a=1&b=%20 HTTP/1.1"
        assert lines[1] == b"Host: 127.0.0.1:%d" % server.port
        assert b"Content-Type: application/json" in lines
        assert body == b'{"a":1}'


@pytest.mark.parametrize(
    ("content", "sent", "length"),
    [
        (None, b"", None),
        (b"", b"", None),
        (b"hello", b"hello", b"5"),
        (("hel", "lo"), b"hello", b"5"),
        ((), b"", b"0"),
    ],
    ids=["none", "empty", "bytes", "pieces", "no-pieces"],
)
async def test_a_body_goes_out_with_its_length(
    client: httpx.AsyncClient, content: Any, sent: bytes, length: bytes | None
) -> None:
    if isinstance(content, tuple):
        content = pieces(*(part.encode() for part in content))
    async with RawServer([PLAIN]) as server:
        await client.request("PROPFIND", server.url, content=content)
        head, _, body = server.requests[0].lower().partition(b"\r\n\r\n")
        assert body == sent
        assert b"transfer-encoding" not in head
        assert [line[16:] for line in head.split(b"\r\n") if line.startswith(b"content-length")] == (
            [] if length is None else [length]
        )


async def test_a_post_without_content_says_so(client: httpx.AsyncClient) -> None:
    async with RawServer([PLAIN]) as server:
        await client.post(server.url)
        assert b"\r\nContent-Length: 0\r\n" in server.requests[0]


async def test_a_response_streams(client: httpx.AsyncClient) -> None:
    async with RawServer([CHUNKED, b"3\r\nabc\r\n", b"3\r\ndef\r\n", b"0\r\n\r\n"]) as server:
        async with client.stream("GET", server.url) as response:
            assert b"".join([part async for part in response.aiter_raw()]) == b"abcdef"
        await client.get(server.url)
        assert server.connections == 1


async def test_a_response_that_is_closed_early_ends_its_connection(
    client: httpx.AsyncClient, transport: HTTPTransport
) -> None:
    async with RawServer([CHUNKED, b"3\r\nabc\r\n", HANG]) as server:
        async with client.stream("GET", server.url) as response:
            assert await anext(response.aiter_raw()) == b"abc"
        assert transport.connections == 0
        await server.left_alone()


async def test_the_version_is_told(client: httpx.AsyncClient) -> None:
    async with RawServer([b"HTTP/1.0 200 OK\r\n\r\nhello", FIN]) as server:
        assert (await client.get(server.url)).http_version == "HTTP/1.0"


async def test_redirects_cookies_and_the_environment_are_left_to_others(
    transport: HTTPTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    script = [b"HTTP/1.1 302 X\r\nSet-Cookie: a=b\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"]
    async with RawServer(script) as server:
        for _ in range(2):
            response = await transport.handle_async_request(httpx.Request("GET", server.url))
            assert response.status_code == 302
        assert [b"Cookie" in request for request in server.requests] == [False, False]


async def test_a_target_may_be_given_as_it_is(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        await transport.handle_async_request(httpx.Request("GET", server.url, extensions={"target": b"*"}))
        assert server.requests[0].startswith(b"GET * HTTP/1.1\r\n")


async def test_the_name_to_verify_may_differ_from_the_address(tmp_path: Any) -> None:
    authority = Authority(tmp_path)
    async with (
        RawServer([PLAIN], tls=authority.server("models.test")) as server,
        HTTPTransport(tls=authority.client) as transport,
    ):
        request = httpx.Request("GET", server.url, extensions={"sni_hostname": "models.test"})
        assert (await transport.handle_async_request(request)).status_code == 200
        with pytest.raises(httpx.ConnectError) as failure:
            await transport.handle_async_request(httpx.Request("GET", server.url))
        assert isinstance(failure.value.__cause__, UpstreamTLSFailed)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param([FIN], httpx.RemoteProtocolError, id="ended"),
        pytest.param([b"rubbish"], httpx.RemoteProtocolError, id="no-http"),
        pytest.param([HANG], httpx.ReadTimeout, id="silence"),
        pytest.param([OK + b"Content-Length: 5\r\n\r\n", FIN], httpx.RemoteProtocolError, id="cut"),
        pytest.param([OK + b"Content-Length: 5\r\n\r\n", HANG], httpx.ReadTimeout, id="stalled"),
    ],
)
async def test_failures_are_those_of_httpx(
    client: httpx.AsyncClient, script: Script, expected: type[Exception]
) -> None:
    async with RawServer(script) as server:
        with pytest.raises(expected) as failure:
            await client.get(server.url, timeout=0.05)
        assert type(failure.value) is expected
        assert isinstance(failure.value, httpx.HTTPError)
        assert failure.value.request.url == server.url


async def test_not_to_be_reached_is_a_connect_error(client: httpx.AsyncClient) -> None:
    with closed_port() as port, pytest.raises(httpx.ConnectError):
        await client.get(f"http://127.0.0.1:{port}")


async def test_to_connect_takes_only_so_long(client: httpx.AsyncClient) -> None:
    async with RawServer(reads=False) as server:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(f"https://127.0.0.1:{server.port}", timeout=0.05)


async def test_a_full_pool_is_a_pool_timeout() -> None:
    limits = PoolLimits(connections=1)
    async with RawServer([HANG]) as server, httpx.AsyncClient(transport=HTTPTransport(limits)) as client:
        first = asyncio.create_task(client.get(server.url))
        await server.asked(1)
        with pytest.raises(httpx.PoolTimeout):
            await client.get(server.url, timeout=0.05)
        first.cancel()


async def test_without_a_timeout_there_is_none(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        for extensions in ({}, {"timeout": {"connect": None, "read": None, "pool": None}}):
            response = await transport.handle_async_request(httpx.Request("GET", server.url, extensions=extensions))
            assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("GET", [(b"x-key", b"sk-secret\r\nx-evil: 1")]),
        ("GET", [(b"x-key", b"sk-secret\n")]),
        ("GET", [(b"x-key", b"sk-secret\x00")]),
        ("GET", [(b"x-key\r\nx-evil", b"sk-secret")]),
        ("GET", [(b"x key", b"sk-secret")]),
        ("GET", [(b"", b"sk-secret")]),
        ("GET /evil HTTP/1.1\r\nx-key: sk-secret\r\n\r\nGET", []),
        ("CONNECT", []),
        ("G\u00c9T", []),
        ("", []),
    ],
)
async def test_what_would_end_a_line_is_not_sent(
    transport: HTTPTransport, method: str, fields: list[tuple[bytes, bytes]]
) -> None:
    async with RawServer([PLAIN]) as server:
        with pytest.raises(httpx.LocalProtocolError) as failure:
            await transport.handle_async_request(httpx.Request(method, server.url, headers=fields))
        assert "sk-secret" not in str(failure.value)
        assert not server.connections


async def test_a_target_with_a_blank_is_not_sent(transport: HTTPTransport) -> None:
    request = httpx.Request("GET", "http://127.0.0.1:1", extensions={"target": b"/ HTTP/1.1\r\n\r\nGET /evil"})
    with pytest.raises(httpx.LocalProtocolError):
        await transport.handle_async_request(request)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "/relative", "unix:///run/x"])
async def test_other_protocols_are_not_spoken(transport: HTTPTransport, url: str) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await transport.handle_async_request(httpx.Request("GET", url))
