"""Text as base64, JSON, query strings and URLs, and back."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote_plus, unquote_plus, urlencode, urlsplit

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.moments import INT_MAX, INT_MIN
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.rendering import json_text, render_value
from ai_gateway_mw.cel.types import BOOL, BYTES, DYN, STRING, ListType, MapType

_MAP = MapType(STRING, DYN)
_LIST = ListType(DYN)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: str) -> bytes:
    """Standard alphabet; missing padding is forgiven."""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise EvaluationError("this string is not base64") from None


def _utf8(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EvaluationError("the decoded bytes are not UTF-8") from None


_LARGE_NUMBER = re.compile(r"[0-9]{19}|[0-9][eE]\+?[0-9]{3}")


def json_value(text: str) -> Any:
    """What a JSON text says: whole numbers within 64 bits are ints, all others doubles."""
    try:
        if _LARGE_NUMBER.search(text):
            return json.loads(text, parse_int=_number, parse_float=_finite, parse_constant=_refused)
        return json.loads(text, parse_constant=_refused)
    except (ValueError, RecursionError):
        raise EvaluationError("this string is not JSON") from None


def _number(text: str) -> int | float:
    value = int(text) if len(text) < 21 else INT_MAX + 1
    return value if INT_MIN <= value <= INT_MAX else _finite(text)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refused(text)


def _refused(text: str) -> Any:
    raise ValueError(text)


def _is_json(text: str) -> bool:
    try:
        json_value(text)
    except EvaluationError:
        return False
    return True


def _query(values: Mapping[Any, Any]) -> str:
    pairs = [(str(key), values[key]) for key in sorted(values, key=str)]
    shown = [
        (key, [render_value(each) for each in value] if isinstance(value, (list, tuple)) else render_value(value))
        for key, value in pairs
    ]
    return urlencode(shown, doseq=True)


_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")


def _well_escaped(text: str) -> str:
    if _BAD_ESCAPE.search(text):
        raise EvaluationError("a `%` in this string is not followed by two hexadecimal digits")
    return text


def _unescaped(text: str) -> str:
    return unquote_plus(_well_escaped(text))


def _unquery(text: str) -> dict[str, str]:
    try:
        parsed = parse_qs(_well_escaped(text), keep_blank_values=True, max_num_fields=10_000)
    except ValueError:
        raise EvaluationError("this string is not a query string") from None
    return {key: values[0] for key, values in parsed.items()}


def _is_query(text: str) -> bool:
    try:
        pairs = parse_qs(_well_escaped(text), keep_blank_values=True, strict_parsing=True, max_num_fields=10_000)
    except (ValueError, EvaluationError):
        return False
    return bool(pairs)


# No URL has these anywhere (RFC 3986 2), nor a host the others: Python passes over some, and browsers take a backslash
# for a slash, so that they would go to another host than the one that is told here.
_NEVER_IN_URLS = re.compile(r"[\x00-\x1f\x7f]")
_NEVER_IN_HOSTS = re.compile(r"[\\ ]")
_ONLY_BROWSERS_SEE_A_HOST = re.compile(r" *(?:https?:/?\\|[/\\]{2})", re.IGNORECASE)


def url_parts(text: str) -> dict[str, Any]:
    """The parts of a URL under the names that Traffic Policy uses elsewhere."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise EvaluationError("this string is not a URL") from None
    found = _NEVER_IN_HOSTS.search(parts.netloc) if parts.netloc else _ONLY_BROWSERS_SEE_A_HOST.match(text)
    if found or _NEVER_IN_URLS.search(text):
        raise EvaluationError("this string is not a URL")
    user, _, host = parts.netloc.rpartition("@")
    return {
        "scheme": parts.scheme,
        "host": host,
        "hostname": parts.hostname or "",
        "port": "" if port is None else str(port),
        "path": parts.path,
        "query": parts.query,
        "fragment": parts.fragment,
        "user_password": user,
    }


def _is_url(text: str) -> bool:
    """True for absolute URLs."""
    try:
        parts = url_parts(text)
    except EvaluationError:
        return False
    return bool(parts["scheme"] and (parts["host"] or parts["path"])) and not any(each.isspace() for each in text)


def _pair(name: str, method: str, params: tuple[Any, ...], result: Any, call: Callable[..., Any]) -> list[Overload]:
    """One function under its namespaced name and as a method."""
    return [Overload(name, params, result, call), Overload(method, params, result, call, member=True)]


ENCODING: tuple[Overload, ...] = (
    Overload("base64.encode", (BYTES,), STRING, _base64),
    Overload("base64.encode", (STRING,), STRING, lambda text: _base64(text.encode())),
    Overload("base64.decode", (STRING,), BYTES, _unbase64),
    Overload("encodeBase64", (STRING,), STRING, lambda text: _base64(text.encode()), member=True),
    Overload("decodeBase64", (STRING,), STRING, lambda text: _utf8(_unbase64(text)), member=True),
    Overload(
        "basic_auth.encode", (STRING, STRING), STRING, lambda user, word: f"Basic {_base64(f'{user}:{word}'.encode())}"
    ),
    *_pair("json.encode", "encodeJson", (_LIST,), STRING, json_text),
    *_pair("json.encode", "encodeJson", (MapType(DYN, DYN),), STRING, json_text),
    *_pair("json.decode", "decodeJson", (STRING,), DYN, json_value),
    Overload("isJson", (STRING,), BOOL, _is_json, member=True),
    *_pair("queryString.encode", "encodeQueryString", (_MAP,), STRING, _query),
    *_pair("queryString.decode", "decodeQueryString", (STRING,), MapType(STRING, STRING), _unquery),
    Overload("isQueryString", (STRING,), BOOL, _is_query, member=True),
    *_pair("url.escape", "escapeUrl", (STRING,), STRING, quote_plus),
    *_pair("url.unescape", "unescapeUrl", (STRING,), STRING, _unescaped),
    *_pair("url.parse", "parseUrl", (STRING,), _MAP, url_parts),
    Overload("isURL", (STRING,), BOOL, _is_url, member=True),
)
