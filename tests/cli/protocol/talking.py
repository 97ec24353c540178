"""Clients that say what they like, byte by byte, and an app that does what its path says."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self
from urllib.parse import urlsplit

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

    async def _triple(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b"), (b"a", b"b", b"c")]})

    async def _started(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    async def _head(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await _gone(receive)

    async def _silent(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    async def _short(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"def"})

    async def _long(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"def"})

    async def _persistent(self, scope: Any, receive: Any, send: Any) -> None:
        """Does not mind that a body was refused, and sends another that would fit what is owed."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        with suppress(ValueError):
            await send({"type": "http.response.body", "body": b"bc"})
        await send({"type": "http.response.body", "body": b"de"})

    async def _mended(self, scope: Any, receive: Any, send: Any) -> None:
        with suppress(ValueError):
            await send({"type": "http.response.start", "status": 204, "headers": [(b"", b"")]})
        await _answer(send, b"mended")

    async def _large(self, scope: Any, receive: Any, send: Any) -> None:
        await _answer(send, b"a" * 100_000 + b"z")

    async def _unmodified(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 304, "headers": [(b"content-length", b"7")]})
        await send({"type": "http.response.body"})

    async def _nothing(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
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

    def finish(self) -> None:
        """Say that nothing more will be said."""
        self._socket.shutdown(socket.SHUT_WR)

    def leave(self, *, rudely: bool = False) -> None:
        if rudely:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()


@contextmanager
def served(app: Any = None, limits: Limits | None = None, **config: Any) -> Iterator[str]:
    with serving(app or App(), http=HttpProtocol(limits), lifespan="off", ws="none", **config) as url:
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
