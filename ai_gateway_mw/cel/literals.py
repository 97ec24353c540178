"""The text of a literal -> its value: numbers within 64 bits, escapes, raw strings, bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ai_gateway_mw.cel.moments import INT_MAX, INT_MIN
from ai_gateway_mw.cel.problems import ExpressionProblem
from ai_gateway_mw.cel.values import UINT_MAX, UInt

_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|X([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))?", re.DOTALL
)
_SIMPLE = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip


class Refused(Exception):
    """Something in the text that cannot be parsed; carries the one problem."""

    def __init__(self, message: str, offset: int, length: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.problem = ExpressionProblem(message, offset, length, hint)


def int_value(text: str, offset: int) -> int:
    """A decimal or hexadecimal int, with its minus if it has one."""
    value = _digits(text)
    if not INT_MIN <= value <= INT_MAX:
        raise Refused("this number does not fit into a 64-bit int", offset, len(text))
    return value


def uint_value(text: str, offset: int) -> UInt:
    """A number that ends in `u`."""
    value = _digits(text[:-1])
    if value > UINT_MAX:
        raise Refused("this number does not fit into a 64-bit uint", offset, len(text))
    return UInt(value)


def string_value(text: str, offset: int) -> str:
    """What a quoted string says."""
    prefix, body, start = _unquoted(text)
    if "r" in prefix:
        return body
    return _ESCAPE.sub(lambda match: _character(match, offset + start), body) if "\\" in body else body


def bytes_value(text: str, offset: int) -> bytes:
    """What a quoted string after `b` says: escapes give bytes, all other characters their UTF-8 form."""
    prefix, body, start = _unquoted(text)
    if "r" in prefix or "\\" not in body:
        return body.encode()
    pieces: list[bytes] = []
    done = 0
    for match in _ESCAPE.finditer(body):
        pieces += body[done : match.start()].encode(), _octet(match, offset + start)
        done = match.end()
    return b"".join(pieces) + body[done:].encode()


def _digits(text: str) -> int:
    if len(text) > 40:
        text = text[:40]
    return int(text, 16 if "x" in text else 10)


def _unquoted(text: str) -> tuple[str, str, int]:
    """Prefix in lower case, body, and where in `text` the body starts."""
    prefix = text[: len(text) - len(text.lstrip("bBrR"))]
    quote = 3 if text[len(prefix) :].startswith(('"""', "'''")) and len(text) >= len(prefix) + 6 else 1
    start = len(prefix) + quote
    return prefix.lower(), text[start : len(text) - quote], start


def _character(match: re.Match[str], base: int) -> str:
    hexadecimal = match[1] or match[2] or match[3] or match[4]
    code = int(hexadecimal, 16) if hexadecimal else int(match[5], 8) if match[5] else None
    if code is None:
        return _simple(match, base)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise Refused("this escape is not a Unicode character", base + match.start(), len(match[0]))
    return chr(code)


def _octet(match: re.Match[str], base: int) -> bytes:
    if match[3] or match[4]:
        raise Refused("bytes have no \\u escapes; use \\x", base + match.start(), len(match[0]))
    hexadecimal = match[1] or match[2]
    if hexadecimal or match[5]:
        return bytes([int(hexadecimal, 16) if hexadecimal else int(match[5], 8)])
    return _simple(match, base).encode()


def _simple(match: re.Match[str], base: int) -> str:
    simple = _SIMPLE.get(match[6] or "")
    if simple is None:
        raise Refused(f"`{match[0]}` is not an escape that CEL knows", base + match.start(), len(match[0]))
    return simple


# The kinds of tokens that are literals, and what makes their values; the offset is for the message about a wrong one.
VALUES: dict[str, Callable[[str, int], Any]] = {
    "int": int_value,
    "uint": uint_value,
    "double": lambda text, _: float(text),
    "string": string_value,
    "bytes": bytes_value,
}
