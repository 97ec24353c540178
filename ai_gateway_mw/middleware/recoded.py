"""RecodedSend: the last step of an answer that is coded on its way (`compress-response`)."""

from __future__ import annotations

import asyncio

from ai_gateway_mw.asgi import Message, Send
from ai_gateway_mw.compression import SLICE, Recoding
from ai_gateway_mw.headers import Field


class RecodedSend:
    """A `send` that holds the head until the body begins, and so shows whether it is worth coding."""

    def __init__(self, send: Send, recoding: Recoding) -> None:
        self._send = send
        self._recoding: Recoding | None = recoding
        self._held: Message | None = None  # the head, while its body has not begun

    async def __call__(self, message: Message) -> None:
        recoding = self._recoding
        if recoding is None:
            await self._send(message)
        elif message["type"] == "http.response.start":
            self._held = message
        elif message["type"] == "http.response.body":
            await self._send_coded(recoding, message)
        else:  # what is this? It goes as it came, and so does what follows
            await self._release(None)
            await self._send(message)

    async def _send_coded(self, recoding: Recoding, message: Message) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._held is not None:
            fields = recoding.begin(self._held["status"], self._held["headers"], body, more=more)
            if fields is None:
                await self._release(None)
                await self._send(message)
                return
            if not more and len(body) <= SLICE:
                whole = b"".join(recoding.pieces(body, more=False))
                await self._release([*fields, (b"content-length", b"%d" % len(whole))])
                await self._send({"type": "http.response.body", "body": whole})
                return
            await self._release(fields)
        for piece in recoding.pieces(body, more=more):
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            if len(body) > SLICE:
                await asyncio.sleep(0)  # to code one takes a while: others have their turn
        if not more:
            await self._send({"type": "http.response.body", "body": b""})

    async def _release(self, fields: list[Field] | None) -> None:
        """Send the head that was held: with these fields, or as it was, and then the body goes as it comes."""
        head, self._held = self._held, None
        if fields is None:
            self._recoding = None
        if head is not None:
            await self._send(head if fields is None else {**head, "headers": fields})
