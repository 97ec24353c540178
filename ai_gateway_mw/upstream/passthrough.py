"""Passthrough: an upstream's answer becomes ASGI messages, its bytes unchanged, as they come."""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache

from ai_gateway_mw.asgi import Receive, Scope, Send
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import ClientGone, GatewayError, UpstreamError, UpstreamInterrupted
from ai_gateway_mw.headers import Field, to_client
from ai_gateway_mw.replies import error_event
from ai_gateway_mw.secrets import SecretStore
from ai_gateway_mw.upstream.transport import UpstreamResponse

_log = logging.getLogger("ai_gateway_mw.upstream")

_MAX_ERROR = _MAX_HELD = 1024 * 1024
_WITHOUT_BODY = frozenset({204, 304})  # RFC 9110 6.4.1
_BLANK_LINES = (b"\n\n", b"\n\r\n", b"\r\r")  # WHATWG HTML 9.2.5: a line ends with CRLF, LF or CR


class Passthrough:
    """Turns `ctx.upstream` into the answer: an ASGI app that streams it."""

    def __init__(self, secrets: SecretStore) -> None:
        self._secrets = secrets

    async def __call__(self, ctx: Context) -> UpstreamAnswer:
        assert ctx.upstream is not None
        return UpstreamAnswer(ctx, ctx.upstream, self._secrets)


class UpstreamAnswer:
    """The answer of an upstream as an ASGI app; the response is closed on every path."""

    def __init__(self, ctx: Context, response: UpstreamResponse, secrets: SecretStore) -> None:
        self._ctx = ctx
        self._response = response
        self._secrets = secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._response
        try:
            if response.complete and response.status < 400 and not response.is_event_stream:
                await self._send_whole(send)
            else:
                await self._send_as_it_comes(send)
        finally:
            await response.aclose()

    async def _send_whole(self, send: Send) -> None:
        """An answer that is all here: nothing is waited for but the client."""
        response = self._response
        body = response.take()
        head = self._head()
        if response.status not in _WITHOUT_BODY:
            head.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": response.status, "headers": head})
        await send({"type": "http.response.body", "body": body})

    async def _send_as_it_comes(self, send: Send) -> None:
        response = self._response
        if response.status >= 400:
            await self._send_error(send)
            return
        head = self._head()
        length = response.field(b"content-length")
        framed = response.field(b"transfer-encoding") or response.status in _WITHOUT_BODY
        if length and not framed and not response.is_event_stream:
            head.append((b"content-length", length))
        await send({"type": "http.response.start", "status": response.status, "headers": head})
        await (self._stream_events(send) if response.is_event_stream else self._stream(send))

    def _head(self) -> list[Field]:
        """The fields for the client, but for the length of what follows."""
        attempts = self._ctx.attempts
        candidate = attempts[-1].candidate
        fields = to_client(self._response.fields)
        upstream_id = self._response.field(b"x-request-id")
        if upstream_id:
            fields.append((b"x-upstream-request-id", upstream_id))
        if candidate.model:
            fields.append((b"x-gateway-model", _shown(candidate.model.id)))
        fields.append((b"x-gateway-provider", _shown(candidate.provider.id)))
        fields.append((b"x-gateway-attempts", b"%d" % len(attempts)))
        return fields

    async def _send_error(self, send: Send) -> None:
        """An upstream's error goes on as it is, but for configured secrets that it may echo and for endless length."""
        key = self._ctx.attempts[-1].candidate.key
        secrets = key.ring.secrets if key is not None else self._secrets  # a layer above may have a store of its own
        clean = secrets.redact_bytes(await self._response.buffered(_MAX_ERROR))
        if self._response.field(b"content-encoding") not in (b"", b"identity"):
            # We asked for plain text; what a compressed error echoes cannot be looked through.
            raise UpstreamError("The provider answered with an error that cannot be read.")
        head = [(name, secrets.redact_bytes(value)) for name, value in self._head()]
        head.append((b"content-length", b"%d" % len(clean)))
        await send({"type": "http.response.start", "status": self._response.status, "headers": head})
        await send({"type": "http.response.body", "body": clean})

    async def _stream(self, send: Send) -> None:
        """A body that breaks off is aborted (no final chunk): a clean end would make it look complete."""
        while chunk := await self._response.read():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _stream_events(self, send: Send) -> None:
        """An event stream that breaks off ends with the error event of its format, never with a terminator.

        Bytes after the last complete event wait for their rest, so that an error event never lands inside another; an
        event that is too long for that goes on in parts.
        """
        held, open_event = bytearray(), False
        try:
            while chunk := await self._response.read():
                whole = _complete_events(held, chunk)
                open_event = open_event and not whole
                if len(held) > _MAX_HELD:
                    whole, open_event = whole + held, True
                    held.clear()
                if whole:
                    await send({"type": "http.response.body", "body": whole, "more_body": True})
        except UpstreamError as error:
            provider = self._ctx.attempts[-1].candidate.provider
            _log.warning("request %s: the stream of %s broke off", self._ctx.id, provider.id)
            held[:] = (b"\n\n" if open_event else b"") + self._error_event(error)
        except asyncio.CancelledError:
            reason = self._ctx.watch.interruption() if self._ctx.watch is not None else None
            if reason is None:
                raise
            if isinstance(reason, ClientGone):
                raise reason from None
            held[:] = (b"\n\n" if open_event else b"") + self._error_event(reason)
        await send({"type": "http.response.body", "body": bytes(held)})

    def _error_event(self, error: GatewayError) -> bytes:
        route = self._ctx.route
        known = error.status in (503, 504)
        interrupted = error if known else UpstreamInterrupted("The upstream stream was interrupted.")
        return error_event(interrupted, self._ctx.api_format, route.surface if route else None)


@lru_cache(maxsize=256)
def _shown(name: str) -> bytes:
    """A name as a field value: the client may have made it up, line breaks and all."""
    return "".join(character if character.isprintable() else "?" for character in name).encode("latin-1", "replace")


def _complete_events(held: bytearray, chunk: bytes) -> bytes:
    """What was held with the chunk after it, up to the end of the last complete event; the rest is held."""
    if not held and chunk.endswith((b"\n\n", b"\r\n\r\n")):
        return chunk
    new = max(0, len(held) - 2)  # a blank line may begin in what is held, which has none that is complete
    held += chunk
    end = max((at + len(blank) for blank in _BLANK_LINES if (at := held.rfind(blank, new)) >= 0), default=0)
    whole = bytes(held[:end])
    del held[:end]
    return whole
