"""TLS: verified, with the name of the origin, whatever address it is reached at."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ai_gateway_mw.errors import UpstreamInterrupted, UpstreamTLSFailed, UpstreamUnreachable
from ai_gateway_mw.hosts import HostAddress
from ai_gateway_mw.upstream.http1 import HTTPTransport, Origin
from tests.upstream.http1.asking import ask, body_of, get
from tests.upstream.http1.certificates import Authority
from tests.upstream.http1.raw_server import FIN, HANG, RST, Do, RawServer

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 5\r\n\r\nhello"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
async def trusting(authority: Authority) -> AsyncIterator[HTTPTransport]:
    async with HTTPTransport(tls=authority.client) as made:
        yield made


def named(name: str, server: RawServer) -> Origin:
    """An origin of that name, which leads to the server."""
    return Origin.of(f"https://{name}:{server.port}", {name: HostAddress("127.0.0.1")})


async def test_a_certificate_for_the_name_is_accepted(trusting: HTTPTransport, authority: Authority) -> None:
    async with RawServer([PLAIN], tls=authority.server("models.test")) as server:
        for _ in range(3):
            assert (await get(trusting, named("models.test", server))).body == b"hello"
        assert server.connections == 1


async def test_a_certificate_for_an_address_is_accepted(trusting: HTTPTransport, authority: Authority) -> None:
    async with RawServer([PLAIN], tls=authority.server("127.0.0.1")) as server:
        assert (await get(trusting, server.origin)).body == b"hello"


async def test_the_server_learns_name_and_protocol(trusting: HTTPTransport, authority: Authority) -> None:
    context = authority.server("models.test")
    context.set_alpn_protocols(["h2", "http/1.1"])
    names: list[str | None] = []
    context.sni_callback = lambda connection, name, _: names.append(name)
    async with RawServer([PLAIN], tls=context) as server:
        await get(trusting, named("models.test", server))
        assert names == ["models.test"]
        assert server.peers[0].writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    ("names", "expired"),
    [(["other.test"], False), (["models.test"], True), (["127.0.0.1"], False), (["*.models.test"], False)],
    ids=["another-name", "expired", "only-the-address", "only-names-below"],
)
async def test_a_certificate_that_does_not_fit_is_refused(
    trusting: HTTPTransport, authority: Authority, names: list[str], expired: bool
) -> None:
    async with RawServer([PLAIN], tls=authority.server(*names, expired=expired)) as server:
        with pytest.raises(UpstreamTLSFailed) as failure:
            await get(trusting, named("models.test", server))
        assert failure.value.message == "The provider's certificate was not accepted."
        assert failure.value.__cause__ is None
        assert trusting.connections == 0
        assert not server.requests


async def test_an_authority_that_nobody_knows_is_refused(transport: HTTPTransport, authority: Authority) -> None:
    async with RawServer([PLAIN], tls=authority.server("models.test")) as server:
        with pytest.raises(UpstreamTLSFailed):
            await get(transport, named("models.test", server))


async def test_an_old_protocol_is_refused(trusting: HTTPTransport, authority: Authority) -> None:
    context = authority.server("models.test")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with RawServer([PLAIN], tls=context) as server:
        with pytest.raises((UpstreamTLSFailed, UpstreamUnreachable)):  # some servers only hang up
            await get(trusting, named("models.test", server))
        assert not server.requests


async def test_a_server_without_tls_is_an_error(trusting: HTTPTransport) -> None:
    """It waits for a request that it can read; what it says instead of a handshake is no TLS."""

    async def speak_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PLAIN)
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(speak_first, "127.0.0.1", 0)
    with pytest.raises(UpstreamTLSFailed):
        await get(trusting, Origin.of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    server.close()


async def test_a_server_that_hangs_up_on_the_handshake_is_unreachable(trusting: HTTPTransport) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    with pytest.raises((UpstreamUnreachable, UpstreamTLSFailed)):
        await get(trusting, Origin.of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    server.close()
    assert trusting.connections == 0


@pytest.mark.parametrize("end", [FIN, RST], ids=["fin", "rst"])
async def test_a_body_that_is_cut_is_an_error(trusting: HTTPTransport, authority: Authority, end: Do) -> None:
    script = [OK + b"Content-Length: 5\r\n\r\nhel", end]
    async with RawServer(script, tls=authority.server("models.test")) as server:
        with pytest.raises(UpstreamInterrupted):
            await get(trusting, named("models.test", server))
        assert trusting.connections == 0


async def test_a_body_may_end_with_the_connection(trusting: HTTPTransport, authority: Authority) -> None:
    async with RawServer([OK + b"\r\nhello", FIN], tls=authority.server("models.test")) as server:
        assert (await get(trusting, named("models.test", server))).body == b"hello"


async def test_a_body_may_not_end_with_a_reset(trusting: HTTPTransport, authority: Authority) -> None:
    async with RawServer([OK + b"\r\nhello", RST], tls=authority.server("models.test")) as server:
        with pytest.raises(UpstreamInterrupted):
            await get(trusting, named("models.test", server))


async def test_large_bodies_pass_both_ways(trusting: HTTPTransport, authority: Authority) -> None:
    body = b"0123456789" * 300_000
    script = [OK + b"Content-Length: %d\r\n\r\n" % len(body) + body]
    async with RawServer(script, tls=authority.server("models.test")) as server:
        for _ in range(2):
            answer = await ask(trusting, named("models.test", server), content=body)
            assert await body_of(answer) == body
        assert [len(request) > len(body) for request in server.requests] == [True, True]
        assert server.connections == 1


async def test_what_nobody_reads_stays_with_the_upstream(trusting: HTTPTransport, authority: Authority) -> None:
    script = [OK + b"Content-Length: 20000000\r\n\r\n", *[b"x" * 1_000_000] * 20]
    async with RawServer(script, tls=authority.server("models.test")) as server:
        answer = await ask(trusting, named("models.test", server))
        for _ in range(20):
            await asyncio.sleep(0.005)
            assert answer.size < 600_000
        assert len(await body_of(answer)) == 20_000_000


async def test_an_answer_that_is_let_go_of_ends_its_connection(trusting: HTTPTransport, authority: Authority) -> None:
    async with RawServer([OK + b"Content-Length: 5\r\n\r\nhel", HANG], tls=authority.server("models.test")) as server:
        answer = await ask(trusting, named("models.test", server))
        answer.close()
        assert trusting.connections == 0
        await server.left_alone()


async def test_an_idle_connection_that_ends_is_forgotten(
    trusting: HTTPTransport, authority: Authority, tmp_path: Path
) -> None:
    async with RawServer([PLAIN, FIN], [PLAIN], tls=authority.server("models.test")) as server:
        await get(trusting, named("models.test", server))
        await server.left_alone()
        assert (await get(trusting, named("models.test", server))).body == b"hello"
        assert server.connections == 2
