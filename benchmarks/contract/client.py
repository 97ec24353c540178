"""A client over bare connections: it sees whether an answer came to its end or was cut, and can leave at any moment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from httptools import HttpParserError, HttpResponseParser

PATIENCE = 30.0
_HOST = "127.0.0.1"


class Answer:
    """What came back for one request. `whole`: its framing says that all of it came; `cut`: it ended without."""

    __slots__ = ("body", "cut", "fields", "head_in", "status", "whole")

    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[str, str] = {}
        self.body = bytearray()
        self.head_in = False
        self.whole = False
        self.cut = False

    @property
    def ended(self) -> bool:
        return self.whole or self.cut

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return {}

    def __str__(self) -> str:
        end = "whole" if self.whole else "cut" if self.cut else "open"
        return f"{self.status} {end} {bytes(self.body[-160:])!r}"


class Connection(asyncio.Protocol):
    """One connection to the gateway; one request at a time."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.open = False
        self._news = asyncio.Event()
        self._parser = HttpResponseParser(self)

    def send(self, request: bytes) -> Answer:
        self.answer = Answer()
        self._transport.write(request)
        return self.answer

    async def until(self, condition: Callable[[Answer], bool], patience: float = PATIENCE) -> bool:
        """Wait until the condition holds; False if the answer ends, or patience does, before."""
        try:
            async with asyncio.timeout(patience):
                while not condition(self.answer):
                    if self.answer.ended:
                        return False
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def ended(self, patience: float = PATIENCE) -> Answer:
        """The answer when it has ended, or when patience has."""
        await self.until(lambda answer: answer.ended, patience)
        return self.answer

    @property
    def port(self) -> int:
        """Its port on this side."""
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def leave(self) -> None:
        """As a client does whose process ends."""
        if self.open:
            self._transport.abort()
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self.open = True

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._transport.abort()
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self.answer.cut = not self.answer.whole
        self._news.set()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.answer.fields[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.answer.status = self._parser.get_status_code()
        self.answer.head_in = True

    def on_body(self, body: bytes) -> None:
        self.answer.body += body

    def on_message_complete(self) -> None:
        self.answer.whole = True
        if not self._parser.should_keep_alive():
            self.open = False
            self._transport.close()


class Client:
    """Connections to one port, used again where they can be."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[Connection] = []

    async def ask(self, request: bytes, *, patience: float = PATIENCE) -> Answer:
        """The answer, when it has ended or patience has."""
        connection = await self.opened()
        connection.send(request)
        answer = await connection.ended(patience)
        if answer.whole and connection.open:
            self._free.append(connection)
        else:
            connection.leave()
        return answer

    async def opened(self) -> Connection:
        """A connection of one's own, which is not used by others until it is given back by `ask`."""
        while self._free:
            connection = self._free.pop()
            if connection.open:
                return connection
        return await connect(self._port)

    def close(self) -> None:
        for connection in self._free:
            connection.leave()
        self._free.clear()


async def connect(port: int, *, source: str | None = None) -> Connection:
    """A new connection; `source` is the address that it comes from, where it is not the usual one."""
    loop, local = asyncio.get_running_loop(), None if source is None else (source, 0)
    _, connection = await loop.create_connection(Connection, _HOST, port, local_addr=local)
    return connection


def post(path: str, body: Mapping[str, Any], fields: Mapping[str, str] | None = None) -> bytes:
    """A request as bytes."""
    content = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: gateway", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}", *(f"{name}: {value}" for name, value in (fields or {}).items())]
    return "\r\n".join([*lines, "", ""]).encode() + content


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode()
