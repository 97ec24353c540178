"""The head of an answer: from what an app says of it to the bytes on the wire, and what they say of its body's end."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

_CLOSE: Final = b"connection: close"
_CHUNKED: Final = b"transfer-encoding: chunked"
_LENGTH: Final = b"content-length: "
_CODING: Final = b"transfer-encoding: "
_CONNECTION: Final = b"connection: "
_TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")  # RFC 9110 5.6.2, in lower case
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {ord("\t")})
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus if status >= 200}
_NAMES: Final = 1024  # that are remembered; an upstream may make up any number of them
_LONGEST_NAME: Final = 64
_NO_CONTENT: Final = 204

Fields = Iterable[tuple[bytes, bytes]]


class Heads:
    """Renders heads, and remembers which field names it has found good."""

    __slots__ = ("_names", "_status_lines")

    def __init__(self) -> None:
        self._names = {name[:-2]: name for name in (_LENGTH, _CODING, _CONNECTION)}
        self._status_lines = {status: _status_line(status) for status in _PHRASES}

    def head(
        self,
        status: int,
        fields: Fields,
        standing: Iterable[bytes],
        *,
        bodyless: bool = False,
        understands_chunks: bool = True,
        keep_alive: bool = True,
    ) -> tuple[bytes, int | None, bool, bool]:
        """The bytes; the length of the body, if it has one; whether it comes in chunks; whether the connection stays.

        Framing is decided here: fields of the app's about it are left out, but for the length. `standing` lines are
        in every head.

        Raises `ValueError` for what would not be one head, whoever made it up.
        """
        lines = [self._status_lines.get(status) or _status_line(status), *standing]
        length = None
        for name, value in fields:
            start = self._names.get(name) or self._checked(name)
            if start is _LENGTH:
                if length is not None or not value.isdigit():
                    raise ValueError("the answer of the app has no single length")
                length = int(value)
                if status == _NO_CONTENT:  # RFC 9110 8.6
                    continue
            elif start is _CODING:
                continue
            elif start is _CONNECTION:
                keep_alive = keep_alive and b"close" not in value.lower()
                continue
            lines.append(start + value)
        chunked = understands_chunks and length is None and not bodyless
        if chunked:
            lines.append(_CHUNKED)
        keep_alive = keep_alive and (chunked or bodyless or length is not None)
        if not keep_alive:
            lines.append(_CLOSE)
        lines.append(b"\r\n")  # which makes two of them, joined
        content = b"\r\n".join(lines)
        if len(content) - len(content.translate(None, _CONTROLS)) != 2 * len(lines):
            raise ValueError("the answer of the app has a field with control characters")
        return content, length, chunked, keep_alive

    def _checked(self, name: bytes) -> bytes:
        lower = name.lower()
        if not lower or not _TOKEN.issuperset(lower):
            raise ValueError("the answer of the app has a field without a proper name")
        start = self._names.get(lower) or lower + b": "
        if len(self._names) < _NAMES and len(name) <= _LONGEST_NAME:
            self._names[name] = start
        return start


def _status_line(status: int) -> bytes:
    """RFC 9112 4: the space stays where there is no phrase."""
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is not the status of a final answer")
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}".encode()
