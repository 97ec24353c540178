"""Text -> tokens; and where an expression ends that stands inside other text."""

from __future__ import annotations

import re
from typing import NamedTuple

from ai_gateway_mw.cel.literals import Refused
from ai_gateway_mw.cel.syntax import strange_character

_TRIPLED = r"""\"{3}(?:.|\n)*?\"{3}|'{3}(?:.|\n)*?'{3}"""
_ESCAPED = r"""\"{3}(?:[^\\]|\\(?:.|\n))*?\"{3}|'{3}(?:[^\\]|\\(?:.|\n))*?'{3}"""
_STRING = rf"""(?:[rR](?:{_TRIPLED}|"[^"\r\n]*"|'[^'\r\n]*')|{_ESCAPED}|"(?:[^"\\\r\n]|\\.)*"|'(?:[^'\\\r\n]|\\.)*')"""
_TOKEN = re.compile(
    rf"""(?:[ \t\n\f\r]++|//[^\n]*+)*+(?:
    (?P<bytes>[bB]{_STRING}) | (?P<string>{_STRING})
  | (?P<word>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<double>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
  | (?P<uint>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
  | (?P<int>0x[0-9a-fA-F]+|[0-9]+)
  | (?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{{}}])
  | (?P<quoted>`[a-zA-Z0-9_.\-/\ ]+`)
  | (?P<end>\Z) | (?P<strange>(?:.|\n)))""",
    re.VERBOSE,
)
_BEHIND_BACKSLASHES = r"""\\(?P<quote>["'])(?P<within>(?:[^"'\\\r\n]|(?!\\?(?P=quote))["']|\\[^"'\r\n])*)\\(?P=quote)"""
# Two quotes before a third are no empty string, but begin one that is never closed.
_SKIPPED = rf"""[bB]?{_STRING}(?!(?<='')'|(?<="")")|[_a-zA-Z0-9]+|`[^`\n]*`|//[^\n]*"""
_BRACKETS = re.compile(
    rf"(?P<skip>{_SKIPPED}|{_BEHIND_BACKSLASHES})|(?P<open>[(\[{{])|(?P<close>[)\]}}])|(?P<unclosed>[\"'])"
)
_QUOTES = re.compile(rf"(?P<skip>{_SKIPPED})|{_BEHIND_BACKSLASHES}|(?P<rest>[\"'](?:.|\n)*)")
_WORDS = {
    **{word: word for word in ("in", "true", "false", "null")},
    **dict.fromkeys(
        (
            "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
            "namespace", "return", "var", "void", "while",
        ),
        "reserved",
    ),
}  # fmt: skip


_NUMBERS = frozenset({"int", "double"})
_ENDS_OF_OPERANDS = frozenset(
    {*_NUMBERS, "uint", "string", "bytes", "name", "reserved", "quoted", "true", "false", "null", ")", "]", "}"}
)


class Token(NamedTuple):
    """`kind` is the token's own text for operators, brackets and the words of the language; else what it is: int, uint,
    double, string, bytes, name, quoted, reserved or end."""

    kind: str
    text: str
    offset: int


def tokens(text: str) -> list[Token]:
    """The tokens of an expression, the last of which is its end."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "end"
        word = match[kind]
        offset = match.start(kind) if word else len(text.rstrip())
        if kind == "mark":
            kind = word
        elif kind == "word":
            kind = _WORDS.get(word, "name")
        elif kind == "strange":
            raise strange_character(text, offset)
        elif kind in _NUMBERS and _is_signed(found, offset):
            word, offset = f"-{word}", found.pop().offset
        found.append(Token(kind, word, offset))
        if kind == "end":
            break
    return found


def _is_signed(found: list[Token], offset: int) -> bool:
    """True if a minus touches the number at `offset` where an operand begins. It belongs to the number: the smallest
    int has no positive counterpart."""
    if not found or found[-1].kind != "-" or found[-1].offset != offset - 1:
        return False
    return len(found) == 1 or found[-2].kind not in _ENDS_OF_OPERANDS


def check_count(found: list[Token], allowed: int) -> None:
    """Refuses more tokens than allowed; commas are not counted, as long lists are little work."""
    if len(found) > allowed:
        counted = [token for token in found if token.kind != ","]
        if len(counted) > allowed + 1:
            place = counted[allowed].offset
            raise Refused(f"an expression may have {allowed:,} names, literals and signs; this is one more", place)


def check_nesting(found: list[Token], allowed: int) -> None:
    """Refuses brackets that nest deeper than allowed."""
    depth = 0
    for kind, _, offset in found:
        if kind in "([{":
            depth += 1
            if depth > allowed:
                raise Refused(f"brackets may nest {allowed} deep; this one is deeper", offset)
        elif kind in ")]}":
            depth -= 1


def end_of_expression(text: str, start: int, closing: str) -> int | None:
    """Where the bracket `closing` stands that ends an expression which starts at `start`; None if it never ends.

    It is the first one outside every string, comment and inner pair of brackets. Behind a quote that is never closed it
    is the first of all: whoever reads the expression says what is wrong with it, and looking for the end of one string
    after the other would take a time that grows with the square of the text.
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
        elif match.lastgroup == "unclosed":
            end = text.find(closing, at)
            return None if end < 0 else end
        at = match.end()
    return None


def without_backslashes(text: str) -> str:
    """An expression as long as before, whose strings within `\\"` are within `"`: that is what is left of a text for
    double quotes where the file has single ones. Outside a string, CEL has no backslash."""
    return _QUOTES.sub(_plainly_quoted, text)


def _plainly_quoted(match: re.Match[str]) -> str:
    quote = match["quote"]
    return f" {quote}{match['within']}{quote} " if quote else match[0]
