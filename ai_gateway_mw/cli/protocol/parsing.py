"""RequestParser: the bytes of one connection become requests (RFC 9112), one after the other.

httptools does the reading and refuses most of what is broken; what it lets pass and we do not stands here, and in
`request_head`. A head that it has read need not be read again: see `known_head`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import httptools

from ai_gateway_mw.asgi import Scope
from ai_gateway_mw.cli.protocol.known_head import KnownHead, head_at_start
from ai_gateway_mw.cli.protocol.limits import Limits
from ai_gateway_mw.cli.protocol.request_head import Fields, method, target, waits_for_continue
from ai_gateway_mw.errors import BadRequest, GatewayError, HeadTooLarge, TargetTooLong

if TYPE_CHECKING:
    from ai_gateway_mw.cli.protocol.connection import Connection

_ASGI: Final = {"version": "3.0", "spec_version": "2.3"}
_TRIES: Final = 16  # heads that may come, each another than before, until none is remembered any more
_TOO_MANY_FIELDS: Final = "The request has too many fields."
_HEAD_TOO_LARGE: Final = "The head of the request is too large."


class RequestParser:
    """Tells its connection of each request: `requested`, then `content` as it comes, then `sent`; or `requested` alone
    with all of the content."""

    __slots__ = (
        "_connection",
        "_fault",
        "_fields",
        "_is_parsing",
        "_known",
        "_latest",
        "_limits",
        "_missing",
        "_packet",
        "_parser",
        "_target",
        "_tries",
        "is_within_head",
        "received",
    )

    def __init__(self, connection: Connection, limits: Limits) -> None:
        self.is_within_head = False  # of which some has come
        self.received = 0  # bytes since the end of a request; the connection counts those of a body anew
        self._connection = connection
        self._limits = limits
        self._fault: GatewayError | None = None
        self._target = b""
        self._fields: Fields = []
        self._parser = httptools.HttpRequestParser(self)
        self._is_parsing = False  # httptools is, within a request
        self._known: KnownHead | None = None
        self._latest: tuple[bytes, bytes, Fields, Scope] | None = None  # the head that may become the known one
        self._missing = 0  # bytes of the body that a known head has announced
        self._packet = b""  # what httptools reads, if a request begins with it whose head may become the known one
        self._tries = _TRIES

    def feed(self, data: bytes) -> None:
        """Raises `GatewayError` for what is no request that may be answered; nothing is to be fed after it."""
        if self._missing:
            data = self._take_content(data)
        if self._latest is not None and not self._is_parsing:
            self._get_to_know(*self._latest)
        while data and not self._is_parsing and (known := self._known) is not None and (again := known.again_in(data)):
            data = self._take(known.scope, again, data)
        if data:
            self._parse(data)

    def release(self) -> None:
        """Nothing more will come: let go of what refers back to this, which only the cycle collector could free."""
        del self._parser, self._connection
        self._fields, self._known, self._latest = [], None, None

    # Where a known head has come again: httptools, which is between two requests, sees nothing of this one.

    def _take(self, unchanging: Scope, again: tuple[Fields, int, int], data: bytes) -> bytes:
        """Gives what is left of the data."""
        fields, length, start = again
        connection = self._connection
        self._tries, self.received = _TRIES, 0
        scope = self._scope(unchanging, fields)
        end = start + length
        if end <= len(data) and length <= self._limits.buffer:
            connection.requested(scope, data[start:end])
            return data[end:]
        connection.requested(scope)
        self._missing = length
        return self._take_content(data[start:])

    def _scope(self, unchanging: Scope, fields: Fields) -> Scope:
        """One of its own for each request: apps write into theirs."""
        return {**unchanging, "headers": fields, "state": self._connection.service.app_state.copy()}

    def _take_content(self, data: bytes) -> bytes:
        content = data[: self._missing]
        self._missing -= len(content)
        if content:
            self._connection.content(content)
        if not self._missing:
            self._connection.sent()
        return data[len(content) :]

    # Everything else

    def _parse(self, data: bytes) -> None:
        self.received += len(data)
        self._packet = data if self._tries and not self._is_parsing else b""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise self._fault or BadRequest("What was sent is not a proper HTTP request.") from None
        if self.is_within_head and self.received > self._limits.head:  # one endless field, which has not been shown yet
            raise HeadTooLarge(_HEAD_TOO_LARGE)
        if len(self._fields) > self._limits.fields:  # of a head or of trailers that are not complete yet
            raise HeadTooLarge(_TOO_MANY_FIELDS)

    # Called by httptools. What is raised here stops it.

    def on_message_begin(self) -> None:
        self._target, self._fields, self.is_within_head, self._is_parsing = b"", [], True, True

    def on_url(self, url: bytes) -> None:
        self._target = url if not self._target else self._target + url
        if len(self._target) > self._limits.target:
            self._stop(TargetTooLong("The request target is too long."))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value.rstrip(b" \t")))  # RFC 9112 5; httptools strips the other end

    def on_headers_complete(self) -> None:
        fields, parser, connection = self._fields, self._parser, self._connection
        packet, self._packet = self._packet, b""  # the next head of it does not stand at its beginning
        self._fields, self.is_within_head = [], False  # the new ones are trailers (RFC 9110 6.5), which no rule sees
        if len(fields) > self._limits.fields:
            self._stop(HeadTooLarge(_TOO_MANY_FIELDS))
        if self.received > self._limits.head:
            self._measure(fields)
        version = parser.get_http_version()
        try:
            waits = waits_for_continue(fields, version)
            path, raw_path, query = target(self._target)
            spoken = method(parser.get_method())
            unchanging: Scope = {
                "type": "http",
                "asgi": _ASGI,
                "http_version": version,
                "method": spoken,
                "scheme": connection.scheme,
                "path": path,
                "raw_path": raw_path,
                "query_string": query,
                "root_path": "",
                "client": connection.client,
                "server": connection.server,
            }
            keep_alive = version == "1.1" and parser.should_keep_alive()
            if not keep_alive:
                self._known = self._latest = None  # the next one is for httptools to refuse
            elif packet and not waits and (raw := head_at_start(packet)):
                line = b"%b %b HTTP/1.1" % (spoken.encode(), self._target)
                self._latest = raw, line, fields.copy(), unchanging
            connection.requested(self._scope(unchanging, fields), keep_alive=keep_alive, waits_for_continue=waits)
        except GatewayError as fault:
            self._stop(fault)

    def on_body(self, content: bytes) -> None:
        self._connection.content(content)

    def on_message_complete(self) -> None:
        if len(self._fields) > self._limits.fields:
            self._stop(HeadTooLarge(_TOO_MANY_FIELDS))
        self.received, self._is_parsing = 0, False
        self._connection.sent()

    def _stop(self, fault: GatewayError) -> NoReturn:
        """Have the parser stop; it does not hand exceptions on."""
        self._fault = fault
        raise fault

    def _measure(self, fields: Fields) -> None:
        """What came may be more than the head."""
        if len(self._target) + sum(len(name) + len(value) for name, value in fields) > self._limits.head:
            self._stop(HeadTooLarge(_HEAD_TOO_LARGE))

    def _get_to_know(self, packet: bytes, line: bytes, fields: Fields, unchanging: Scope) -> None:
        """The head of the latest request, now that another one follows: on many connections none does. These may be
        other bytes, where it did not stand at the beginning of its packet."""
        self._latest = None
        known = KnownHead.of(packet, line, fields, unchanging, self._limits.head)
        if known is not None:
            self._known = known
            self._tries -= 1
