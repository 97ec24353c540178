"""Names that policies use and nobody has, with what to write instead; and expressions that load but cannot be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

# ngrok's price list names functions that its reference does not have; others come from its examples.
INSTEAD: Final[Mapping[str, str]] = {
    ".basic_auth.username": "actions.ngrok.basic_auth.credentials.username",
    ".ngrok.geo": "conn.geo",
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
_GETTERS: Final[Mapping[str, str]] = {
    "year": "getFullYear",
    "month": "getMonth",
    "day": "getDate",
    "weekday": "getDayOfWeek",
    "hour": "getHours",
    "minute": "getMinutes",
    "second": "getSeconds",
}
_OF_TIME: Final = re.compile(rf"(time\.now(?:\(\))?)\.(?:{'|'.join(_GETTERS)})\b")
_CALLED: Final = re.compile(r"\b(?:b64|http|security)\.[a-z_0-9]+")


def instead(text: str, message: str, offset: int) -> tuple[str, str]:
    """The message and hint for an unknown name: as it is written in the expression, with what stands before a dot."""
    known = re.search(r"unknown (?:name|function) `([^`]+)`", message)
    if known is None:
        return message, ""
    timed = _OF_TIME.search(text) if known[1] in _GETTERS else None
    if timed is not None:
        getter = f"timestamp({timed[1]}).{_GETTERS[known[1]]}()"
        return f"{message}: `time.now` is text; write `{getter}`", ""
    called = _CALLED.match(text, offset)
    name = called[0] if called and known[1] == called[0].partition(".")[0] else known[1]
    named = next((each for each in _prefixes(name) if each in INSTEAD), "")
    if not named:
        return message, ""
    return message.replace(f"`{known[1]}`", f"`{name}`", 1), INSTEAD[named] + name.removeprefix(named)


def _prefixes(name: str) -> Iterator[str]:
    """`a.b.c`, `a.b`, `a`."""
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(len(parts), 0, -1))


class Doubt(NamedTuple):
    """Something that is probably not meant, and where it stands in the text."""

    offset: int
    message: str
    severity: Literal["error", "warning"] = "warning"


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
_INTERPOLATED: Final = re.compile(r"""(?<![$\\])(?:'\$\{(?:[^'\\]|\\.)*\}'|"\$\{(?:[^"\\]|\\.)*\}")""")
_NO_TEMPLATE: Final = "`${ }` is not interpolated in the text of an expression; write what stands in it, without quotes"
_LOOKS_LIKE_CEL: Final = re.compile(
    r"\s*(?:(?:conn|req|res|vars|actions|endpoint)\.[a-z_]\w*(?:\.\w+|\[[^\]]*\]|\([^()]*\))*|secrets\.get\([^()]*\)"
    r"|json\.(?:decode|encode)\((?:[^()'\"]|'[^']*'|\"[^\"]*\"|\([^()]*\))*\)(?:\.\w+|\[[^\]]*\])*)\s*"
)


def doubts(expression: str) -> Iterator[Doubt]:
    """What is probably not meant in an expression."""
    for form, message in _DOUBTS:
        for found in form.finditer(expression):
            yield Doubt(found.start(1), message.format(found[1]))
    if interpolated := _INTERPOLATED.search(expression):
        yield Doubt(interpolated.start(), _NO_TEMPLATE, "error")


_NGINX: Final[Mapping[str, str]] = {
    "args": "req.url.query",
    "query_string": "req.url.query",
    "is_args": "(req.url.query == '' ? '' : '?')",
    "authority": "req.url.authority",
    "host": "req.url.host",
    "port": "req.url.port",
    "scheme": "req.url.scheme",
    "uri": "req.url.path",
    "user": "req.url.user_password",
    "is_user": "req.url.user_password != ''",
}
_OF_NGINX: Final = re.compile(rf"\$(arg_\w+|{'|'.join(_NGINX)})\b")


def nginx_variables(template: str) -> Iterator[Doubt]:
    """Variables as nginx writes them, which Traffic Policy once had: they are plain text now."""
    for used in _OF_NGINX.finditer(template):
        name = used[1]
        means = f"req.url.query_params['{name[4:]}'][0]" if name.startswith("arg_") else _NGINX[name]
        yield Doubt(used.start(), f"`{used[0]}` is plain text; to have what nginx means by it, write `${{{means}}}`")


def is_bare(template: str) -> bool:
    """Whether text without interpolation looks like an expression whose `${ }` was forgotten."""
    return bool(_LOOKS_LIKE_CEL.fullmatch(template))
