"""What there is of an answer while rules may still change it: its head, a body that is held back, its event stream."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.headers import Fields
from ai_gateway_mw.streams import Answered, EventMessage, Windows
from ai_gateway_mw.texts import Replacer


@dataclass(slots=True)
class ResponseHead:
    """The status line and fields of the answer, while the response phases may still change them."""

    status: int
    fields: Fields = field(default_factory=Fields)


class AnswerBody:
    """The body of an answer whose head is held back: whoever wants it waits until all of it has come.

    `edited` is what it becomes, None as long as nobody has changed it.
    """

    __slots__ = ("_come", "edited", "wanted")

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.wanted: asyncio.Future[None] = loop.create_future()
        self._come: asyncio.Future[bytes] = loop.create_future()
        self.edited: bytes | None = None

    async def read(self) -> bytes:
        """The body as it is now. Raises the `GatewayError` of one that could not be held."""
        if self.edited is not None:
            return self.edited
        if not self.wanted.done():
            self.wanted.set_result(None)
        return await self._come

    def come(self, body: bytes) -> None:
        self._come.set_result(body)

    def fail(self, error: GatewayError) -> None:
        self._come.set_exception(error)


class StreamState:
    """What rules know of the event stream that passes: the message whose turn it is, and what was said so far.

    `wanted` holds the replacements across messages that rules want for this message.
    """

    __slots__ = ("answered", "message", "wanted", "windows")

    def __init__(self) -> None:
        self.message = EventMessage(b"")
        self.windows = Windows()
        self.wanted: list[Replacer] = []
        self.answered = Answered()
