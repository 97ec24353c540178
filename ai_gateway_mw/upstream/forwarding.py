"""Forwarding: a whole request goes to an upstream of the operator's own, and its answer comes back as it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from ai_gateway_mw.asgi import Receive, Scope, Send, Written, body_writer
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AmbiguousPath, GatewayError
from ai_gateway_mw.headers import CONNECTION_SPECIFIC, GATEWAY_KEY, Field, holds_gateway_key, named_by_connection
from ai_gateway_mw.hops import FIELD as HOPS
from ai_gateway_mw.secrets import SecretStore
from ai_gateway_mw.upstream.http1 import Origin, UpstreamResponse
from ai_gateway_mw.upstream.transport import UpstreamRequest
from ai_gateway_mw.urls import encoded_path, encoded_query

_FRAMING: Final = CONNECTION_SPECIFIC | {b"host", b"content-length", b"expect"}
_FOR, _PROTO, _HOST, _ID = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id"
_OF_THE_SERVER: Final = frozenset({b"content-length", b"date", b"server"})  # ours says these itself
_WITHOUT_BODY: Final = frozenset({204, 304})  # RFC 9110 6.4.1
_ENDS_OF_TEXTS: Final = (b"json", b"xml", b"javascript", b"x-www-form-urlencoded")
_DOTS: Final = frozenset({".", ".."})
_SHORT: Final = 1024  # bytes of a body


def forwarded_request(ctx: Context, base_url: str, origin: Origin, body: bytes, hops: Field) -> UpstreamRequest:
    """The client's request for an upstream: Host as it was, and a word on whom it comes from.

    Raises `AmbiguousPath` for a path that the next server could take for another one than the rules saw.
    """
    host = ctx.request_fields.get(b"host")
    fields = [item for item in _passed(ctx) if item[0] not in (_FOR, _PROTO, _HOST, _ID, HOPS)]
    address = str(ctx.client_ip or "unknown").encode()
    scheme = str(ctx.scope.get("scheme", "http")).encode()
    fields.append((_FOR, _appended(ctx, _FOR, address)))
    fields.append((_PROTO, _appended(ctx, _PROTO, scheme)))
    if there := ctx.request_fields.get(_HOST) or host:
        fields.append((_HOST, there))
    fields += [(_ID, ctx.id.encode()), hops]
    if host is not None:
        origin = origin.with_authority(host)
    return UpstreamRequest(ctx.method, origin, _target(ctx, urlsplit(base_url).path), fields, body)


def check_path(ctx: Context) -> None:
    """Raises `AmbiguousPath` where the path holds a segment that leads elsewhere for the next server."""
    if not _DOTS.isdisjoint(ctx.path.replace("\\", "/").split("/")):
        raise AmbiguousPath("The request path can be read in more than one way.")


def _target(ctx: Context, below: str) -> bytes:
    path = encoded_path(ctx.path, ctx.raw_path)
    query = "&".join(pair for pair in encoded_query(ctx.query).split("&") if not holds_gateway_key(pair.encode()))
    return f"{below}{path}{'?' + query if query else ''}".encode()


def _passed(ctx: Context) -> Iterable[Field]:
    """Everything but what belongs to the connection, and gateway keys."""
    hop = _FRAMING | named_by_connection(ctx.request_fields.sent)
    own = [item for item in ctx.request_fields.sent if item[0] not in hop]
    added = [item for item in ctx.request_fields.added if item[0] not in _FRAMING]
    return [item for item in own + added if GATEWAY_KEY not in item[1]]


def _appended(ctx: Context, name: bytes, value: bytes) -> bytes:
    return b", ".join([*ctx.request_fields.all(name), value])


class ForwardedAnswer:
    """The answer of an upstream as an ASGI app; it is closed on every path.

    Configured secrets are taken out of text that is not compressed; the rest goes on as it is.
    """

    def __init__(self, ctx: Context, response: UpstreamResponse, secrets: SecretStore) -> None:
        self._ctx = ctx
        self._response = response
        self._secrets = secrets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._response
        try:
            if not response.encoded and _is_text(response.media_type):
                await self._send_text(send)
            else:
                await self._send(send, self._head(with_length=True))
        finally:
            self._ctx.upstream = None
            await response.aclose()

    async def _send_text(self, send: Send) -> None:
        response = self._response
        redactor = self._secrets.stream_redactor()
        is_here = response.complete or self._ctx.method == "HEAD"
        if is_here or _is_short(response):
            body = redactor.whole(response.take() if is_here else await response.buffered(_SHORT))
            head = self._head(with_length=self._ctx.method == "HEAD")
            if self._ctx.method != "HEAD" and response.status not in _WITHOUT_BODY:
                head.append((b"content-length", b"%d" % len(body)))
            await send({"type": "http.response.start", "status": response.status, "headers": head})
            await send({"type": "http.response.body", "body": body})
            return
        await send({"type": "http.response.start", "status": response.status, "headers": self._head()})
        write = body_writer(send)

        def pass_on(piece: bytes) -> Written:
            passed = redactor.feed(piece)
            return write(passed) if passed else None

        await response.pour(pass_on)
        await send({"type": "http.response.body", "body": redactor.flush()})

    async def _send(self, send: Send, head: list[Field]) -> None:
        await send({"type": "http.response.start", "status": self._response.status, "headers": head})
        await self._response.pour(body_writer(send))
        await send({"type": "http.response.body", "body": b""})

    def _head(self, *, with_length: bool = False) -> list[Field]:
        """The fields for the client; a length that may change is not promised."""
        response = self._response
        hop = CONNECTION_SPECIFIC | named_by_connection(response.fields)
        framed = response.field(b"transfer-encoding") or not with_length or response.status in _WITHOUT_BODY
        head = [item for item in response.fields if item[0] not in hop | _OF_THE_SERVER]
        if not framed and (length := response.field(b"content-length")):
            head.append((b"content-length", length))
        redact = self._secrets.redact_bytes
        return [(name, redact(value)) for name, value in head]


def _is_text(media_type: bytes) -> bool:
    return media_type.startswith(b"text/") or media_type.endswith(_ENDS_OF_TEXTS)


def _is_short(response: UpstreamResponse) -> bool:
    """Whether the body says that it is: it is on its way with its head, and no piece of it is worth sending alone."""
    length = response.field(b"content-length")
    return length.isdigit() and int(length) < _SHORT and not response.field(b"transfer-encoding")


def is_timeout(error: GatewayError) -> bool:
    """Whether an upstream was too slow, rather than away."""
    return error.status == 504
