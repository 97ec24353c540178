"""Names that policies use and nobody has, with what to write instead; and expressions that load but cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

# ngrok's price list names functions that its reference does not have; others come from its examples.
INSTEAD: Final[Mapping[str, str]] = {
    "conn.ts.end": "conn.ts.start",
    "req.path": "req.url.path",
    "req.query": "req.url.query_params",
    "req.ip": "conn.client_ip",
    "req.remote_addr": "conn.client_ip",
    "request.headers": "req.headers",
    "response.headers": "res.headers",
    "res.status": "res.status_code",
    "b64.decode": "base64.decode",
    "b64.encode": "base64.encode",
    "http.header": "getReqHeader",
    "http.param": "getQueryParam",
    "http.path": "req.url.path",
    "http.path_segment": "req.url.path.split('/')",
    "http.query": "req.url.query",
    "http.query_param": "getQueryParam",
    "http.remote_addr": "conn.client_ip",
    "http.request_body": "req.body",
    "http.request_body_json": "req.body",
    "http.request_body_query": "req.body",
    "http.request_method": "req.method",
    "http.request_uri": "req.url.uri",
    "http.scheme": "req.url.scheme",
    "http.status": "res.status_code",
    "http.user_agent": "req.user_agent",
    "security.secret": "secrets.get",
}
_CALLED: Final = re.compile(r"\b(?:b64|http|security)\.[a-z_0-9]+")


def instead(text: str, message: str, offset: int) -> tuple[str, str]:
    """The message and hint for an unknown name: as it is written in the expression, with what stands before a dot."""
    known = re.search(r"unknown (?:name|function) `([^`]+)`", message)
    if known is None:
        return message, ""
    called = _CALLED.match(text, offset)
    name = called[0] if called and known[1] == called[0].partition(".")[0] else known[1]
    named = next((each for each in _prefixes(name) if each in INSTEAD), "")
    return (message.replace(f"`{known[1]}`", f"`{name}`", 1), INSTEAD[named]) if named else (message, "")


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(len(parts), 0, -1))


class Doubt(NamedTuple):
    """Something that is probably not meant, and where it stands in the text."""

    offset: int
    message: str


_DOUBTS: Final = (
    (
        re.compile(r"""\b(conn\.(?:client|server)_ip)\s+in\s+\[[^\]]*/[0-9]{1,3}['"]"""),
        "`in` compares whole texts, so no address is ever in this list; write `inCidrRanges({0}, [...])`",
    ),
    (
        re.compile(r"\.(split)\([^()]*,\s*1\s*\)"),
        "`split` into 1 part gives the whole text; for the first of all parts leave the 1 out",
    ),
)
_LOOKS_LIKE_CEL: Final = re.compile(
    r"\s*(?:(?:conn|req|res|vars|actions|endpoint)\.[a-z_]\w*(?:\.\w+|\[[^\]]*\]|\([^()]*\))*|secrets\.get\([^()]*\)"
    r"|json\.(?:decode|encode)\(.*\))\s*"
)


def doubts(expression: str) -> Iterator[Doubt]:
    """What is probably not meant in an expression."""
    for form, message in _DOUBTS:
        for found in form.finditer(expression):
            yield Doubt(found.start(1), message.format(found[1]))


def is_bare(template: str) -> bool:
    """Whether text without interpolation looks like an expression whose `${ }` was forgotten."""
    return bool(_LOOKS_LIKE_CEL.fullmatch(template))
