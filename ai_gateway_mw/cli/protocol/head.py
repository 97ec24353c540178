"""The head of an answer: from what an app says of it to the bytes on the wire, and what they say of its body's end."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from ai_gateway_mw.headers import Field

_CLOSE: Final = b"connection: close\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"
_LENGTH: Final = b"content-length"
_CODING: Final = b"transfer-encoding"
_CONNECTION: Final = b"connection"
_FRAMING: Final = frozenset({_CODING, _CONNECTION})  # of which the app has no say
_TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")  # RFC 9110 5.6.2, in lower case
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {ord("\t")})
_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus if status >= 200}
_SHAPES: Final = 256  # that are remembered; an upstream may make up any number of them
_LONGEST_SHAPE: Final = 4096
_NO_CONTENT: Final = 204
_NO_SINGLE_LENGTH: Final = "the answer of the app has no single length"

Fields = Sequence[Field]


class _Shape(NamedTuple):
    """What heads of the same status and the same names of fields have in common; the names have been found good."""

    status_line: bytes
    form: bytes  # of the fields' lines: what their values are put into
    breaks: int  # characters that end these lines, and the head
    length_at: int | None  # where the length of the body is, among the fields
    connection_at: tuple[int, ...]


class Heads:
    """Renders heads. Almost all of them have had their names of fields before: only the values are looked at then."""

    __slots__ = ("_shapes", "_standing", "_standing_breaks", "_standing_lines")

    def __init__(self) -> None:
        self._shapes: dict[tuple[int, tuple[bytes, ...]], _Shape] = {}
        self._standing: Fields = ()
        self._standing_lines = b""
        self._standing_breaks = 0

    def head(
        self,
        status: int,
        fields: Fields,
        standing: Fields,
        *,
        bodyless: bool = False,
        understands_chunks: bool = True,
        keep_alive: bool = True,
    ) -> tuple[bytes, int | None, bool, bool]:
        """The bytes; the length of the body, if it has one; whether it comes in chunks; whether the connection stays.

        Framing is decided here: fields of the app's about it are left out, but for the length. `standing` fields are
        in every head; while they are the same list, they are rendered once.

        Raises `ValueError` for what would not be one head, whoever made it up.
        """
        names, values = zip(*fields, strict=True) if fields else ((), ())
        shape = self._shapes.get((status, names)) or self._shape(status, names)
        status_line, form, breaks, length_at, connection_at = shape
        length, chunked = None, False
        if length_at is None:
            chunked = understands_chunks and not bodyless
            keep_alive = keep_alive and (chunked or bodyless)
        elif values[length_at].isdigit():
            length = int(values[length_at])
        else:
            raise ValueError(_NO_SINGLE_LENGTH)
        if connection_at and any(b"close" in values[at].lower() for at in connection_at):
            keep_alive = False
        if standing is not self._standing:
            self._render_standing(standing)
        if chunked:
            form, breaks = form + _CHUNKED, breaks + 2
        if not keep_alive:
            form, breaks = form + _CLOSE, breaks + 2
        head = b"".join((status_line, self._standing_lines, form % values, b"\r\n"))
        if len(head) - len(head.translate(None, _CONTROLS)) != breaks + self._standing_breaks:
            raise ValueError("the answer of the app has a field with control characters")
        return head, length, chunked, keep_alive

    def _shape(self, status: int, names: tuple[bytes, ...]) -> _Shape:
        """What was not remembered. Raises `ValueError` for what is no name or no status, and for two lengths."""
        shape = _shape(status, names)
        if len(shape.form) <= _LONGEST_SHAPE:
            if len(self._shapes) == _SHAPES:
                self._shapes.clear()
            self._shapes[status, names] = shape
        return shape

    def _render_standing(self, standing: Fields) -> None:
        self._standing_lines = b"".join([name + b": " + value + b"\r\n" for name, value in standing])
        self._standing_breaks = 2 * len(standing)
        self._standing = standing


def _shape(status: int, names: tuple[bytes, ...]) -> _Shape:
    form, left_out, lengths, connections = [], 0, [], []
    for at, name in enumerate(names):
        lower = name.lower()
        if not lower or not _TOKEN.issuperset(lower):
            raise ValueError("the answer of the app has a field without a proper name")
        if lower == _LENGTH:
            lengths.append(at)
        elif lower == _CONNECTION:
            connections.append(at)
        if lower in _FRAMING or (lower == _LENGTH and status == _NO_CONTENT):  # RFC 9110 8.6
            form.append(b"%.0b")  # takes a value, and shows nothing of it
            left_out += 1
        else:
            form.append(lower.replace(b"%", b"%%") + b": %b\r\n")
    if len(lengths) > 1:
        raise ValueError(_NO_SINGLE_LENGTH)
    breaks = 2 * (2 + len(names) - left_out)
    length_at = lengths[0] if lengths else None
    return _Shape(_status_line(status), b"".join(form), breaks, length_at, tuple(connections))


def _status_line(status: int) -> bytes:
    """RFC 9112 4: the space stays where there is no phrase."""
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is not the status of a final answer")
    return f"HTTP/1.1 {status} {_PHRASES.get(status, '')}\r\n".encode()
