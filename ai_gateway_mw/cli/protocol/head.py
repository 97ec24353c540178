"""The head of an answer: from what an app says of it to the bytes on the wire, and what they say of its body's end."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

_CLOSE: Final = b"connection: close"
_CHUNKED: Final = b"transfer-encoding: chunked"
_LENGTH: Final = b"content-length"
_CODING: Final = b"transfer-encoding"
_CONNECTION: Final = b"connection"
_TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")  # RFC 9110 5.6.2, in lower case
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {ord("\t")})
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus if status >= 200}
_NAMES: Final = 1024  # that are remembered; an upstream may make up any number of them
_LONGEST_NAME: Final = 64
_NO_CONTENT: Final = 204

Fields = Iterable[tuple[bytes, bytes]]


class _Names(dict[bytes, bytes | None]):
    """How the line of a field begins, by its name; None for those that say how the answer is framed."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys((_LENGTH, _CODING, _CONNECTION)))

    def __missing__(self, name: bytes) -> bytes | None:
        """Raises `ValueError` for what is no name."""
        lower = name.lower()
        if not lower or not _TOKEN.issuperset(lower):
            raise ValueError("the answer of the app has a field without a proper name")
        start = self.get(lower, lower + b": ")
        if len(self) < _NAMES and len(name) <= _LONGEST_NAME:
            self[name] = start
        return start


class Heads:
    """Renders heads, and remembers which field names it has found good."""

    __slots__ = ("_names", "_status_lines")

    def __init__(self) -> None:
        self._names = _Names()
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
        length, names = None, self._names
        for name, value in fields:
            start = names[name]
            if start is not None:
                lines.append(start + value)
            elif (lower := name.lower()) == _LENGTH:
                if length is not None or not value.isdigit():
                    raise ValueError("the answer of the app has no single length")
                length = int(value)
                if status != _NO_CONTENT:  # RFC 9110 8.6
                    lines.append(b"content-length: " + value)
            elif lower == _CONNECTION:
                keep_alive = keep_alive and b"close" not in value.lower()
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


def _status_line(status: int) -> bytes:
    """RFC 9112 4: the space stays where there is no phrase."""
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is not the status of a final answer")
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}".encode()
