"""The load: connections of one event loop that ask and time what comes back, in several rhythms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

from httptools import HttpParserError, HttpResponseParser

_HOST = "127.0.0.1"
_SENT = b'"sent":'
_DIGITS = 19
_DONE = b"[DONE]\n\n"


class Answer:
    """What came back for one request; times are those of `time.monotonic`."""

    __slots__ = ("begun", "delays", "ended", "events", "first", "status", "tail")

    def __init__(self, begun: float) -> None:
        self.begun = begun
        self.first = 0.0  # the first byte of the body
        self.ended = 0.0  # 0 for ever, if the connection was cut
        self.status = 0
        self.events = 0
        self.tail = b""  # the last bytes of the body
        self.delays: list[float] = []  # from the provider's write to our read, one for each event seen

    @property
    def served(self) -> bool:
        return self.status == 200 and self.ended > 0

    @property
    def whole(self) -> bool:
        """An event stream that came to its proper end."""
        return self.served and self.tail == _DONE

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    @property
    def first_after(self) -> float:
        return self.first - self.begun


class Connection(asyncio.Protocol):
    """A client's connection: one request at a time. `finished` is called when it was answered, or cut."""

    def __init__(self, finished: Callable[[Connection], None]) -> None:
        self.answer: Answer | None = None
        self.open = False
        self._finished = finished
        self._parser = HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self.open = True

    def send(self, message: bytes) -> Answer:
        self.answer = Answer(time.monotonic())
        self._transport.write(message)
        return self.answer

    def pause(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        self._transport.resume_reading()

    def close(self) -> None:
        if self.open:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._transport.abort()

    def on_headers_complete(self) -> None:
        if self.answer:
            self.answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        answer = self.answer
        if answer is None:
            return
        now = time.monotonic()
        if not answer.first:
            answer.first = now
        answer.tail = (answer.tail + body)[-len(_DONE) :]
        place = body.find(_SENT)
        while place >= 0:
            answer.events += 1
            sent = body[place + len(_SENT) : place + len(_SENT) + _DIGITS]
            if len(sent) == _DIGITS:
                answer.delays.append(now - int(sent) / 1e9)
            place = body.find(_SENT, place + 1)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.open = False
            self._transport.close()
        if self.answer:
            self.answer.ended = time.monotonic()
            self._finished(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self.answer and not self.answer.ended:
            self._finished(self)


async def connect(port: int, finished: Callable[[Connection], None]) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(finished), _HOST, port)
    return connection


@dataclass(slots=True)
class Load:
    """What a load has seen."""

    answers: list[Answer] = field(default_factory=list)
    elapsed: float = 0.0
    unsent: int = 0
    """Requests that were due while every connection was busy."""

    @property
    def served(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.served]

    @property
    def failed(self) -> int:
        return len(self.answers) - len(self.served)

    @property
    def rate(self) -> float:
        return len(self.served) / self.elapsed


async def closed(port: int, message: bytes, *, connections: int, seconds: float) -> Load:
    """Each connection asks again as soon as it was answered."""
    load = Load()
    begun = time.monotonic()
    done = asyncio.Event()
    busy = connections

    def finished(connection: Connection) -> None:
        nonlocal busy
        assert connection.answer is not None
        load.answers.append(connection.answer)
        if connection.open and time.monotonic() < begun + seconds:
            connection.send(message)
            return
        busy -= 1
        if not busy:
            done.set()

    opened = [await connect(port, finished) for _ in range(connections)]
    begun = time.monotonic()
    try:
        for connection in opened:
            connection.send(message)
        await _within(done.wait(), seconds + 5)
        load.elapsed = time.monotonic() - begun
    finally:
        close(opened)
    return load


async def paced(
    port: int,
    message: bytes,
    *,
    rate: float,
    seconds: float,
    connections: int,
    sent_all: Callable[[], None] = lambda: None,
    patience: float = 5.0,
) -> Load:
    """So many requests a second, whether or not earlier ones were answered, over the connections that are free.

    `sent_all` is called when the last one is out; the load then waits for what is missing, as long as `patience`.
    """
    load = Load()
    free: list[Connection] = []
    answered = asyncio.Event()
    broken = 0

    def finished(connection: Connection) -> None:
        nonlocal broken
        assert connection.answer is not None
        load.answers.append(connection.answer)
        if connection.open:
            free.append(connection)
        else:
            broken += 1
        answered.set()

    opened = [await connect(port, finished) for _ in range(connections)]
    free += opened
    begun = time.monotonic()
    due = 0
    try:
        while (now := time.monotonic() - begun) < seconds:
            new = int(now * rate) + 1 - due
            due += new
            sent = min(new, len(free))
            load.unsent += new - sent
            for _ in range(sent):
                free.pop().send(message)
            await asyncio.sleep(max(0.001, due / rate - now))
        sent_all()
        until = time.monotonic() + patience
        while len(free) + broken < connections and time.monotonic() < until:
            answered.clear()
            await _within(answered.wait(), until - time.monotonic())
        load.elapsed = time.monotonic() - begun
    finally:
        close(opened)
    return load


class Streams:
    """Many event streams, opened one after the other and held until they end."""

    def __init__(self, port: int, message: bytes) -> None:
        self._port = port
        self._message = message
        self._opened: list[Connection] = []
        self._running = 0
        self._done = asyncio.Event()
        self.answers: list[Answer] = []

    @property
    def events(self) -> int:
        return sum(answer.events for answer in self.answers)

    async def open(self, count: int, *, ramp: float, slowly_read: bool = False) -> None:
        begun = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, begun + ramp * number / count - time.monotonic()))
            self._running += 1
            self._done.clear()
            try:
                connection = await connect(self._port, self._finished)
            except OSError:
                self.answers.append(Answer(time.monotonic()))
                self._running -= 1
                continue
            self._opened.append(connection)
            self.answers.append(connection.send(self._message))
            if slowly_read:
                connection.pause()

    def read(self) -> None:
        """Begin to read what is slowly read."""
        for connection in self._opened:
            connection.resume()

    async def ended(self, patience: float) -> None:
        if self._running:
            await _within(self._done.wait(), patience)

    def close(self) -> None:
        close(self._opened)

    def _finished(self, connection: Connection) -> None:
        self._running -= 1
        if not self._running:
            self._done.set()


def close(connections: Iterable[Connection]) -> None:
    for connection in connections:
        connection.answer = None  # what comes now is nobody's
        connection.close()


async def _within(work: Coroutine[Any, Any, object], seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(work, seconds)


def percentile(values: Sequence[float], share: float) -> float | None:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
