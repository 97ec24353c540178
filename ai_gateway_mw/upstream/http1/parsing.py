"""AnswerParser: the bytes of one connection become answers (RFC 9112), one after the other.

httptools does the reading and refuses most of what is broken; here stands what it lets pass and we do not.
"""

from __future__ import annotations

import httptools

from ai_gateway_mw.headers import Field
from ai_gateway_mw.upstream.http1.answer import Answer

_MAX_HEAD = 64 * 1024  # of a head, and of what is no body within one: chunk extensions, trailers
_MAX_FIELDS = 256
_MAX_INFORMATIONAL = 8
_MAX_LENGTH_DIGITS = 18
_CODING, _KEEP = b"transfer-encoding", b"keep-alive"
_WATCHED = frozenset([_CODING, _KEEP])


class Malformed(Exception):
    """This is no HTTP, or its framing is in doubt."""


class AnswerParser:
    """Fills the answer that `begin` names. `keep_for` is how many seconds the connection may idle afterwards."""

    __slots__ = (
        "_answer",
        "_bodiless",
        "_fields",
        "_informational",
        "_parser",
        "framed",
        "keep_alive",
        "keep_for",
        "overhead",
    )

    _answer: Answer

    def __init__(self, keep_for: float) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._fields: list[Field] = []  # of the head that is coming, names in lower case
        self.keep_for = keep_for
        self.framed = False  # else the body ends with the connection (RFC 9112 6.3)

    def begin(self, answer: Answer, *, bodiless: bool) -> None:
        """The next answer; `bodiless` as those to HEAD are."""
        self._answer = answer
        self._bodiless = bodiless
        self._informational = 0
        self._fields.clear()
        self.keep_alive = False
        self.overhead = 0  # bytes since the beginning, or since the last of the body

    def feed(self, data: bytes) -> None:
        """Raises `Malformed`. What comes after a complete answer does it no harm, but ends the connection."""
        self.overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._answer.complete:
                raise Malformed from None
            self.keep_alive = False
        if self.overhead > _MAX_HEAD and not self._answer.complete:
            raise Malformed

    def release(self) -> None:
        """Nothing more will come: let go of what refers back to this, which only the cycle collector could free."""
        del self._parser

    # Called by httptools. What is raised here stops it.

    def on_message_begin(self) -> None:
        if self._answer.complete:
            raise Malformed

    def on_header(self, name: bytes, value: bytes) -> None:
        stripped = value.rstrip(b" \t")
        if stripped is not value and b"\t" in value and name.lower() == _CODING:
            raise Malformed  # legal, but httptools would read it as no coding, and give out the chunks as they are
        self._fields.append((name.lower(), stripped))  # also of trailers, which nobody looks at

    def on_headers_complete(self) -> None:
        answer, parser, fields = self._answer, self._parser, self._fields
        self._fields = []
        status, version = parser.get_status_code(), parser.get_http_version()
        named = dict(reversed(fields))  # where a name is there twice, the first counts
        length = named.get(b"content-length")
        self.framed = length is not None
        if length is not None and len(length) > _MAX_LENGTH_DIGITS:  # httptools takes no second one
            raise Malformed
        if not _WATCHED.isdisjoint(named):
            self._note(fields, named)
        if status < 200 or version != "1.1" or len(fields) > _MAX_FIELDS or self.overhead > _MAX_HEAD:
            self._check(status, version, fields, named)
            if status < 200 and status != 101:
                return
        answer.version = version
        answer.begin(status, fields, named)
        if self._bodiless or status == 101:
            answer.complete = True
            raise Malformed  # though it is not: httptools would wait for a body

    def on_body(self, data: bytes) -> None:
        self.overhead = 0
        self._answer.chunks.append(data)

    def on_message_complete(self) -> None:
        answer = self._answer
        self._fields.clear()  # trailers
        if answer.status:  # else an informational answer (RFC 9110 15.2): the one that counts is still to come
            answer.complete = True
            self.keep_alive = self._parser.should_keep_alive()

    def _note(self, fields: list[Field], named: dict[bytes, bytes]) -> None:
        """Look at what says that the body ends in another way, or how long the connection stays."""
        if (coding := named.get(_CODING)) is not None:
            # httptools would read other codings up to the end of the connection.
            if self.framed or coding.lower() != b"chunked" or [name for name, _ in fields].count(_CODING) > 1:
                raise Malformed
            self.framed = True
        if _KEEP in named:
            self._keep_as_told([value for name, value in fields if name == _KEEP])

    def _check(self, status: int, version: str, fields: list[Field], named: dict[bytes, bytes]) -> None:
        """Look at a head that is not as most are."""
        if status < 100 or version not in ("1.1", "1.0") or len(fields) > _MAX_FIELDS:
            raise Malformed
        if version == "1.0" and _CODING in named:  # RFC 9112 6.1: faulty framing
            raise Malformed
        if self.overhead > _MAX_HEAD and sum(len(name) + len(value) for name, value in fields) > _MAX_HEAD:
            raise Malformed
        if status < 200 and status != 101:  # nobody asked for that one: an answer, and the connection's last
            self._informational += 1
            if self._informational > _MAX_INFORMATIONAL:
                raise Malformed

    def _keep_as_told(self, values: list[bytes]) -> None:
        """`timeout=5, max=100`: the upstream will end the connection then, and we do not want to race with it."""
        for item in b",".join(values).split(b","):
            name, _, seconds = item.strip().partition(b"=")
            if name.lower() == b"timeout" and seconds.isdigit() and len(seconds) < _MAX_LENGTH_DIGITS:
                self.keep_for = min(self.keep_for, max(int(seconds) - 1.0, int(seconds) / 2))
