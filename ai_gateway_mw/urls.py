"""URLs as the policy changes them: replaced by RE2 the way Go does it, percent-encoded, taken apart again."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes, urlsplit

LONGEST: Final = 32 * 1024
_LONG_NUMBER: Final = 6
_PARTS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?(?:#(?P<fragment>.*))?"
)
_AUTHORITY: Final = re.compile(r"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_AS_IT_IS: Final = "".join(map(chr, range(33, 127))).translate(dict.fromkeys(map(ord, '"<>\\^`{|}')))
_IN_PATH: Final = "/:@!$&'()*+,;=~-._"
_REFERENCE: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>[A-Za-z0-9_]+)|\{(?P<braced>[A-Za-z0-9_]+)\})")


class URL(NamedTuple):
    """An `http` or `https` URL with a host and nothing that has to be encoded; the path begins with a slash."""

    scheme: str
    authority: str
    path: str
    query: str = ""
    fragment: str = ""

    def __str__(self) -> str:
        query = f"?{self.query}" if self.query else ""
        fragment = f"#{self.fragment}" if self.fragment else ""
        return f"{self.scheme}://{self.authority}{self.path}{query}{fragment}"

    @property
    def plain_path(self) -> str:
        """The path as servers decode it."""
        return unquote(self.path, "utf-8", "replace")


def parsed(text: str, base: URL | None = None) -> URL:
    """What a text says, percent-encoded where that is needed; one that begins with a slash is below the host of
    `base`. Raises ValueError, without the text."""
    if _CONTROL.search(text):
        raise ValueError("the URL holds control characters")
    if len(text) > LONGEST:
        raise ValueError("the URL is too long")
    if text.startswith("/") and base is not None:
        text = f"{base.scheme}://{base.authority}{text}"  # also where it begins with two: no other host
    found = _PARTS.fullmatch(quote(_BARE_PERCENT.sub("%25", text), safe=_AS_IT_IS, errors="surrogatepass"))
    if found is None:
        raise ValueError("this is no http or https URL")
    if not _AUTHORITY.fullmatch(found["authority"]) or not _has_host(found["authority"]):
        raise ValueError("the URL names no host, or more than a host and a port")
    return URL(found["scheme"], found["authority"], found["path"] or "/", found["query"] or "", found["fragment"] or "")


def _has_host(authority: str) -> bool:
    try:
        parts = urlsplit(f"//{authority}")
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # no address within the brackets, or no such port
        return False


def encoded_path(path: str, raw: bytes) -> str:
    """A path as it was sent, where that still is the one that decisions are made on; else that one, encoded."""
    if unquote_to_bytes(raw) == path.encode("utf-8", "surrogateescape"):
        return quote(raw, safe=_AS_IT_IS.replace("?", "").replace("#", ""))
    return normal_path(path)


def normal_path(path: str) -> str:
    """A path in ASCII, however it was sent: only what cannot stand in one is encoded."""
    return quote(path, safe=_IN_PATH, errors="surrogatepass")


def encoded_query(query: bytes) -> str:
    """A query in ASCII, as it was sent but for bytes that no URL holds."""
    return quote(query, safe=_AS_IT_IS.replace("#", ""))


def replaced(pattern: Any, text: str, replacement: str) -> tuple[str, list[str]]:
    """All that the pattern matches replaced, and what that was. Raises ValueError where it becomes too long.

    As Go's `ReplaceAllString`: `$1`, `${1}`, `$name`; `$$` is a dollar sign, and a group that is not there is empty.
    """
    made: list[str] = []
    matches: list[str] = []
    at = length = 0
    for match in pattern.finditer(text):
        start, end = match.span()
        if start == end == at and matches:  # nothing, right behind a match
            continue
        made += [text[at:start], _expanded(replacement, match)]
        matches.append(text[start:end])
        length += len(made[-1]) + len(made[-2])
        if length > LONGEST:
            raise ValueError("the URL is too long")
        at = end
    return "".join(made) + text[at:], matches


def _expanded(replacement: str, match: Any) -> str:
    names = match.groupdict()

    def group(reference: re.Match[str]) -> str:
        if reference["dollar"]:
            return "$"
        name = reference["bare"] or reference["braced"]
        if not name.isdigit():
            return names.get(name) or ""
        there = len(name) < _LONG_NUMBER and int(name) <= match.re.groups
        return (match.group(int(name)) or "") if there else ""

    return _REFERENCE.sub(group, replacement)
