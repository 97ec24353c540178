"""KnownHead: the head of a request that the parser has read and that was found good, to be known when it comes again.

A client mostly sends the same head with every request of a connection, but for the length of the body. Where what
comes is byte for byte the same, with nothing but other digits for the length, it also means the same, and need not be
read again. Whatever differs in anything else is the parser's.
"""

from __future__ import annotations

from typing import Final, Self

from ai_gateway_mw.asgi import Scope
from ai_gateway_mw.cli.protocol.request_head import Fields

_END: Final = b"\r\n\r\n"
_LONGEST: Final = 8192  # bytes of a head that are kept for as long as a connection lasts
_LENGTH: Final = b"content-length"
_CODING: Final = b"transfer-encoding"
_DIGITS: Final = 12  # more of them are the parser's


class KnownHead:
    """One whose only framing is its length, and after which the connection goes on."""

    __slots__ = ("_after", "_before", "_digits_at", "_fields_after", "_fields_before", "scope")

    def __init__(self, raw: bytes, digits_at: int, digits: bytes, fields: Fields, length_at: int, scope: Scope) -> None:
        self.scope = scope  # what of it is the same in each request; to be copied
        self._before = raw[:digits_at]
        self._after = raw[digits_at + len(digits) :]
        self._digits_at = digits_at
        self._fields_before = tuple(fields[:length_at])
        self._fields_after = tuple(fields[length_at + 1 :])

    @classmethod
    def of(cls, raw: bytes, line: bytes, fields: Fields, scope: Scope, limit: int) -> Self | None:
        """The head of these bytes, of which the parser has made this request line and these fields; None for one that
        cannot be known again by its bytes alone, or that is longer than the limit with any length."""
        names = [name for name, _ in fields]
        if len(raw) + _DIGITS >= limit or names.count(_LENGTH) != 1 or _CODING in names:
            return None
        lines = raw.removesuffix(_END).split(b"\r\n")
        # The bytes have to spell what the parser has read: else one head would be taken for another from now on.
        if lines[0] != line or list(map(_read, lines[1:])) != fields:
            return None
        length_at = names.index(_LENGTH)
        digits = fields[length_at][1]
        if not digits.isdigit() or len(digits) > _DIGITS or not lines[1 + length_at].endswith(digits):
            return None
        digits_at = len(b"\r\n".join(lines[: 2 + length_at])) - len(digits)
        return cls(raw, digits_at, digits, fields, length_at, scope)

    def again_in(self, data: bytes) -> tuple[Fields, int, int] | None:
        """Where the data begins with this head: its fields now, the length of its body, and where that begins."""
        if not data.startswith(self._before):
            return None
        start = self._digits_at
        end = data.find(b"\r", start, start + _DIGITS + 1)
        # If none was found, `end` is where only one byte is left: too few for what has to follow.
        if not data.startswith(self._after, end) or not (digits := data[start:end]).isdigit():
            return None
        fields = [*self._fields_before, (_LENGTH, digits), *self._fields_after]
        return fields, int(digits), end + len(self._after)


def head_at_start(packet: bytes) -> bytes:
    """The head that a packet begins with; empty where it is not complete, or too long to be kept."""
    end = packet.find(_END, 0, _LONGEST)
    return packet[: end + len(_END)] if end > 0 else b""


def _read(line: bytes) -> tuple[bytes, bytes]:
    """A field, as the parser reads one that is not folded."""
    name, _, value = line.partition(b":")
    return name.lower(), value.strip(b" \t")
