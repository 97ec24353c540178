"""Where strings, comments and brackets are in a text, for those who need that before or without parsing it."""

from __future__ import annotations

import re

_TRIPLED = r"""\"{3}(?:.|\n)*?\"{3}|'{3}(?:.|\n)*?'{3}"""
_ESCAPED = r"""\"{3}(?:[^\\]|\\(?:.|\n))*?\"{3}|'{3}(?:[^\\]|\\(?:.|\n))*?'{3}"""
_RAW = rf"""[rR](?:{_TRIPLED}|"[^"\r\n]*"|'[^'\r\n]*')"""
_STRING = rf"""[bB]?(?:{_RAW}|{_ESCAPED}|"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')"""
_BRACKETS = re.compile(rf"(?P<skip>{_STRING}|[_a-zA-Z0-9]+|`[^`\n]*`|//[^\n]*)|(?P<open>[(\[{{])|(?P<close>[)\]}}])")


def deepest_bracket(text: str, allowed: int) -> int | None:
    """The offset of the first bracket that is nested deeper than allowed, or None."""
    depth = 0
    for match in _BRACKETS.finditer(text):
        if match.lastgroup == "open":
            depth += 1
            if depth > allowed:
                return match.start()
        elif match.lastgroup == "close":
            depth -= 1
    return None


def end_of_expression(text: str, start: int, closing: str) -> int | None:
    """Where the bracket `closing` stands that ends an expression which starts at `start`; None if it never ends.

    It is the first one outside every string, comment and inner pair of brackets.
    """
    depth, at = 0, start
    while at < len(text):
        if depth == 0 and text[at] == closing:
            return at
        match = _BRACKETS.match(text, at)
        if match is None:
            at += 1
            continue
        if match.lastgroup == "open":
            depth += 1
        elif match.lastgroup == "close":
            depth -= 1
            if depth < 0:
                return None
        at = match.end()
    return None
