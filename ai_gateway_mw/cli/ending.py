"""The end of a server in good order: first it is no longer ready, then it takes no more, and at last it gives up what
still runs, so that every client learns that its answer is not complete."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ai_gateway_mw.asgi import ASGIApp, Message, Receive, Scope, Send
from ai_gateway_mw.errors import Overloaded
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.replies import json_reply

FAREWELL: Final = 2.0  # seconds for what was given up to tell its client so
_AGAIN: Final = 0.1  # seconds until what has come to wait since is given up, too
_CLOSE: Final = (b"connection", b"close")
_UNREADY: Final = {"status": "unready", "checks": {"server": "is stopping"}}


class Ending:
    """A gateway's app that ends as its server is told to.

    On SIGTERM it says at once that it is not ready. For `delay` seconds it goes on as before, since load balancers need
    a moment to notice; then the server stops to listen. What runs after `drain` seconds in all is given up.

    SIGTERM within `together` seconds of the first is that again: service managers tell a whole group, and so does what
    supervises a worker.
    """

    def __init__(self, app: ASGIApp, gateway: Gateway, *, delay: float, drain: float, together: float = 0.0) -> None:
        self._app = app
        self._gateway = gateway
        self._delay = delay
        self._drain = max(drain, delay)
        self._servers: dict[int, Any] = {}  # what the server does on signals, by their numbers
        self._together = together
        self._leaving = False
        self._told = 0.0  # when it was first told, on the loop's clock

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """No coroutine of its own: it stands around every exchange."""
        if scope["type"] == "lifespan":
            self._listen()
        elif self._leaving:
            send = _closing(send)
            if scope.get("path") == "/readyz":
                return json_reply(503, _UNREADY)(scope, receive, send)
        return self._app(scope, receive, send)

    def _listen(self) -> None:
        """From here on, signals come here first. The server's own handlers stand already: it starts the lifespan.

        Not by `add_signal_handler`: what a loop handles has its default again once it is closed, and one more SIGTERM
        would kill a process that is about to end well.
        """
        loop = asyncio.get_running_loop()

        def told(number: int, _: object) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._leave, number, delays[number])

        delays = {int(signal.SIGTERM): self._delay, int(signal.SIGINT): 0.0}
        for number in delays:
            self._servers[number] = signal.signal(number, told)

    def _leave(self, number: int, delay: float) -> None:
        stop: Callable[[int, None], object] = self._servers[number]
        loop = asyncio.get_running_loop()
        if self._leaving:  # told once more: the server hurries
            if number != signal.SIGTERM or loop.time() - self._told >= self._together:
                stop(number, None)
            return
        self._leaving, self._told = True, loop.time()
        loop.call_later(delay, stop, number, None)
        loop.call_later(self._drain, self._give_up)

    def _give_up(self) -> None:
        self._gateway.interrupt(Overloaded("The gateway is stopping.", fields=[("retry-after", "1")]))
        asyncio.get_running_loop().call_later(_AGAIN, self._give_up)


def _closing(send: Send) -> Send:
    """Has clients connect anew for their next request; it reaches another server then."""

    async def closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
        await send(message)

    return closing
