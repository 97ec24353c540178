"""Turns the parser's complaints into problems that the author of an expression can act on."""

from __future__ import annotations

from typing import Any

from ai_gateway_mw.cel.literals import Refused

_OPERAND = "IDENT"
_INSTEAD = {
    "=": "`=` is not an operator; comparing is written `==`",
    "&": "`&` is not an operator; `and` is written `&&`",
    "|": "`|` is not an operator; `or` is written `||`",
    "$": "`$` does not belong into an expression; write it without `${ }`",
    ";": "an expression has no `;`",
    "`": "a name in backticks may hold letters, digits and `_ . - /`, and follows a dot",
}
_WORDS = {"and": "&&", "or": "||", "not": "!", "is": "==", "AND": "&&", "OR": "||", "NOT": "!"}


def explain(text: str, error: Any) -> Refused:
    """The problem behind an error of the parser."""
    token = getattr(error, "token", None)
    if token is None:
        return _strange_character(text, error.pos_in_stream)
    if token.type == "$END":
        return Refused(_at_end(error), len(text.rstrip()))
    word, offset = str(token), token.start_pos
    if word in _WORDS:
        return Refused(f"`{word}` is not an operator", offset, len(word), _WORDS[word])
    if token.type == "RESERVED":
        return Refused(f"`{word}` is a reserved word and cannot be a name", offset, len(word))
    if token.type == "QUOTED_IDENT":
        return Refused(_INSTEAD["`"], offset, len(word))
    return Refused(f"unexpected `{word}`; {_expected(error)}", offset, len(word))


def _at_end(error: Any) -> str:
    return f"the expression ends too early; {_expected(error)}"


def _expected(error: Any) -> str:
    wanted = set(error.accepts or error.expected)
    if wanted & {_OPERAND} and wanted & {"INT_LIT"}:
        return "expected a value"
    if wanted & {_OPERAND}:
        return "expected a name"
    closing = [bracket for name, bracket in (("RPAR", ")"), ("RSQB", "]"), ("RBRACE", "}")) if name in wanted]
    if closing:
        return f"expected an operator or `{closing[0]}`"
    return "expected `:`" if "COLON" in wanted and "PLUS" not in wanted else "expected an operator or the end"


def _strange_character(text: str, offset: int) -> Refused:
    character = text[offset]
    if character in "\"'":
        return Refused("this string is not closed", offset)
    rest = text[offset:]
    if character in "bBrR" and rest[1:2] in ("'", '"'):
        return Refused("this string is not closed", offset)
    return Refused(_INSTEAD.get(character, f"unexpected {character!r}"), offset)
