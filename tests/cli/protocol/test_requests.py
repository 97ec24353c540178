"""What is a request, and what is refused as none: on real sockets, at once and byte by byte."""

from __future__ import annotations

import pytest

from tests.cli.protocol.talking import CHUNKED, GET, HEAD, LAST, App, Client, heard, refused

MANY = b"".join(b"a%d: b\r\n" % number for number in range(101))
REFUSED = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/0.9, said so": (b"GET / HTTP/0.9\r\nhost: x\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 400),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nhost: x\r\n\r\n", 400),
    "unknown method": (b"BREW / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "endless method": (b"A" * 100_000 + b" / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\nhost: x\r\nHost: x\r\n\r\n", 400),
    "two Hosts in HTTP/1.0": (b"GET / HTTP/1.0\r\nhost: x\r\nHost: x\r\n\r\n", 400),
    "Host with a path": (b"GET / HTTP/1.1\r\nhost: x/y\r\n\r\n", 400),
    "Host with user information": (b"GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", 400),
    "absolute form": (b"GET http://169.254.169.254/latest HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "absolute form of our own": (b"GET http://x/ HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "authority form": (b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "tunnel": (b"CONNECT / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc", 400),
    "method of RTSP": (b"DESCRIBE / RTSP/1.0\r\nhost: x\r\n\r\n", 400),
    "method of Icecast": (b"SOURCE / ICE/1.0\r\nhost: x\r\n\r\n", 400),
    "fragment of a query": (b"GET /?a#b HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "fragment": (b"GET /#a HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "raw UTF-8": ("GET /ä HTTP/1.1\r\nhost: x\r\n\r\n".encode(), 400),
    "tab in the target": (b"GET /a\tb HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "DEL in the target": (b"GET /a\x7fb HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "NUL in the target": (b"GET /a\0b HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "tab before the target": (b"GET\t/ HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "space after the version": (b"GET / HTTP/1.1 \r\nhost: x\r\n\r\n", 400),
    "space before the method": (b" GET / HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "space before the colon": (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
    "field without a name": (b"GET / HTTP/1.1\r\nhost: x\r\n: a\r\n\r\n", 400),
    "line that is no field": (b"GET / HTTP/1.1\r\nhost: x\r\na\r\n\r\n", 400),
    "folded field": (b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n", 400),
    "first field folded": (b"GET / HTTP/1.1\r\n host: x\r\nhost: x\r\n\r\n", 400),
    "tab before the colon": (b"GET / HTTP/1.1\r\nhost: x\r\na\t: b\r\n\r\n", 400),
    "NUL in a name": (b"GET / HTTP/1.1\r\nhost: x\r\na\0b: c\r\n\r\n", 400),
    "parenthesis in a name": (b"GET / HTTP/1.1\r\nhost: x\r\na(b: c\r\n\r\n", 400),
    "name beyond ASCII": (b"GET / HTTP/1.1\r\nhost: x\r\n\xe9: c\r\n\r\n", 400),
    "ESC in a field": (b"GET / HTTP/1.1\r\nhost: x\r\na: \x1b[0m\r\n\r\n", 400),
    "DEL in a field": (b"GET / HTTP/1.1\r\nhost: x\r\na: \x7f\r\n\r\n", 400),
    "vertical tab in a field": (b"GET / HTTP/1.1\r\nhost: x\r\na: b\vc\r\n\r\n", 400),
    "CR before the end of a line": (b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\r\n\r\n", 400),
    "bare LF for the last line": (b"GET / HTTP/1.1\r\nhost: x\r\n\n", 400),
    "NUL in a field": (b"GET / HTTP/1.1\r\nhost: x\r\na: b\0\r\n\r\n", 400),
    "bare CR in a field": (b"GET / HTTP/1.1\r\nhost: x\r\na: b\rc\r\n\r\n", 400),
    "bare LF": (b"GET / HTTP/1.1\nhost: x\n\n", 400),
    "bare LF after a field": (b"GET / HTTP/1.1\r\nhost: x\na: b\r\n\r\n", 400),
    "length and coding": (HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding and length": (HEAD + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (HEAD + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400),
    "list of lengths": (HEAD + b"content-length: 3, 3\r\n\r\nabc", 400),
    "signed length": (HEAD + b"content-length: +3\r\n\r\nabc", 400),
    "length in hex": (HEAD + b"content-length: 0x3\r\n\r\nabc", 400),
    "length in two words": (HEAD + b"content-length: 3 3\r\n\r\nabc", 400),
    "length less than nothing": (HEAD + b"content-length: -3\r\n\r\nabc", 400),
    "length after a vertical tab": (HEAD + b"content-length:\v3\r\n\r\nabc", 400),
    "empty length": (HEAD + b"content-length:\r\n\r\n", 400),
    "huge length": (HEAD + b"content-length: 99999999999999999999\r\n\r\n", 400),
    "other coding": (HEAD + b"transfer-encoding: gzip\r\n\r\n", 400),
    "more codings": (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "almost chunked": (HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "chunked, then another": (HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "chunked in quotes": (HEAD + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    "chunked with a parameter": (HEAD + b"transfer-encoding: chunked;a=b\r\n\r\n0\r\n\r\n", 400),
    "chunked after a vertical tab": (HEAD + b"transfer-encoding:\vchunked\r\n\r\n0\r\n\r\n", 400),
    "no coding": (HEAD + b"transfer-encoding:\r\n\r\n", 400),
    "no coding, and a length": (HEAD + b"transfer-encoding:\r\ncontent-length: 3\r\n\r\nabc", 400),
    "identity": (HEAD + b"transfer-encoding: identity\r\n\r\n", 400),
    "coding in HTTP/1.0": (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "upgrade to HTTP/2": (GET[:-2] + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n", 400),
    "upgrade to WebSocket": (GET[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n", 400),
    "chunk size with a sign": (CHUNKED + b"+1\r\na\r\n0\r\n\r\n", 400),
    "chunk size in 0x": (CHUNKED + b"0x1\r\na\r\n0\r\n\r\n", 400),
    "chunk size with a space": (CHUNKED + b"1 \r\na\r\n0\r\n\r\n", 400),
    "chunk size beyond numbers": (CHUNKED + b"f" * 17 + b"\r\na\r\n", 400),
    "no chunk size": (CHUNKED + b";a\r\na\r\n0\r\n\r\n", 400),
    "chunk size less than nothing": (CHUNKED + b"-1\r\na\r\n0\r\n\r\n", 400),
    "chunk extension without a name": (CHUNKED + b"1;\r\na\r\n0\r\n\r\n", 400),
    "bare CR in a chunk extension": (CHUNKED + b"1;a\rb\r\na\r\n0\r\n\r\n", 400),
    "bare LF in a chunk extension": (CHUNKED + b"1;a\nb\r\na\r\n0\r\n\r\n", 400),
    "chunk that runs into the next": (CHUNKED + b"1\r\na0\r\n\r\n", 400),
    "bare LF after the last chunk": (CHUNKED + b"0\r\n\n", 400),
    "length in the trailers": (CHUNKED + b"0\r\ncontent-length: 5\r\n\r\n", 400),
    "coding in the trailers": (CHUNKED + b"0\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    "chunk with a bare LF": (CHUNKED + b"1\na\n0\n\n", 400),
    "chunk longer than its size": (CHUNKED + b"1\r\nab\r\n0\r\n\r\n", 400),
    "trailers without end": (CHUNKED + b"0\r\n" + MANY + b"\r\n", 431),
    "many fields": (b"GET / HTTP/1.1\r\nhost: x\r\n" + MANY + b"\r\n", 431),
    "long field": (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 70_000 + b"\r\n\r\n", 431),
    "endless field": (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"b" * 2_000_000, 431),
    "long target": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 414),
    "endless target": (b"GET /" + b"a" * 2_000_000, 414),
}


@pytest.mark.parametrize(("said", "status"), REFUSED.values(), ids=REFUSED)
def test_refused(said: bytes, status: int, app: App, url: str) -> None:
    asked = app.asked
    code = {400: "invalid_request", 414: "request_too_large", 431: "request_too_large"}[status]
    assert refused(heard(url, said)) == (status, code)
    assert app.asked == asked


@pytest.mark.parametrize("size", [1, 7])
def test_refused_in_pieces(size: int, url: str) -> None:
    said = b"GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n"
    assert refused(heard(url, *(said[i : i + size] for i in range(0, len(said), size)))) == (400, "invalid_request")


def test_framing_instead_of_content(url: str) -> None:
    """An extension of a chunk may be as long as it likes, and no parser shows it."""
    said = (CHUNKED, b"1", *(b";" + b"a" * 50_000 for _ in range(8)))
    assert refused(heard(url, *said)) == (413, "request_too_large")


ACCEPTED = {
    "plain": (GET, b"GET / host "),
    "empty lines before it": (b"\r\n\r\n" + GET, b"GET / host "),
    "percent-encoded": (b"GET /%C3%A4?%20 HTTP/1.1\r\nhost: x\r\n\r\n", "GET /ä host ".encode()),
    "blanks around values": (b"GET / HTTP/1.1\r\nhost: \t x \t \r\na:b \r\n\r\n", b"GET / host,a "),
    "IPv6 host": (b"GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", b"GET / host "),
    "empty host": (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", b"GET / host "),
    "length": (HEAD + b"content-length: 3\r\n\r\nabc", b"POST / host,content-length abc"),
    "chunks": (CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", b"POST / host,transfer-encoding abc"),
    "a coding in upper case": (
        HEAD + b"transfer-encoding: CHUNKED \r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"POST / host,transfer-encoding a",
    ),
    "trailers": (CHUNKED + b"1\r\na\r\n0\r\nauthorization: Bearer evil\r\n\r\n", b"POST / host,transfer-encoding a"),
    "a hundred fields": (
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 99 + b"\r\n",
        b"GET / host" + b",a" * 99 + b" ",
    ),
}


@pytest.mark.parametrize(("said", "body"), ACCEPTED.values(), ids=ACCEPTED)
@pytest.mark.parametrize("size", [1, 1_000_000], ids=["byte by byte", "at once"])
def test_accepted(said: bytes, body: bytes, size: int, url: str) -> None:
    with Client(url) as client:
        for start in range(0, len(said), size):
            client.say(said[start : start + size])
        head = client.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\ndate: ")
        assert b"connection: close" not in head
        assert client.until(body)[-len(body) :] == body
        assert client.say(LAST).rest().endswith(b"GET /last host,connection ")


def test_trailers_never_join_the_head(url: str) -> None:
    """Not even where they come before the app has run."""
    said = CHUNKED + b"0\r\nauthorization: Bearer evil\r\nx-forwarded-for: 10.0.0.1\r\n\r\n" + LAST
    assert b"POST / host,transfer-encoding HTTP/1.1 200" in heard(url, said)


def test_pipelined_requests_are_answered_in_order(url: str) -> None:
    paths = b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(4))
    answers = heard(url, paths + LAST)
    places = [answers.index(b"GET /%d host " % number) for number in range(4)]
    assert places == sorted(places)
    assert answers.endswith(b"GET /last host,connection ")


def test_a_fault_in_a_later_request_waits_its_turn(url: str) -> None:
    first, second = heard(url, GET + b"GET / HTTP/1.1\r\n\r\n").split(b"GET / host ")
    assert first.startswith(b"HTTP/1.1 200")
    assert refused(second) == (400, "invalid_request")


def test_too_many_pipelined_requests(url: str) -> None:
    answers = heard(url, GET * 50)
    assert answers.count(b"HTTP/1.1 200 OK") == 9
    assert answers.count(b"HTTP/1.1 400 ") == 1


def test_nothing_is_taken_after_the_last_request(url: str) -> None:
    assert heard(url, LAST + GET).count(b"HTTP/1.1 ") == 1
