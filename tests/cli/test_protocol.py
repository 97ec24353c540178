"""HTTP/1.1 on real sockets: what is refused, how long clients may take, and how answers are framed."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from ai_gateway_mw.cli.protocol import HttpProtocol, Limits
from ai_gateway_mw.errors import UpstreamInterrupted
from tests.servers import serving

BRISK = Limits(head_time=0.2, body_time=0.2, rest_time=0.2, closing_time=0.2, unread_time=0.2, sweep=0.02)
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"


class App:
    """Answers with what it was asked: method, path, names of fields, and the body. Paths have it do something else."""

    def __init__(self) -> None:
        self.asked = 0
        self.sent = 0
        self.left = threading.Event()
        self.go_on = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        special = getattr(self, f"_{scope['path'].strip('/')}", None)
        if special is not None:
            await special(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            body, more = body + message["body"], message["more_body"]
        names = b",".join(name for name, _ in scope["headers"])
        answer = b" ".join((scope["method"].encode(), scope["path"].encode(), names, body))
        await _answer(send, answer)

    async def _early(self, scope: Any, receive: Any, send: Any) -> None:
        await _answer(send, b"enough")

    async def _waiting(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()

    async def _called(self, scope: Any, receive: Any, send: Any) -> None:
        scope["extensions"]["ai_gateway_mw.leaving"](self.left.set)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.to_thread(self.left.wait, 5)

    async def _stream(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for text in (b"one", b"", b"two"):
            await send({"type": "http.response.body", "body": text, "more_body": True})
        await send({"type": "http.response.body"})

    async def _endless(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(_gone(receive))
        while not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
            self.sent += 16384
            await asyncio.sleep(0)
        self.left.set()

    async def _broken(self, scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    async def _cut(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise UpstreamInterrupted("it broke off")

    async def _split(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nset-cookie: b")]})

    async def _nothing(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"dropped"})


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: Any, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Client:
    """A socket that says what it likes."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname, address.port), timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._socket.close()

    def say(self, data: bytes) -> Self:
        self._socket.sendall(data)
        return self

    def until(self, end: bytes) -> bytes:
        """What comes, up to and with `end`."""
        heard = b""
        while not heard.endswith(end):
            data = self._socket.recv(1 if end else 65536)
            assert data, f"the connection ended after {heard!r}"
            heard += data
        return heard

    def rest(self) -> bytes:
        """What comes until the connection ends, in whatever way."""
        heard = b""
        try:
            while data := self._socket.recv(65536):
                heard += data
        except ConnectionResetError:
            heard += b"<reset>"
        return heard

    def leave(self) -> None:
        self._socket.close()


@contextmanager
def served(app: Any = None, limits: Limits | None = None, **config: Any) -> Iterator[str]:
    with serving(app or App(), http=HttpProtocol(limits), lifespan="off", ws="none", **config) as url:
        yield url


@pytest.fixture(scope="module")
def app() -> App:
    return App()


@pytest.fixture(scope="module")
def url(app: App) -> Iterator[str]:
    with served(app) as url:
        yield url


@pytest.fixture(scope="module")
def brisk() -> Iterator[str]:
    with served(limits=BRISK) as url:
        yield url


def heard(url: str, *said: bytes) -> bytes:
    with Client(url) as client:
        for data in said:
            client.say(data)
        return client.rest()


def refused(answer: bytes) -> tuple[int, str]:
    """Status and code of an answer that is the only one and the last."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert b"\r\ncontent-type: application/json" in head
    assert b"\r\nx-request-id: req_" in head
    assert f"\r\ncontent-length: {len(body)}\r\n".encode() in head + b"\r\n"
    error = json.loads(body)["error"]
    assert f"\r\nx-gateway-error: {error['code']}".encode() in head
    return int(head.split(b" ")[1]), error["code"]


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
    "fragment": (b"GET /#a HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "raw UTF-8": ("GET /ä HTTP/1.1\r\nhost: x\r\n\r\n".encode(), 400),
    "tab in the target": (b"GET /a\tb HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "space before the colon": (b"GET / HTTP/1.1\r\nhost : x\r\n\r\n", 400),
    "field without a name": (b"GET / HTTP/1.1\r\nhost: x\r\n: a\r\n\r\n", 400),
    "line that is no field": (b"GET / HTTP/1.1\r\nhost: x\r\na\r\n\r\n", 400),
    "folded field": (b"GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n\r\n", 400),
    "NUL in a field": (b"GET / HTTP/1.1\r\nhost: x\r\na: b\0\r\n\r\n", 400),
    "bare CR in a field": (b"GET / HTTP/1.1\r\nhost: x\r\na: b\rc\r\n\r\n", 400),
    "bare LF": (b"GET / HTTP/1.1\nhost: x\n\n", 400),
    "bare LF after a field": (b"GET / HTTP/1.1\r\nhost: x\na: b\r\n\r\n", 400),
    "length and coding": (HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "coding and length": (HEAD + b"transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (HEAD + b"content-length: 3\r\ncontent-length: 3\r\n\r\nabc", 400),
    "list of lengths": (HEAD + b"content-length: 3, 3\r\n\r\nabc", 400),
    "signed length": (HEAD + b"content-length: +3\r\n\r\nabc", 400),
    "empty length": (HEAD + b"content-length:\r\n\r\n", 400),
    "huge length": (HEAD + b"content-length: 99999999999999999999\r\n\r\n", 400),
    "other coding": (HEAD + b"transfer-encoding: gzip\r\n\r\n", 400),
    "more codings": (HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "almost chunked": (HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "identity": (HEAD + b"transfer-encoding: identity\r\n\r\n", 400),
    "coding in HTTP/1.0": (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "upgrade to HTTP/2": (GET[:-2] + b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n", 400),
    "upgrade to WebSocket": (GET[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n", 400),
    "chunk size with a sign": (CHUNKED + b"+1\r\na\r\n0\r\n\r\n", 400),
    "chunk size in 0x": (CHUNKED + b"0x1\r\na\r\n0\r\n\r\n", 400),
    "chunk size with a space": (CHUNKED + b"1 \r\na\r\n0\r\n\r\n", 400),
    "chunk size beyond numbers": (CHUNKED + b"f" * 17 + b"\r\na\r\n", 400),
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
    "IPv6 host": (b"GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", b"GET / host "),
    "empty host": (b"GET / HTTP/1.1\r\nhost:\r\n\r\n", b"GET / host "),
    "length": (HEAD + b"content-length: 3\r\n\r\nabc", b"POST / host,content-length abc"),
    "chunks": (CHUNKED + b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n", b"POST / host,transfer-encoding abc"),
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


def test_http_1_0(url: str) -> None:
    """It ends with its connection, and nobody speaks of chunks."""
    answer = heard(url, b"GET /stream HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in answer
    assert answer.endswith(b"\r\nconnection: close\r\n\r\nonetwo")


def test_an_answer_of_unknown_length_is_chunked(url: str) -> None:
    with Client(url) as client:
        head = client.say(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").until(b"\r\n\r\n")
        assert b"\r\ntransfer-encoding: chunked\r\n" in head
        assert client.until(b"0\r\n\r\n") == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_an_answer_to_head_has_no_body(url: str) -> None:
    answer = heard(url, b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert b"\r\ncontent-length: 23\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_no_content_has_none(url: str) -> None:
    answer = heard(url, b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"connection: close") == 1
    assert b"transfer-encoding" not in answer


def test_100_continue_is_said_when_the_app_asks_for_the_body(url: str) -> None:
    with Client(url) as client:
        client.say(HEAD + b"expect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.say(b"abc").until(b" abc")


def test_100_continue_is_not_said_where_the_answer_is_known(url: str) -> None:
    with Client(url) as client:
        client.say(b"POST /early HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert client.until(b"enough").startswith(b"HTTP/1.1 200")


def test_a_body_that_nobody_asked_for_is_let_go_by(url: str) -> None:
    with Client(url) as client:
        client.say(b"POST /early HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        client.until(b"enough")
        client.say(b"a" * 1_000_000 + LAST)
        assert client.rest().endswith(b"GET /last host,connection ")


@pytest.mark.parametrize("path", [b"/broken", b"/split"])
def test_an_app_that_fails(path: bytes, url: str) -> None:
    assert refused(heard(url, b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path)) == (500, "internal_error")


def test_half_an_answer_does_not_look_whole(url: str) -> None:
    assert heard(url, b"GET /cut HTTP/1.1\r\nhost: x\r\n\r\n").endswith(b"\r\n\r\n4\r\nhalf\r\n")


def test_half_an_answer_does_not_look_whole_in_http_1_0(url: str) -> None:
    assert heard(url, b"GET /cut HTTP/1.0\r\n\r\n").endswith(b"<reset>")


@pytest.mark.parametrize("path", [b"waiting", b"called"])
def test_the_app_learns_at_once_that_the_client_left(path: bytes) -> None:
    app = App()
    with served(app) as url, Client(url) as client:
        client.say(b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n" % path).until(b"first\r\n")
        client.leave()
        assert app.left.wait(5)


def test_a_client_that_leaves_amid_its_request() -> None:
    app = App()
    with served(app) as url, Client(url) as client:
        client.say(HEAD + b"content-length: 3\r\n\r\na")
        client.leave()
        assert app.left.wait(5)


def test_a_fault_amid_the_body_ends_the_exchange() -> None:
    app = App()
    with served(app) as url, Client(url) as client:
        client.say(HEAD + b"expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n").until(b"\r\n\r\n")
        assert refused(client.say(b"1\r\na\r\nnonsense").rest()) == (400, "invalid_request")
        assert app.left.wait(5)


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


def test_too_many_at_once() -> None:
    with served(limit_concurrency=1) as url, Client(url) as first:
        first.say(b"GET /waiting HTTP/1.1\r\nhost: x\r\n\r\n").until(b"first\r\n")
        answer = heard(url, GET)
        assert refused(answer) == (503, "overloaded")
        assert b"\r\nretry-after: 1\r\n" in answer


def test_strangers_cannot_fill_the_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    for said, _ in (REFUSED["no HTTP"], REFUSED["upgrade to WebSocket"], REFUSED["chunk longer than its size"]):
        heard(url, said)
    assert not caplog.records


def test_the_limits_are_those_of_the_documentation() -> None:
    limits = Limits()
    written = (Path(__file__).parents[2] / "docs" / "server.md").read_text()
    for row in (
        f"| head of a request | {limits.head // 1024} KiB, of which the target {limits.target // 1024} KiB |",
        f"| fields, and trailers | {limits.fields} each |",
        f"| chunk sizes, extensions and trailers | {limits.framing // 1024} KiB, ",
        f"opening of the connection | {limits.head_time:.0f} s |",
        f"| time for a body | {limits.body_time:.0f} s, and a second for every {limits.body_rate // 1024} KiB ",
        f"has been answered | {limits.rest_time:.0f} s |",
        f"that waits for it | {limits.unread_time:.0f} s |",
        f"| bytes that wait for a client | {limits.buffer // 1024} KiB, ",
        f"more than {limits.pipelined} requests",
    ):
        assert row in written


def test_a_copy_for_another_process() -> None:
    copy = pickle.loads(pickle.dumps(HttpProtocol(BRISK)))
    assert copy.__getstate__() == {"_limits": BRISK, "_service": None}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_any_event_loop(loop: str) -> None:
    with served(loop=loop) as url:
        assert heard(url, LAST).endswith(b"GET /last host,connection ")
        assert refused(heard(url, b"\x00" * 300_000)) == (400, "invalid_request")
