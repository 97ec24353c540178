"""The fake upstream on a real port, with its ledger; and ports where nothing answers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self

from tests.fake_upstream.answers import Answer
from tests.fake_upstream.ledger import Received
from tests.fake_upstream.script import Script
from tests.fake_upstream.wire import BadRequest, Cut, Reply, Source, read_body, read_head, reset, write_reply

PATIENCE = 10.0
_BACKLOG = 2048  # who does not fit in waits a second before the next try: a timeout that no test has asked for


class Upstream:
    """`async with Upstream() as upstream:` listens on `upstream.url`, and writes down what it is asked.

    A client that breaks HTTP/1.1 gets a 400, and makes the test fail when the upstream closes: see `violations`.
    """

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.violations: list[str] = []
        self.port = 0
        self.connections = 0  # opened so far
        self.abandoned = 0  # requests whose body the client did not finish
        self._script = Script()
        self._handlers: set[asyncio.Task[None]] = set()
        self._arrival = asyncio.Condition()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._handlers)

    @property
    def keys(self) -> list[str | None]:
        """The keys that requests came with, in order."""
        return [received.key for received in self.requests]

    def on(
        self,
        *answers: Answer,
        key: str | None = None,
        path: str | None = None,
        model: str | None = None,
        method: str | None = None,
        number: int | None = None,
    ) -> None:
        """Requests that meet all these conditions get these answers in turn, and the last one ever after."""
        conditions = {"key": key, "path": path, "model": model, "method": method, "number": number}
        self._script.on(*answers, **{name: wanted for name, wanted in conditions.items() if wanted is not None})

    async def arrived(self, number: int = 1) -> Received:
        """Wait until so many requests have come; the last of them."""
        async with asyncio.timeout(PATIENCE), self._arrival:
            await self._arrival.wait_for(lambda: len(self.requests) >= number)
        return self.requests[number - 1]

    async def over(self, number: int = 1) -> Received:
        """Wait until the upstream is done with that request: it was replied to, cut, or given up by the client."""
        received = await self.arrived(number)
        async with asyncio.timeout(PATIENCE):
            await received.over.wait()
        return received

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=_BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._handlers:
            task.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        assert not self.violations, self.violations

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            await self._requests_of(self.connections, Source(reader), writer)
        except asyncio.CancelledError:
            writer.transport.abort()  # the upstream closes; swallowed, since asyncio.streams would log it
        finally:
            self._handlers.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _requests_of(self, connection: int, source: Source, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                received = await self._read(connection, source)
                reply = received.reply = self._script.reply(received)
            except EOFError:
                return
            except BadRequest as problem:
                self.violations.append(str(problem))
                writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            try:
                if not await self._answer(received, reply, source, writer):
                    return
            finally:
                received.over.set()

    async def _read(self, connection: int, source: Source) -> Received:
        method, target, fields = await read_head(source)
        try:
            body = await read_body(source, fields)
        except EOFError:
            self.abandoned += 1
            raise
        received = Received(len(self.requests) + 1, connection, method, target, fields, body)
        self.requests.append(received)
        async with self._arrival:
            self._arrival.notify_all()
        return received

    async def _answer(self, received: Received, reply: Reply, source: Source, writer: asyncio.StreamWriter) -> bool:
        """Write the reply while watching the client. False where the connection is to end."""
        writing = asyncio.ensure_future(write_reply(writer, reply))
        watching = asyncio.ensure_future(source.more())
        try:
            await asyncio.wait({writing, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not writing.done() and watching.result():
                await asyncio.wait({writing})  # the client has sent its next request already
            if not writing.done():
                received.closed_early = True
                return False
            writing.result()
        except Cut:
            if reply.reset:
                reset(writer)
            return False
        except ConnectionError:
            received.closed_early = True
            return False
        finally:
            writing.cancel()
            watching.cancel()
            await asyncio.gather(writing, watching, return_exceptions=True)
        return True


class ThreadedUpstream(Upstream):
    """The same in a thread of its own, for tests that are not async: `with ThreadedUpstream() as upstream:`."""

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="upstream", daemon=True)
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self.__aenter__(), self._loop).result(PATIENCE)

    def __exit__(self, *failure: object) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self.__aexit__(*failure), self._loop).result(PATIENCE)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE)
            self._loop.close()

    def wait_arrived(self, number: int = 1) -> Received:
        return asyncio.run_coroutine_threadsafe(self.arrived(number), self._loop).result(PATIENCE)

    def wait_over(self, number: int = 1) -> Received:
        return asyncio.run_coroutine_threadsafe(self.over(number), self._loop).result(PATIENCE)


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can take meanwhile: bound, but not listened on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]
