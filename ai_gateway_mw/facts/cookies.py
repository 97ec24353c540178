"""Cookies of requests and of answers (RFC 6265), each as a mapping in which every attribute has a value."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

from ai_gateway_mw.cel import Duration, Timestamp

Cookie = dict[str, Any]

_LONGEST_AGE: Final = 100 * 366 * 24 * 3600
_NEVER: Final = Timestamp(Timestamp.LOWEST)  # Go's zero time, which Traffic Policy shows where there is none


def request_cookies(field: str) -> dict[str, list[Cookie]]:
    """The cookies of a Cookie field by name; of one name, in the order of the field."""
    made: dict[str, list[Cookie]] = {}
    for pair in field.split(";"):
        name, separator, value = pair.strip().partition("=")
        if separator:
            made.setdefault(name, []).append(_cookie(name, value))
    return made


def response_cookies(fields: Iterable[str]) -> dict[str, list[Cookie]]:
    """The cookies that Set-Cookie fields set, by name; of one name, the longest path first."""
    made: dict[str, list[Cookie]] = {}
    for field in fields:
        pair, *attributes = field.split(";")
        name, separator, value = pair.strip().partition("=")
        if separator and name:
            made.setdefault(name, []).append(_with(_cookie(name, value), attributes))
    for cookies in made.values():
        cookies.sort(key=lambda cookie: -len(cookie["path"]))
    return made


def _cookie(name: str, value: str) -> Cookie:
    return {
        "name": name,
        "value": value,
        "domain": "",
        "path": "",
        "same_site": "",
        "expires": _NEVER,
        "max_age": Duration(0),
        "http_only": False,
        "secure": False,
        "unparsed_attributes": {},
    }


def _with(cookie: Cookie, attributes: Iterable[str]) -> Cookie:
    for attribute in attributes:
        name, _, value = (part.strip() for part in attribute.partition("="))
        match name.lower():
            case "domain" | "path" as known:
                cookie[known] = value
            case "samesite":
                cookie["same_site"] = value
            case "httponly":
                cookie["http_only"] = True
            case "secure":
                cookie["secure"] = True
            case "max-age" if value.removeprefix("-").isdecimal() and value.isascii():
                seconds = min(int(value[:12]), _LONGEST_AGE)
                cookie["max_age"] = Duration(max(seconds, -_LONGEST_AGE) * 1_000_000_000)
            case "expires" if (moment := _moment(value)) is not None:
                cookie["expires"] = moment
            case "":
                pass
            case _:
                cookie["unparsed_attributes"][name] = value
    return cookie


def _moment(value: str) -> Timestamp | None:
    """A date as HTTP writes it; old servers put hyphens into it."""
    try:
        found = parsedate_to_datetime(value.replace("-", " "))
        return Timestamp.of(found if found.tzinfo else found.replace(tzinfo=UTC))
    except (ValueError, OverflowError, TypeError):
        return None
