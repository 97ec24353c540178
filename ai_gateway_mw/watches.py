"""Watches: exchanges that wait for others, and are given up when their client leaves, or nobody has time for them."""

from __future__ import annotations

import asyncio

from ai_gateway_mw.asgi import Receive, shortcuts
from ai_gateway_mw.errors import ClientGone, GatewayError

_TICK = 0.05  # seconds; the upstream call of a client that has left is to end within 0.25


class Watch:
    """One exchange that waits for others, and is given up when its client leaves: its task is cancelled then.

    Made by `Watches.open`, in the task that is to be cancelled.
    """

    __slots__ = ("_listener", "_receive", "_server", "_task", "is_told", "listening", "reason")

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._receive = receive
        self._listener: asyncio.Task[None] | None = None
        self.listening = False
        self.reason: GatewayError | None = None
        self._server = shortcuts(receive)
        self.is_told = self._server.when_gone(self._leave)  # by the server: then there is no need to listen

    def listen(self) -> None:
        """Notice from now on when the client leaves. Takes every message that `receive` has left."""
        self.listening = True
        self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self.interrupt(ClientGone("The client left before the answer was complete."))

    def interrupt(self, reason: GatewayError) -> None:
        """Give the exchange up, if that has not happened already."""
        if self.reason is None:
            self.reason = reason
            self._task.cancel()

    def interruption(self) -> GatewayError | None:
        """The reason of a `CancelledError` that has come, which is then over; None where somebody else's counts."""
        return None if self.reason is None or self._task.uncancel() > 0 else self.reason

    def close(self) -> None:
        """Be told nothing any more, and listen no longer."""
        if self.is_told:
            self._server.when_gone(None)
        listener, self._listener = self._listener, None  # its end knows the frames it went through, and they know this
        if listener is not None:
            listener.cancel()


class Watches:
    """The exchanges of one gateway that wait now.

    Our own server tells when a client leaves. With others it takes a task to listen for that, and most exchanges are
    over before it matters: it begins with those that have waited for one to two ticks; all of them share one timer.
    """

    def __init__(self, tick: float = _TICK) -> None:
        self._tick = tick
        self._told: set[Watch] = set()
        self._new: set[Watch] = set()
        self._waiting: set[Watch] = set()
        self._listening: set[Watch] = set()
        self._timer: tuple[asyncio.AbstractEventLoop, asyncio.TimerHandle] | None = None

    def open(self, receive: Receive) -> Watch:
        """Watch what the current task does. To be closed by the same task."""
        watch = Watch(receive)
        if watch.is_told:
            self._told.add(watch)
            return watch
        self._new.add(watch)
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer[0] is not loop:  # an earlier loop may have ended between two ticks
            self._timer = loop, loop.call_later(self._tick, self._on_tick)
        return watch

    def close(self, watch: Watch) -> None:
        """Listen no longer; harmless when repeated."""
        if watch.is_told:
            self._told.discard(watch)
        else:
            self._new.discard(watch)
            self._waiting.discard(watch)
            self._listening.discard(watch)
        watch.close()

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, (self._told, self._new, self._waiting, self._listening)))

    def interrupt(self, reason: GatewayError) -> None:
        """Give up all exchanges that wait now, as when the server has no more time for them."""
        for watch in (*self._told, *self._new, *self._waiting, *self._listening):
            watch.interrupt(reason)

    def _on_tick(self) -> None:
        for watch in self._waiting:
            watch.listen()
        self._listening |= self._waiting
        self._waiting, self._new = self._new, set()
        loop = asyncio.get_running_loop()
        self._timer = (loop, loop.call_later(self._tick, self._on_tick)) if self._waiting else None
