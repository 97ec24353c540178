"""Strings. Positions count code points, as CEL does and Python's `str` does too."""

from __future__ import annotations

import string
from typing import Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.functions.formatting import formatted
from ai_gateway_mw.cel.limits import checked_size
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import BOOL, DYN, INT, STRING, ListType

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
# Unicode's White_Space; Python's own idea of a space has four control characters more.
_SPACES = (
    "".join(map(chr, (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B))))
    + "\u2028\u2029\u202f\u205f\u3000"
)
_QUOTED = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


def _char_at(text: str, place: int) -> str:
    if not 0 <= place <= len(text):
        raise EvaluationError("charAt: there is no character at this position")
    return text[place : place + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not 0 <= start <= len(text):
        raise EvaluationError("indexOf: this offset is not within the string")
    return text.find(part, start)


def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if last is None:
        return text.rfind(part)
    if not 0 <= last <= len(text):
        raise EvaluationError("lastIndexOf: this offset is not within the string")
    return text.rfind(part, 0, last + len(part))


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise EvaluationError("substring: this range is not within the string")
    return text[start:stop]


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    found = text.count(old) if count < 0 else min(count, text.count(old))
    checked_size(len(text) + found * (len(new) - len(old)))
    return text.replace(old, new, count)


def _split(text: str, separator: str, parts: int = -1) -> list[str]:
    """Go's SplitN: so many parts at most, the last of which holds the rest; no separator means every character."""
    if parts == 0:
        return []
    if separator:
        return text.split(separator, parts - 1 if parts > 0 else -1)
    if 0 < parts < len(text):
        return [*text[: parts - 1], text[parts - 1 :]]
    return list(text)


def _join(parts: list[Any], separator: str = "") -> str:
    if not all(isinstance(part, str) for part in parts):
        raise EvaluationError("join: the list must hold strings only")
    checked_size(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def _quote(text: str) -> str:
    valid = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace") if not text.isascii() else text
    return f'"{valid.translate(_QUOTED)}"'


_ONE, _TWO = (STRING,), (STRING, STRING)

STRINGS: tuple[Overload, ...] = (
    Overload("contains", _TWO, BOOL, str.__contains__, member=True),
    Overload("includes", _TWO, BOOL, str.__contains__, member=True),
    Overload("startsWith", _TWO, BOOL, str.startswith, member=True),
    Overload("endsWith", _TWO, BOOL, str.endswith, member=True),
    Overload("charAt", (STRING, INT), STRING, _char_at, member=True),
    Overload("indexOf", _TWO, INT, _index_of, member=True),
    Overload("indexOf", (STRING, STRING, INT), INT, _index_of, member=True),
    Overload("lastIndexOf", _TWO, INT, _last_index_of, member=True),
    Overload("lastIndexOf", (STRING, STRING, INT), INT, _last_index_of, member=True),
    Overload("substring", (STRING, INT), STRING, _substring, member=True),
    Overload("substring", (STRING, INT, INT), STRING, _substring, member=True),
    Overload("replace", (STRING, STRING, STRING), STRING, _replace, member=True),
    Overload("replace", (STRING, STRING, STRING, INT), STRING, _replace, member=True),
    Overload("split", _ONE, ListType(STRING), str.split, member=True),
    Overload("split", _TWO, ListType(STRING), _split, member=True),
    Overload("split", (STRING, STRING, INT), ListType(STRING), _split, member=True),
    Overload("join", (ListType(STRING),), STRING, _join, member=True),
    Overload("join", (ListType(STRING), STRING), STRING, _join, member=True),
    Overload("lowerAscii", _ONE, STRING, lambda text: text.translate(_LOWER), member=True),
    Overload("upperAscii", _ONE, STRING, lambda text: text.translate(_UPPER), member=True),
    Overload("lower", _ONE, STRING, str.lower, member=True),
    Overload("upper", _ONE, STRING, str.upper, member=True),
    Overload("trim", _ONE, STRING, lambda text: text.strip(_SPACES), member=True),
    Overload("reverse", _ONE, STRING, lambda text: text[::-1], member=True),
    Overload("format", (STRING, ListType(DYN)), STRING, formatted, member=True),
    Overload("strings.quote", _ONE, STRING, _quote),
)
