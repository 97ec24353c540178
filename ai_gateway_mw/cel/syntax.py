"""What is wrong where the parser meets something unexpected, in words that the author of an expression can act on."""

from __future__ import annotations

from ai_gateway_mw.cel.literals import Refused

_INSTEAD = {
    "=": "`=` is not an operator; comparing is written `==`",
    "&": "`&` is not an operator; `and` is written `&&`",
    "|": "`|` is not an operator; `or` is written `||`",
    "$": "`$` does not belong into an expression; write it without `${ }`",
    ";": "an expression has no `;`",
    "`": "a name in backticks may hold letters, digits and `_ . - /`, and follows a dot",
}
_WORDS = {"and": "&&", "or": "||", "not": "!", "is": "==", "AND": "&&", "OR": "||", "NOT": "!"}


def unexpected(kind: str, word: str, offset: int, wanted: str) -> Refused:
    """A token where another was wanted."""
    if kind == "end":
        return Refused(f"the expression ends too early; expected {wanted}", offset)
    if word in _WORDS:
        return Refused(f"`{word}` is not an operator", offset, len(word), _WORDS[word])
    if kind == "reserved":
        return Refused(f"`{word}` is a reserved word and cannot be a name", offset, len(word))
    if kind == "quoted":
        return Refused(_INSTEAD["`"], offset, len(word))
    instead = "; a list is written as `[a, b]`" if word == "," and wanted.endswith("`)`") else ""
    return Refused(f"unexpected `{word}`; expected {wanted}{instead}", offset, len(word))


def strange_character(text: str, offset: int) -> Refused:
    """A character that starts no token."""
    character = text[offset]
    if character in "\"'":
        return Refused("this string is not closed", offset)
    return Refused(_INSTEAD.get(character, f"unexpected {character!r}"), offset)
