"""An answer whose head waits for the response rules, and they perhaps for its body."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from ai_gateway_mw.answering import AnswerBody
from ai_gateway_mw.asgi import ASGIApp, Message
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import BodyNotHeld


class HeldAnswer:
    """The rules run in a task of their own: whoever sends the answer has to go on for its body to come."""

    __slots__ = ("_body", "_limit", "_pieces", "_size", "decision", "head", "is_whole")

    def __init__(self, head: Message, rules: Coroutine[Any, Any, ASGIApp | None], ctx: Context) -> None:
        self.head = head
        self.is_whole = False
        self._limit = ctx.limits.max_body
        self._body = ctx.answer_body = AnswerBody()
        self._pieces: list[bytes] = []
        self._size = 0
        self.decision = asyncio.create_task(rules)

    async def wants_body(self) -> bool:
        """Whether the rules wait for the body; False: they have decided."""
        either: set[asyncio.Future[Any]] = {self.decision, self._body.wanted}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        return not self.decision.done()

    def take(self, piece: bytes, *, last: bool) -> bool:
        """One more piece of it; whether the rules can go on now."""
        self._pieces.append(bytes(piece))
        self._size += len(piece)
        if self._size > self._limit:
            self._pieces.clear()
            self._body.fail(BodyNotHeld(f"the answer is larger than {self._limit} bytes"))
            return True
        if last:
            self.is_whole = True
            self._body.come(b"".join(self._pieces))
        return last

    @property
    def body(self) -> bytes:
        return self._body.edited if self._body.edited is not None else b"".join(self._pieces)

    def close(self) -> None:
        self.decision.cancel()
