"""An app that runs in a task between two queues of messages: what the ASGI harness in `asgi.py` is built on."""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Self

from starlette.types import ASGIApp, Message, Scope

PATIENCE = 10.0  # seconds until "the app sends nothing" is a failure; never waited for by a test that passes


class AppEnded(AssertionError):
    """The app returned where another message was expected."""


class ProtocolViolation(AssertionError):
    """The app sent something that an ASGI server would not take."""


class Conversation:
    """An app at work. Subclasses say what its client is like, and what the app may send."""

    disconnect_type: str

    def __init__(self, app: ASGIApp, scope: Scope, *, window: int | None = None) -> None:
        self.scope = scope
        self.messages: list[Message] = []  # all that the app sent while someone listened
        self.dropped: list[Message] = []  # all that it sent after the client had left
        self._app, self._window = app, window
        self._requests: deque[Message] = deque()
        self._unread: deque[Message] = deque()
        self._gone: Message | None = None
        self._error: BaseException | None = None
        self._changed = asyncio.Condition()
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()
        await self.ended(raising=error is None)

    @property
    def running(self) -> bool:
        return not self._ended

    @property
    def all_read(self) -> bool:
        """Whether the test has had every message sent so far."""
        return not self._unread

    async def disconnect(self) -> None:
        """The client goes away, whatever it had still to send or to read."""
        await self.leave({"type": self.disconnect_type})

    async def ended(self, *, raising: bool = True) -> None:
        """Wait until the app has returned. What it raised is raised here, unless a reader has had it already."""
        assert self._task is not None
        await asyncio.wait({self._task}, timeout=PATIENCE)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=PATIENCE)
            raise AssertionError("the app goes on although its client has left")
        if raising:
            self._raise_error()

    async def message(self) -> Message:
        """The next message that the app sends. Raises what the app raised, or `AppEnded` if it returned."""
        async with self._changed:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._changed.wait_for(lambda: self._unread or self._ended)
            except TimeoutError:
                raise AssertionError(f"the app sends nothing; so far: {self._sent_types()}") from None
            if self._unread:
                self._changed.notify_all()  # there is room for another
                return self._unread.popleft()
        self._raise_error()
        raise AppEnded(f"the app returned; it had sent {self._sent_types()}")

    def queue(self, message: Message) -> None:
        """What the client has sent before the app runs."""
        self._requests.append(message)

    async def put(self, message: Message) -> None:
        """What the client sends now."""
        self._requests.append(message)
        await self._notify()

    async def leave(self, message: Message) -> None:
        """From now on `receive` gives this message only."""
        if self._gone is None:
            self._gone = message
            await self._notify()

    def check(self, message: Message) -> None:
        """Raise `ProtocolViolation` where the app may not send this message now."""

    async def sent(self, message: Message) -> None:
        """What a message changes for the client."""

    async def _run(self) -> None:
        try:
            await self._app(self.scope, self._receive, self._send)
        except Exception as error:
            self._error = error
        finally:
            self._ended = True
            await self._notify()

    async def _receive(self) -> Message:
        async with self._changed:
            await self._changed.wait_for(lambda: self._gone or self._requests)
            return self._gone or self._requests.popleft()

    async def _send(self, message: Message) -> None:
        self.check(message)
        async with self._changed:
            await self._changed.wait_for(self._has_room)
            if self._gone is not None:  # as in uvicorn, the app is not told
                self.dropped.append(message)
                return
            self.messages.append(message)
            self._unread.append(message)
            self._changed.notify_all()
        await self.sent(message)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._gone is not None or self._window is None or len(self._unread) < self._window

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _sent_types(self) -> list[str]:
        return [message["type"] for message in self.messages]
