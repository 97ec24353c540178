"""Asked: a request as a tool was given it, and the ways to write one: options, a `curl` command, a HAR file, JSON."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from ai_gateway_mw.addresses import parse_address
from ai_gateway_mw.asgi import Scope
from ai_gateway_mw.headers import PRIVATE_FIELDS

_WITH_VALUE: Final = {  # options of curl that matter, and their short forms
    "-X": "method", "--request": "method", "-H": "header", "--header": "header", "--url": "url", "--json": "json",
    "-d": "data", "--data": "data", "--data-raw": "raw", "--data-binary": "binary", "--data-ascii": "data",
    "-A": "agent", "--user-agent": "agent", "-u": "user", "--user": "user", "-b": "cookie", "--cookie": "cookie",
    "-e": "referer", "--referer": "referer",
}  # fmt: skip
_IGNORED_WITH_VALUE: Final = frozenset(
    [
        "-o",
        "--output",
        "-m",
        "--max-time",
        "--connect-timeout",
        "-w",
        "--write-out",
        "-x",
        "--proxy",
        "--retry",
        "--cacert",
        "--cert",
        "--key",
        "--resolve",
    ]
)
_CREDENTIAL_PARAMETERS: Final = frozenset({"key", "api_key", "api-key", "apikey", "access_token"})
_NOT_SENT: Final = frozenset({"content-length", "connection", "transfer-encoding"})


class NoRequest(ValueError):
    """What was given describes no request; the text says why."""


class NoSuchKey(LookupError):
    """There is no gateway key of this name."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `target` is path and query as they are sent, `ip` the address that it comes from."""

    method: str = "POST"
    target: str = "/v1/chat/completions"
    fields: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    ip: str = "127.0.0.1"

    @property
    def credentials(self) -> Iterator[tuple[str, str]]:
        """What nobody shall read, by the names of its fields or of its query parameters."""
        for name, value in self.fields:
            if name.lower().encode("latin-1", "replace") in PRIVATE_FIELDS:
                yield name.lower(), value if name.lower() == "cookie" else value.rpartition(" ")[2]
        for pair in self.target.partition("?")[2].split("&"):
            name, _, value = pair.partition("=")
            if name.lower() in _CREDENTIAL_PARAMETERS:
                yield name.lower(), value

    def with_credential(self, token: str) -> Asked:
        """The same from a client that authenticates with this and nothing else."""
        kept = [pair for pair in self.fields if pair[0].lower().encode("latin-1", "replace") not in PRIVATE_FIELDS]
        return replace(self, fields=(*kept, ("authorization", f"Bearer {token}")))

    def scope(self) -> Scope:
        """As a server hands it on. Raises `NoRequest`."""
        target, _, query = self.target.partition("?")
        try:
            address = str(parse_address(self.ip))
        except ValueError:
            raise NoRequest(f"`{self.ip}` is no IP address; write one such as 203.0.113.7 or 2001:db8::1") from None
        if not target.startswith("/"):
            raise NoRequest(f"a path begins with `/`, not like `{target[:40]}`")
        raw_path, raw_query = _sent(target, "the path"), _sent(query, "the path")
        fields = [
            (_sent(name.lower(), "a header field", "latin-1"), _sent(value, "a header field", "latin-1"))
            for name, value in self.fields
        ]
        if any(set(name + value) & set(b"\r\n\0") for name, value in fields):
            raise NoRequest("a header field holds a line break")
        names = {name for name, _ in fields}
        if b"host" not in names:
            fields.insert(0, (b"host", b"gateway.test"))
        if self.body and b"content-length" not in names:
            fields.append((b"content-length", str(len(self.body)).encode()))
        if self.body and b"content-type" not in names:
            fields.append((b"content-type", b"application/json"))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": self.method.upper(),
            "scheme": "http",
            "path": unquote(target),
            "raw_path": raw_path,
            "query_string": raw_query,
            "root_path": "",
            "headers": fields,
            "client": (address, 50_000),
            "server": ("127.0.0.1", 8080),
            "state": {},
        }


def _sent(text: str, what: str, encoding: str = "utf-8") -> bytes:
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        raise NoRequest(f"{what} holds characters that cannot be sent") from None


def field_of(text: str) -> tuple[str, str]:
    """A header field as `name: value`. Raises `NoRequest`."""
    name, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name.strip()):
        raise NoRequest(f"`{name[:40]}` is no header field: write `name: value`")
    return name.strip(), value.strip()


def body_of(text: str) -> bytes:
    """A body as it is written, or what the file after an `@` holds. Raises `NoRequest`."""
    return read(Path(text[1:])) if text.startswith("@") else text.encode(errors="surrogateescape")


def read(path: Path) -> bytes:
    """What a file holds. Raises `NoRequest`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise NoRequest(f"{path}: cannot be read: {error.strerror or error}") from None


def from_curl(command: str) -> Asked:
    """The request that a `curl` command would send. Raises `NoRequest`."""
    try:
        words = shlex.split(command.replace("\\\n", " "))
    except ValueError as error:
        raise NoRequest(f"this is no curl command: {error}") from None
    if words[:1] == ["curl"]:
        words = words[1:]
    given: dict[str, list[str]] = {}
    for name, value in _options(words):
        given.setdefault(name, []).append(value)
    if not given.get("url"):
        raise NoRequest("the curl command names no URL")
    body = _curl_body(given)
    fields = [field_of(text) for text in given.get("header", ())]
    fields += [
        (name, given[kind][-1])
        for kind, name in (("agent", "user-agent"), ("cookie", "cookie"), ("referer", "referer"))
        if kind in given
    ]
    if body and not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("content-type", "application/json" if "json" in given else "application/x-www-form-urlencoded"))
    method = given.get("method", ["POST" if body else "GET"])[-1]
    return Asked(method, _target(given["url"][-1]), tuple(fields), body)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if not word.startswith("-"):
            yield "url", word
        elif name in _WITH_VALUE:
            yield _WITH_VALUE[name], value if equals else next(rest, "")
        elif word[:2] in _WITH_VALUE and not word.startswith("--"):
            yield _WITH_VALUE[word[:2]], word[2:]
        elif name in _IGNORED_WITH_VALUE and not equals:
            next(rest, "")


def _curl_body(given: Mapping[str, list[str]]) -> bytes:
    pieces = [
        body_of(text) if kind != "raw" else text.encode(errors="surrogateescape")
        for kind in ("data", "raw", "binary", "json")
        for text in given.get(kind, ())
    ]
    return b"&".join(pieces)


def _target(url: str) -> str:
    try:
        parts = urlsplit(url if "//" in url or url.startswith("/") else f"http://{url}")
    except ValueError:
        raise NoRequest(f"`{url[:40]}` is no URL") from None
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def numbered(text: str) -> tuple[str, int]:
    """The name of a file, and which of the things in it is meant: `FILE`, or `FILE#3`."""
    name, mark, number = text.rpartition("#")
    return (name, int(number)) if mark and number.isdecimal() else (text, 1)


def from_har(text: str) -> Asked:
    """An entry of a HAR file, `FILE` or `FILE#3` (counted from 1). Raises `NoRequest`."""
    name, number = numbered(text)
    content = read(Path(name))
    try:
        entries = json.loads(content)["log"]["entries"]
        found = entries[number - 1] if number else entries[len(entries)]
        request = found["request"]
        fields = [(field["name"], field["value"]) for field in request["headers"]]
        body = (request.get("postData") or {}).get("text", "")
        kept = [pair for pair in fields if not pair[0].startswith(":") and pair[0].lower() not in _NOT_SENT]
        return Asked(request["method"], _target(request["url"]), tuple(kept), body.encode())
    except IndexError:
        raise NoRequest(f"{name}: there is no entry {number}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise NoRequest(f"{name}: this is no HAR file") from None


def from_file(path: Path) -> Asked:
    """A JSON file with `method`, `path`, `headers`, `body` and `ip`, all of which may be left out. Raises
    `NoRequest`."""
    content = read(path)
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise NoRequest(f"{path}: this is no JSON") from None
    if not isinstance(data, dict):
        raise NoRequest(f"{path}: a request is a JSON object")
    return of_data(data)


def of_data(data: Mapping[str, Any]) -> Asked:
    """A request out of JSON. Raises `NoRequest`."""
    usual = Asked()
    unknown = data.keys() - {"method", "path", "headers", "body", "ip"}
    if unknown:
        raise NoRequest(f"a request has no `{min(unknown)}`: it has method, path, headers, body and ip")
    headers = data.get("headers") or {}
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    try:
        fields = tuple((str(name), str(value)) for name, value in pairs)
    except (TypeError, ValueError):
        raise NoRequest("`headers` is a map from names to values, or a list of such pairs") from None
    body = data.get("body")
    text = "" if body is None else body if isinstance(body, str) else json.dumps(body)
    content = _sent(text, "the body")
    method = data.get("method") or ("POST" if content or "path" not in data else "GET")
    return Asked(str(method), str(data.get("path") or usual.target), fields, content, str(data.get("ip") or usual.ip))
