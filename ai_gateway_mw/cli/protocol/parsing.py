"""RequestParser: the bytes of one connection become requests (RFC 9112), one after the other.

httptools does the reading and refuses most of what is broken; what it lets pass and we do not stands here, and in
`request_head`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import httptools

from ai_gateway_mw.cli.protocol.limits import Limits
from ai_gateway_mw.cli.protocol.request_head import Fields, method, target, waits_for_continue
from ai_gateway_mw.errors import BadRequest, GatewayError, HeadTooLarge, TargetTooLong

if TYPE_CHECKING:
    from ai_gateway_mw.cli.protocol.connection import Connection

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_TOO_MANY_FIELDS: Final = "The request has too many fields."
_HEAD_TOO_LARGE: Final = "The head of the request is too large."


class RequestParser:
    """Tells its connection of each request: `requested`, then `content` as it comes, then `sent`."""

    __deletable__ = ("_parser", "_connection")  # when it is released

    __slots__ = ("_connection", "_fault", "_fields", "_limits", "_parser", "_target", "is_within_head", "received")

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self.is_within_head = False  # of which some has come
        self.received = 0  # bytes since the end of a request; the connection counts those of a body anew
        self._connection = connection
        self._limits = limits
        self._fault: GatewayError | None = None
        self._target = b""
        self._fields: Fields = []
        self._parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        """Raises `GatewayError` for what is no request that may be answered; nothing is to be fed after it."""
        self.received += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise self._fault or BadRequest("What was sent is not a proper HTTP request.") from None
        if self.is_within_head and self.received > self._limits.head:  # one endless field, which has not been shown yet
            raise HeadTooLarge(_HEAD_TOO_LARGE)
        if len(self._fields) > self._limits.fields:  # of a head or of trailers that are not complete yet
            raise HeadTooLarge(_TOO_MANY_FIELDS)

    def release(self) -> None:
        """Nothing more will come: let go of what refers back to this, which only the cycle collector could free."""
        del self._parser, self._connection
        self._fields = []

    # Called by httptools. What is raised here stops it.

    def on_message_begin(self) -> None:
        self._target, self._fields, self.is_within_head = b"", [], True

    def on_url(self, url: bytes) -> None:
        self._target = url if not self._target else self._target + url
        if len(self._target) > self._limits.target:
            self._stop(TargetTooLong("The request target is too long."))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value.rstrip(b" \t")))  # RFC 9112 5; httptools strips the other end

    def on_headers_complete(self) -> None:
        fields, parser, connection = self._fields, self._parser, self._connection
        self._fields, self.is_within_head = [], False  # the new ones are trailers (RFC 9110 6.5), which no rule sees
        if len(fields) > self._limits.fields:
            self._stop(HeadTooLarge(_TOO_MANY_FIELDS))
        if self.received > self._limits.head:
            self._measure(fields)
        version = parser.get_http_version()
        try:
            waits = waits_for_continue(fields, version)
            path, raw_path, query = target(self._target)
            scope = {
                "type": "http",
                "asgi": _ASGI,
                "http_version": version,
                "method": method(parser.get_method()),
                "scheme": connection.scheme,
                "path": path,
                "raw_path": raw_path,
                "query_string": query,
                "root_path": "",
                "headers": fields,
                "client": connection.client,
                "server": connection.server,
                "state": connection.service.app_state.copy(),
            }
            keep_alive = version == "1.1" and parser.should_keep_alive()
            connection.requested(scope, keep_alive=keep_alive, waits_for_continue=waits)
        except GatewayError as fault:
            self._stop(fault)

    def on_body(self, content: bytes) -> None:
        self._connection.content(content)

    def on_message_complete(self) -> None:
        if len(self._fields) > self._limits.fields:
            self._stop(HeadTooLarge(_TOO_MANY_FIELDS))
        self.received = 0
        self._connection.sent()

    def _stop(self, fault: GatewayError) -> NoReturn:
        """Have the parser stop; it does not hand exceptions on."""
        self._fault = fault
        raise fault

    def _measure(self, fields: Fields) -> None:
        """What came may be more than the head."""
        if len(self._target) + sum(len(name) + len(value) for name, value in fields) > self._limits.head:
            self._stop(HeadTooLarge(_HEAD_TOO_LARGE))
