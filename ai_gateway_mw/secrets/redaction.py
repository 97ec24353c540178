"""Redactor: finds known secrets in text that goes out, in every form in which they are likely to appear there."""

from __future__ import annotations

import html
import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote, quote_plus

import re2
from cachetools import LRUCache

MIN_LENGTH: Final = 8  # shorter ones would be found in ordinary text
REPLACEMENT: Final = "[redacted]"
_REMEMBERED: Final = 5_000
_FORMS_PER_PATTERN: Final = 2_000  # RE2's automaton stays within its memory


class Redactor:
    """Knows the values it was told, the latest 5,000 of them; one linear pass over a text looks for all of them."""

    def __init__(self) -> None:
        self._forms: LRUCache[str, frozenset[bytes]] = LRUCache(_REMEMBERED)
        self._patterns: tuple[Any, ...] | None = ()
        self._readable: tuple[bytes, ...] | None = ()
        self._lock = threading.Lock()

    def add(self, value: str) -> None:
        """From now on, `value` is found."""
        if len(value) < MIN_LENGTH:
            return
        with self._lock:
            if self._forms.get(value) is None:
                self._forms[value] = frozenset(forms(value))
                self._patterns = self._readable = None

    def found_in(self, data: bytes) -> bool:
        """Whether any value occurs, in any form."""
        return any(pattern.search(data) is not None for pattern in self._current())

    def redacted(self, data: bytes) -> bytes:
        """The data with `[redacted]` where a value stood; the same object where none did."""
        for pattern in self._current():
            if pattern.search(data) is not None:
                data = pattern.sub(REPLACEMENT.encode(), data)
        return data

    def readable(self) -> tuple[bytes, ...]:
        """The values as they would stand in text or in JSON, in order; the same object until one is added."""
        found = self._readable
        if found is None:
            with self._lock:
                found = self._readable = tuple(sorted({form for value in self._forms for form in readable(value)}))
        return found

    def _current(self) -> tuple[Any, ...]:
        patterns = self._patterns
        if patterns is None:
            with self._lock:
                patterns = self._patterns = patterns_of(frozenset().union(*self._forms.values()))
        return patterns


def forms(value: str) -> Iterator[bytes]:
    """What the value looks like when something on the way has encoded it."""
    plain = _utf8(value)
    yield plain
    yield from map(_utf8, _escaped(value))
    yield plain.hex().encode()
    yield plain.hex().upper().encode()
    for offset in range(3):
        yield from _base64(plain, offset)


def readable(value: str) -> Iterator[bytes]:
    """What the value looks like in text and in JSON."""
    yield _utf8(value)
    yield from map(_utf8, _in_json(value))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _in_json(value: str) -> Iterator[str]:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)[1:-1]
        yield from (text, text.replace("/", "\\/"))


def _escaped(value: str) -> Iterator[str]:
    for text in _in_json(value):
        yield text
        yield from _in_json(text)  # as in a log that quotes an answer
    yield html.escape(value)
    plain = _utf8(value)
    for quoted in (quote(plain, safe=""), quote(plain), quote_plus(plain)):
        yield from (quoted, re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), quoted))


def _base64(plain: bytes, offset: int) -> Iterator[bytes]:
    """The characters of base64 that `plain` alone decides, when `offset` bytes (of a user's name, say) precede it."""
    first = (offset * 8 + 5) // 6  # whole characters from here ...
    last = (offset + len(plain)) * 8 // 6  # ... to here
    text = b64encode(bytes(offset) + plain)[first:last]
    yield from (text, text.translate(bytes.maketrans(b"+/", b"-_")))


def patterns_of(literals: Iterable[bytes]) -> tuple[Any, ...]:
    """What finds these byte strings, the leftmost first and of those the longest."""
    return tuple(_planned(sorted(literals)))


def _planned(literals: list[bytes]) -> Iterator[Any]:
    for start in range(0, len(literals), _FORMS_PER_PATTERN):
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1  # bytes stand for themselves
        options.longest_match = True  # where one secret begins another, none of its tail is left
        options.log_errors = False  # RE2 would write the pattern to stderr
        options.max_mem = 256 * 1024 * 1024
        yield re2.compile(b"|".join(map(re2.escape, literals[start : start + _FORMS_PER_PATTERN])), options)
