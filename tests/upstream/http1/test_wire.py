"""What an upstream may send, byte by byte: good answers arrive as httpx delivers them, bad ones end the connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from ai_gateway_mw.errors import UpstreamInterrupted
from ai_gateway_mw.upstream.http1 import HTTPTransport
from tests.upstream.http1.asking import ask, body_of, get
from tests.upstream.http1.raw_server import FIN, HANG, RST, RawServer, Script

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ALL_BYTES = bytes(range(256)) * 4
EVENTS = [b'data: {"n": %d}\n\n' % number for number in range(5)]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass(frozen=True)
class Good:
    """An answer, whether its connection is good for another request, and how it was asked for."""

    script: Script
    kept: bool = True
    method: str = "POST"


GOOD: dict[str, Good] = {
    # Framing (RFC 9112 6)
    "length": Good([PLAIN]),
    "length zero": Good([OK + b"Content-Length: 0\r\n\r\n"]),
    "length with leading zeros": Good([OK + b"Content-Length: 005\r\n\r\nhello"]),
    "length with blanks around": Good([OK + b"Content-Length: \t 5 \t\r\n\r\nhello"]),
    "all bytes": Good([OK + b"Content-Length: 1024\r\n\r\n" + ALL_BYTES]),
    "compressed, passed on raw": Good([OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x00"]),
    "a million bytes": Good([OK + b"Content-Length: 1000000\r\n\r\n" + b"abcdefghij" * 100_000]),
    "chunked": Good([CHUNKED + chunk(b"hello") + b"0\r\n\r\n"]),
    "chunked, many": Good([CHUNKED + b"".join(chunk(b"%d," % number) for number in range(1000)) + b"0\r\n\r\n"]),
    "chunked, large": Good([CHUNKED + chunk(b"x" * 300_000) * 3 + b"0\r\n\r\n"]),
    "chunked, empty": Good([CHUNKED + b"0\r\n\r\n"]),
    "chunked, upper case size": Good([CHUNKED + b"A\r\n0123456789\r\n0\r\n\r\n"]),
    "chunked, zeros before the size": Good([CHUNKED + b"00005\r\nhello\r\n000\r\n\r\n"]),
    "chunked, all bytes": Good([CHUNKED + chunk(ALL_BYTES) + b"0\r\n\r\n"]),
    "chunk extension": Good([CHUNKED + b"5;a=b\r\nhello\r\n0;z\r\n\r\n"]),
    "chunk extension in quotes": Good([CHUNKED + b'5;a="b;c"\r\nhello\r\n0\r\n\r\n']),
    "trailers": Good([CHUNKED + chunk(b"hello") + b"0\r\nX-Usage: 1\r\nX-Cost: 2\r\n\r\n"]),
    "coding with a blank after": Good([OK + b"transfer-encoding: chunked \r\n\r\n" + chunk(b"hello") + b"0\r\n\r\n"]),
    "until the end": Good([OK + b"\r\n", b"hello", FIN], kept=False),
    "until the end, close said": Good([OK + b"Connection: close\r\n\r\nhello", FIN], kept=False),
    "until the end, empty": Good([OK + b"\r\n", FIN], kept=False),
    "until the end, long": Good([OK + b"\r\n" + b"x" * 500_000, FIN], kept=False),
    "no content": Good([b"HTTP/1.1 204 No Content\r\n\r\n"]),
    "no content with fields": Good([b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"]),
    "not modified with a length": Good([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"]),
    "HEAD": Good([OK + b"Content-Length: 5\r\n\r\n"], kept=False, method="HEAD"),
    "chunked, another field twice": Good(
        [OK + b"X-A: 1\r\nTransfer-Encoding: chunked\r\nX-A: 2\r\n\r\n" + chunk(b"hello") + b"0\r\n\r\n"]
    ),
    "HEAD, chunked": Good([OK + b"Transfer-Encoding: chunked\r\n\r\n"], kept=False, method="HEAD"),
    "HEAD, 204": Good([b"HTTP/1.1 204 No Content\r\n\r\n"], kept=False, method="HEAD"),
    "GET": Good([PLAIN], method="GET"),
    "DELETE": Good([PLAIN], method="DELETE"),
    # Whether the connection stays (RFC 9112 9.3)
    "close": Good([OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello"], kept=False),
    "Close, in another case": Good([OK + b"Connection: Close\r\nContent-Length: 5\r\n\r\nhello"], kept=False),
    "close among others": Good([OK + b"Connection: x-a, close\r\nContent-Length: 5\r\n\r\nhello"], kept=False),
    "keep-alive said": Good([OK + b"Connection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"]),
    "keep-alive with a time": Good([OK + b"Keep-Alive: timeout=60, max=100\r\nContent-Length: 5\r\n\r\nhello"]),
    "keep-alive with rubbish": Good([OK + b"Keep-Alive: timeout=x, =, ,\r\nContent-Length: 5\r\n\r\nhello"]),
    "keep-alive for no time": Good([OK + b"Keep-Alive: timeout=0\r\nContent-Length: 5\r\n\r\nhello"], kept=False),
    "closed right after": Good([PLAIN, FIN], kept=False),
    "reset right after": Good([PLAIN, RST], kept=False),
    "1.0 until the end": Good([b"HTTP/1.0 200 OK\r\n\r\nhello", FIN], kept=False),
    "1.0 with a length": Good([b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"], kept=False),
    "1.0 kept": Good([b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"]),
    # Informational answers (RFC 9110 15.2)
    "100 before": Good([b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN]),
    "100 before, apart": Good([b"HTTP/1.1 100 Continue\r\n\r\n", PLAIN]),
    "102 before": Good([b"HTTP/1.1 102 Processing\r\n\r\n" + PLAIN]),
    "103 with fields before": Good([b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n", PLAIN]),
    "eight before": Good([b"HTTP/1.1 100 Continue\r\n\r\n" * 8 + PLAIN]),
    # The head (RFC 9112 4 and 5)
    "no reason": Good([b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"]),
    "empty reason": Good([b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello"]),
    "long reason": Good([b"HTTP/1.1 200 All is (really) well: 100%\r\nContent-Length: 5\r\n\r\nhello"]),
    "reason in Latin-1": Good([b"HTTP/1.1 200 \xe7a va\r\nContent-Length: 5\r\n\r\nhello"]),
    "empty value": Good([OK + b"X-A:\r\nContent-Length: 5\r\n\r\nhello"]),
    "blanks around a value": Good([OK + b"X-A: \t a b \t \r\nContent-Length: 5\r\n\r\nhello"]),
    "a tab within a value": Good([OK + b"X-A: a\tb\r\nContent-Length: 5\r\n\r\nhello"]),
    "a value in Latin-1": Good([OK + b"X-A: caf\xe9\r\nContent-Length: 5\r\n\r\nhello"]),
    "no blank after the colon": Good([OK + b"X-A:b\r\nContent-Length:5\r\n\r\nhello"]),
    "colons in a value": Good([OK + b"X-A: a:b: c\r\nContent-Length: 5\r\n\r\nhello"]),
    "a name of all it may have": Good([OK + b"!#$%&'*+-.^_`|~09azAZ: 1\r\nContent-Length: 5\r\n\r\nhello"]),
    "a field twice": Good([OK + b"X-B: 2\r\nX-A: 1\r\nX-B: 3\r\nContent-Length: 5\r\n\r\nhello"]),
    "200 fields": Good([OK + b"X-A: 1\r\n" * 200 + b"Content-Length: 5\r\n\r\nhello"]),
    "a long field": Good([OK + b"X-A: " + b"a" * 60_000 + b"\r\nContent-Length: 5\r\n\r\nhello"]),
    "an upgrade offered": Good([OK + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 5\r\n\r\nhello"]),
    # Other statuses
    **{
        f"status {status}": Good([b"HTTP/1.1 %d X\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}" % status])
        for status in (201, 202, 205, 299, 400, 401, 404, 413, 429, 500, 503, 529, 599, 999)
    },
    "a redirect, not followed": Good([b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"]),
    # In pieces
    "byte by byte": Good([bytes([byte]) for byte in PLAIN]),
    "byte by byte, chunked": Good([CHUNKED, *(bytes([byte]) for byte in chunk(b"hello") + b"0\r\nX-T: 1\r\n\r\n")]),
    "head and body apart": Good([OK + b"Content-Length: 5\r\n\r\n", b"hello"]),
    "cut between CR and LF": Good([OK[:-1], b"\nContent-Length: 5\r\n\r", b"\nhel", b"lo"]),
    "cut within a name": Good([OK + b"Content-Le", b"ngth: 5\r\nX-", b"A: 1\r\n\r\nhello"]),
    "cut within a value": Good([OK + b"X-A: ab", b"cd\r\nContent-Length: ", b"5\r\n\r\nhello"]),
    "events": Good([CHUNKED, *map(chunk, EVENTS), b"0\r\n\r\n"]),
    "events, several at once": Good([CHUNKED + b"".join(map(chunk, EVENTS)), chunk(EVENTS[0]) + b"0\r\n\r\n"]),
}
BYTES_OF_TRAILERS = 100_000

# What ends before it is complete, or is in doubt. Without an end of its own the server would go on.
BROKEN: dict[str, Script] = {
    # It ends (RFC 9112 8)
    "nothing": [FIN],
    "nothing, reset": [RST],
    "ends in the status line": [b"HTTP/1.1 2", FIN],
    "ends in the head": [OK + b"Content-Len", FIN],
    "ends before the blank line": [OK + b"Content-Length: 5\r\n", FIN],
    "ends after an informational answer": [b"HTTP/1.1 100 Continue\r\n\r\n", FIN],
    "short of its length": [OK + b"Content-Length: 5\r\n\r\nhell", FIN],
    "short of its length, reset": [OK + b"Content-Length: 5\r\n\r\nhell", RST],
    "no body at all": [OK + b"Content-Length: 5\r\n\r\n", FIN],
    "ends in a chunk": [CHUNKED + b"5\r\nhell", FIN],
    "ends in a chunk's size": [CHUNKED + chunk(b"hello") + b"1", FIN],
    "ends after a chunk": [CHUNKED + chunk(b"hello"), FIN],
    "ends after a chunk, reset": [CHUNKED + chunk(b"hello"), RST],
    "ends in the last chunk": [CHUNKED + chunk(b"hello") + b"0\r\n", FIN],
    "ends in the trailers": [CHUNKED + chunk(b"hello") + b"0\r\nX-A: 1\r\n", FIN],
    "until the end, reset": [OK + b"\r\n", b"hello", RST],
    # Two lengths, or none that can be read (RFC 9112 6.3)
    "two lengths": [OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"],
    "the same length twice": [OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"],
    "a list of lengths": [OK + b"Content-Length: 5, 5\r\n\r\nhello"],
    "a negative length": [OK + b"Content-Length: -5\r\n\r\nhello"],
    "a length with a sign": [OK + b"Content-Length: +5\r\n\r\nhello"],
    "a length in hex": [OK + b"Content-Length: 0x5\r\n\r\nhello"],
    "a length with a fraction": [OK + b"Content-Length: 5.0\r\n\r\nhello"],
    "a length with an underscore": [OK + b"Content-Length: 1_0\r\n\r\nhello"],
    "an empty length": [OK + b"Content-Length: \r\n\r\nhello"],
    "a length in two words": [OK + b"Content-Length: 5 5\r\n\r\nhello"],
    "a length beyond 64 bits": [OK + b"Content-Length: 99999999999999999999999\r\n\r\nhello"],
    "the largest length of 64 bits": [OK + b"Content-Length: 18446744073709551615\r\n\r\nhello"],
    "a length before a coding": [
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\n\r\n"
    ],
    "a coding before a length": [CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n" + chunk(b"hello") + b"0\r\n\r\n"],
    # Codings other than chunked (RFC 9112 7)
    **{
        f"coding {name}": [OK + b"Transfer-Encoding: %b\r\n\r\n" % name.encode() + chunk(b"hello") + b"0\r\n\r\n", FIN]
        for name in (
            "gzip",
            "gzip, chunked",
            "chunked, gzip",
            "identity",
            "xchunked",
            "chunked,",
            "chunked;q=1",
            '"chunked"',
        )
    },
    "chunked twice": [CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\n\r\n"],
    "an empty coding": [OK + b"Transfer-Encoding:\r\n\r\nhello", FIN],
    "chunked in 1.0": [b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\n\r\n"],
    # Chunks (RFC 9112 7.1)
    "a negative size": [CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n"],
    "a size with a sign": [CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n"],
    "a size with a prefix": [CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n"],
    "a size of no digits": [CHUNKED + b"xyz\r\nhello\r\n0\r\n\r\n"],
    "an empty size": [CHUNKED + b"\r\nhello\r\n0\r\n\r\n"],
    "a size beyond 64 bits": [CHUNKED + b"FFFFFFFFFFFFFFFFF\r\nhello"],
    "a blank before a size": [CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n"],
    "a blank after a size": [CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n"],
    "a NUL in a size": [CHUNKED + b"5\0\r\nhello\r\n0\r\n\r\n"],
    "bare LF in chunks": [CHUNKED + b"5\nhello\n0\n\n"],
    "a chunk longer than its size": [CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n"],
    "an endless extension": [CHUNKED + b"5;" + b"a" * BYTES_OF_TRAILERS],
    "an endless trailer": [CHUNKED + b"0\r\nX-A: " + b"a" * BYTES_OF_TRAILERS],
    "endless trailers": [CHUNKED + b"0\r\n" + b"X-A: 1\r\n" * (BYTES_OF_TRAILERS // 8)],
    "a trailer that is folded": [CHUNKED + b"0\r\nX-A: 1\r\n b\r\n\r\n"],
    # The head (RFC 9112 5 and 2.2)
    "a folded field": [OK + b"X-A: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"],
    "a folded coding": [OK + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"],
    "a blank in a name": [OK + b"X A: a\r\nContent-Length: 5\r\n\r\nhello"],
    "a blank after a name": [OK + b"Content-Length : 5\r\n\r\nhello"],
    "a blank before the first name": [OK + b" X-A: a\r\nContent-Length: 5\r\n\r\nhello"],
    "a NUL in a name": [OK + b"X\0A: a\r\nContent-Length: 5\r\n\r\nhello"],
    "a name beyond ASCII": [OK + b"X-\xe9: a\r\nContent-Length: 5\r\n\r\nhello"],
    "an empty name": [OK + b": a\r\nContent-Length: 5\r\n\r\nhello"],
    "no colon": [OK + b"X-A\r\nContent-Length: 5\r\n\r\nhello"],
    "a NUL in a value": [OK + b"X-A: a\0b\r\nContent-Length: 5\r\n\r\nhello"],
    "a control character in a value": [OK + b"X-A: a\x01b\r\nContent-Length: 5\r\n\r\nhello"],
    "a DEL in a value": [OK + b"X-A: a\x7fb\r\nContent-Length: 5\r\n\r\nhello"],
    "a bare CR in a value": [OK + b"X-A: a\rX-B: b\r\nContent-Length: 5\r\n\r\nhello"],
    "a bare LF after a value": [OK + b"X-A: a\nContent-Length: 5\r\n\r\nhello"],
    "a head of bare LFs": [b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"],
    "a blank line with a bare LF": [OK + b"Content-Length: 5\r\n\nhello"],
    "one field of 70 KiB": [OK + b"X-A: " + b"a" * 70 * 1024 + b"\r\nContent-Length: 5\r\n\r\nhello"],
    "70 KiB of fields": [OK + (b"X-A: " + b"a" * 993 + b"\r\n") * 70 + b"Content-Length: 5\r\n\r\nhello"],
    "300 fields": [OK + b"X-A: 1\r\n" * 300 + b"Content-Length: 5\r\n\r\nhello"],
    "an endless head": [OK + b"X-A: ", *[b"a" * 20_000] * 5],
    "an endless reason": [b"HTTP/1.1 200 " + b"a" * 70 * 1024],
    "endless blank lines": [b"\r\n" * 40 * 1024],
    # The status line (RFC 9112 4)
    "HTTP/0.9": [b"hello", FIN],
    "HTTP/0.9, named": [b"HTTP/0.9 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "HTTP/1.2": [b"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "HTTP/2.0": [b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "HTTP/2.0, kept": [b"HTTP/2.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"],
    "http in lower case": [b"http/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "Shoutcast": [b"ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "SSH": [b"SSH-2.0-OpenSSH_9.2\r\n"],
    "HTML": [b"<html>hello</html>"],
    "a TLS alert": [b"\x15\x03\x01\x00\x02\x02\x16"],
    "HTTP/2 settings": [b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"],
    "zeros": [b"\0" * 100],
    "a request": [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    "a status of two digits": [b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "a status of four digits": [b"HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "a status below 100": [b"HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "a negative status": [b"HTTP/1.1 -20 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "a status in words": [b"HTTP/1.1 two OK\r\nContent-Length: 5\r\n\r\nhello"],
    "two blanks before the status": [b"HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    # What must not come before an answer
    "nine informational answers": [b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + PLAIN],
    "rubbish after an informational answer": [b"HTTP/1.1 100 Continue\r\n\r\nrubbish" + PLAIN],
}

# More than was asked for: the answer counts, what follows does not, and the connection is not used again.
EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
SURPLUS: dict[str, Good] = {
    "a byte": Good([PLAIN + b"X"]),
    "the beginning of an answer": Good([PLAIN + b"H"]),
    "a second answer": Good([PLAIN + EVIL]),
    "a second answer after chunks": Good([CHUNKED + chunk(b"hello") + b"0\r\n\r\n" + EVIL]),
    "a second answer after trailers": Good([CHUNKED + chunk(b"hello") + b"0\r\nX-A: 1\r\n\r\n" + EVIL]),
    "a second answer after `close`": Good([OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello" + EVIL]),
    "a second answer, apart": Good([PLAIN, EVIL]),
    "a blank line, apart": Good([PLAIN, b"\r\n"]),
    "an informational answer, apart": Good([PLAIN, b"HTTP/1.1 100 Continue\r\n\r\n"]),
    "a body where none is": Good([b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello"]),
    "a last chunk where none is": Good([b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]),
    "a body that is not modified": Good([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello"]),
    "another protocol": Good([b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + PLAIN]),
    "an upgrade": Good([b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" + PLAIN]),
    "a body after HEAD": Good([PLAIN], method="HEAD"),
    "a second answer after HEAD": Good([OK + b"Content-Length: 5\r\n\r\n" + EVIL], method="HEAD"),
}


def table(rows: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("case", rows.values(), ids=rows)


@table(GOOD)
async def test_a_good_answer_is_what_httpx_makes_of_it(transport: HTTPTransport, case: Good) -> None:
    async with RawServer(case.script) as server, httpx.AsyncHTTPTransport(verify=False, trust_env=False) as other:
        got = await get(transport, server.origin, case.method)
        request = httpx.Request(case.method, server.url, headers={"accept-encoding": "identity"}, content=b"{}")
        response = await other.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        raw = b"".join([piece async for piece in response.stream])
        assert got.status == response.status_code
        assert got.fields == [(name.lower(), value) for name, value in response.headers.raw]
        assert got.body == raw
        await response.aclose()


@table(GOOD)
async def test_a_connection_is_used_again_where_that_is_safe(transport: HTTPTransport, case: Good) -> None:
    async with RawServer(case.script, [PLAIN]) as server:
        await get(transport, server.origin, case.method)
        if case.script[-1] in (FIN, RST):
            await server.left_alone()
        assert (await get(transport, server.origin)).body == b"hello"
        assert server.connections == (1 if case.kept else 2)


@table(BROKEN)
async def test_a_broken_answer_ends_its_connection_and_is_an_error_of_ours(
    transport: HTTPTransport, case: Script
) -> None:
    script = case if case[-1] in (FIN, RST) else [*case, HANG]
    async with RawServer(script, [PLAIN]) as server:
        with pytest.raises(UpstreamInterrupted) as failure:
            await get(transport, server.origin)
        await server.left_alone()
        assert failure.value.code == "upstream_interrupted"
        assert (await get(transport, server.origin)).body == b"hello"
        assert (server.connections, len(server.requests)) == (2, 2)


@table(SURPLUS)
async def test_what_comes_after_an_answer_ends_its_connection_and_poisons_nothing(
    transport: HTTPTransport, case: Good
) -> None:
    async with RawServer([*case.script, HANG], [PLAIN]) as server:
        got = await get(transport, server.origin, case.method)
        assert got.body == (b"hello" if got.status == 200 and case.method != "HEAD" else b"")
        await server.left_alone()
        assert (await get(transport, server.origin)).body == b"hello"
        assert server.connections == 2


@pytest.mark.parametrize("cut", [1, 3])
async def test_what_arrived_before_a_break_is_handed_out_first(transport: HTTPTransport, cut: int) -> None:
    async with RawServer([CHUNKED, *map(chunk, EVENTS[:cut]), FIN]) as server:
        answer = await ask(transport, server.origin)
        body = b""
        with pytest.raises(UpstreamInterrupted):
            while piece := await answer.read():
                body += piece
        assert body == b"".join(EVENTS[:cut])
        assert not answer.complete
        with pytest.raises(UpstreamInterrupted):
            await answer.read()


async def test_a_coding_may_be_written_in_any_case(transport: HTTPTransport) -> None:
    """httpx agrees, but shows the field in lower case."""
    async with RawServer([OK + b"Transfer-Encoding: Chunked\r\n\r\n" + chunk(b"hello") + b"0\r\n\r\n"]) as server:
        assert await get(transport, server.origin) == (200, [(b"transfer-encoding", b"Chunked")], b"hello")


@pytest.mark.parametrize("tab", [b"\t", b" \t "])
async def test_chunks_behind_a_coding_that_ends_with_a_tab_are_no_content(transport: HTTPTransport, tab: bytes) -> None:
    async with RawServer([OK + b"Transfer-Encoding: chunked" + tab + b"\r\n\r\n" + chunk(b"hello"), HANG]) as server:
        with pytest.raises(UpstreamInterrupted):
            await ask(transport, server.origin)
        await server.left_alone()


async def test_trailers_do_not_become_fields(transport: HTTPTransport) -> None:
    async with RawServer([CHUNKED + chunk(b"hello") + b"0\r\nAuthorization: evil\r\n\r\n"]) as server:
        assert (await get(transport, server.origin)).fields == [(b"transfer-encoding", b"chunked")]


async def test_informational_fields_do_not_become_fields(transport: HTTPTransport) -> None:
    async with RawServer([b"HTTP/1.1 103 X\r\nX-Evil: 1\r\nTransfer-Encoding: chunked\r\n\r\n" + PLAIN]) as server:
        assert (await get(transport, server.origin)).fields == [(b"content-length", b"5")]


async def test_a_small_answer_is_complete_at_once(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        answer = await ask(transport, server.origin)
        assert answer.complete
        assert answer.take() == b"hello"
        assert answer.take() == b""
        assert await answer.read() == b""


async def test_blank_lines_before_an_answer_are_passed_over(transport: HTTPTransport) -> None:
    """RFC 9112 2.2 asks that of servers; some upstreams end a body with one too many."""
    async with RawServer([b"\r\n\r\n" + PLAIN]) as server:
        assert (await get(transport, server.origin)).body == b"hello"


async def test_a_request_goes_out_as_it_was_built(transport: HTTPTransport) -> None:
    async with RawServer([PLAIN]) as server:
        for size in (0, 2, 64 * 1024, 64 * 1024 + 1, 3_000_000):
            content = b"x" * size
            await body_of(await ask(transport, server.origin, content=content))
            head = b"POST / HTTP/1.1\r\nhost: upstream.test\r\ncontent-length: %d\r\n\r\n" % size
            assert server.requests[-1] == head + content
        assert server.connections == 1
