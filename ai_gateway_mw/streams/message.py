"""One message of an event stream (WHATWG HTML 9.2), and what cuts a stream into them.

A message keeps its bytes: its fields are read when somebody asks, and written anew only where somebody changed them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

MAX_MESSAGE: Final = 1024 * 1024
# 9.2.5: a line ends with CRLF, LF or CR, and a blank line ends a message.
_LINE: Final = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r)?")
_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_BOM: Final = b"\xef\xbb\xbf"
_UNREAD: Final = object()


class MessageTooLong(Exception):
    """A message that does not end within what is held of one."""


class MessageCutter:
    """Cuts a stream, in whatever pieces it comes, into messages with the blank line that ends each."""

    __slots__ = ("_held", "_searched")

    def __init__(self) -> None:
        self._held = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The messages that are complete now. Raises `MessageTooLong` behind the last of them."""
        held = self._held
        held += chunk
        at, start = 0, self._searched
        while (match := _END.search(held, start)) is not None:
            end = match.end()
            if held[end - 1] == 13 and end == len(held):
                break  # the LF that belongs to this CR may still be to come
            if end - at > MAX_MESSAGE:
                raise MessageTooLong
            yield bytes(held[at:end])
            at = start = end
        del held[:at]
        self._searched = max(0, len(held) - 3)  # a CRLF may be cut in two
        if len(held) > MAX_MESSAGE:
            raise MessageTooLong

    def rest(self) -> bytes:
        """What came after the last message, at the end of the stream."""
        rest = bytes(self._held)
        self._held.clear()
        return rest


class EventMessage:
    """One message. `raw` is how it came, `bytes` how it goes on."""

    __slots__ = ("_changes", "_fields", "_json", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._fields: dict[str, str] | None = None
        self._changes: dict[str, str] = {}
        self._json: Any = _UNREAD

    @property
    def fields(self) -> dict[str, str]:
        """`event`, `data`, `id` and `retry`, as far as they are there; lines of data are joined by a line feed."""
        if self._fields is None:
            self._fields = _fields(self.raw)
        return self._fields

    def get(self, name: str) -> str:
        """A field, empty where there is none; what is no UTF-8 in it stays as it is, as surrogates."""
        return self.fields.get(name, "")

    def put(self, name: str, value: str) -> None:
        """Change a field that is there."""
        if self.fields.get(name) not in (None, value):
            self.fields[name] = self._changes[name] = value
            self._json = _UNREAD

    @property
    def has_data(self) -> bool:
        return "data" in self.fields

    @property
    def data(self) -> bytes:
        return encoded(self.get("data"))

    @property
    def json(self) -> Any:
        """The data as JSON, null where it is none; not to be changed."""
        if self._json is _UNREAD:
            try:
                self._json = json.loads(self.get("data")) if self.has_data else None
            except (ValueError, RecursionError):
                self._json = None
        return self._json

    @property
    def bytes(self) -> bytes:
        return _rewritten(self.raw, self._changes) if self._changes else self.raw


def encoded(text: str) -> bytes:
    """A text as it came from the wire, and so goes back."""
    return text.encode("utf-8", "surrogateescape")


def _lines(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        match = _LINE.match(raw, at)
        assert match is not None
        at = match.end()
        yield match[0]


def _name_and_value(line: bytes) -> tuple[str, bytes]:
    name, _, value = line.rstrip(b"\r\n").removeprefix(_BOM).partition(b":")
    return name.decode("latin-1"), value.removeprefix(b" ")


def _fields(raw: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _lines(raw):
        name, value = _name_and_value(line)
        if name in ("event", "data", "id", "retry"):
            text = value.decode("utf-8", "surrogateescape")
            found[name] = f"{found[name]}\n{text}" if name == "data" and "data" in found else text
    return found


def _rewritten(raw: bytes, changes: dict[str, str]) -> bytes:
    """The message with other values for some fields; every other line, and how lines end, stays."""
    written: set[str] = set()
    made = []
    for line in _lines(raw):
        name, value = _name_and_value(line)
        if name not in changes:
            made.append(line)
        elif name not in written:
            written.add(name)
            ending = line[len(line.rstrip(b"\r\n")) :]
            between = ending or b"\n"
            head = line.rstrip(b"\r\n")
            head = head[: len(head) - len(value)] if value else head.rstrip(b": ") + b": "
            # 9.2.6: no line of data can hold a line break of any kind.
            parts = re.split(r"\r\n|\n|\r", changes[name]) if name == "data" else [_one_line(changes[name])]
            made.append(between.join([head + encoded(part) for part in parts]) + ending)
    return b"".join(made)


def _one_line(text: str) -> str:
    return re.sub(r"[\r\n\0]", "", text)
