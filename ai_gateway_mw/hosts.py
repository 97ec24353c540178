"""Names of upstreams that lead elsewhere than DNS says: how the settings `HOSTS` and `INTERNAL` write them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from ai_gateway_mw.addresses import parse_address

INTERNAL: Final = ".internal"

_VISIBLE: Final = re.compile(r"[!-\[\]-~]+")
_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_HOST_PORT: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{1,5}))?")


class HostAddress(NamedTuple):
    """Where a host name leads; without a port of its own, to the port of the URL."""

    address: str
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return host if self.port is None else f"{host}:{self.port}"


def host_pair(item: str) -> tuple[str, str]:
    """The two halves of `name=address`. Raises ValueError, as the others here do, with what was expected."""
    name, equals, address = item.partition("=")
    if not equals:
        raise ValueError(f"`{item}` is not `name=address` or `name=address:port`")
    return name, address


def host_name(text: str) -> str:
    """The name in the one case in which names are compared, without a final dot."""
    name = text.strip().lower().removesuffix(".")
    if not _NAME.fullmatch(name):
        raise ValueError(f"`{text}` is not a host name")
    return name


def host_address(text: str) -> HostAddress:
    """An address or a host name, with or without a port."""
    text = text.strip()
    bare = text.count(":") > 1 and not text.startswith("[")
    found = _HOST_PORT.fullmatch(f"[{text}]" if bare else text)
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 0 < port < 65_536):
        raise ValueError(f"`{text}` is not `address` or `address:port`; IPv6 with a port is `[address]:port`")
    return HostAddress(str(parse_address(found["v6"])) if found["v6"] else host_name(found["name"]), port)


def internal_pair(item: str) -> tuple[str, str]:
    """The two halves of `name=url`. Raises ValueError, as the others here do, with what was expected."""
    name, equals, url = item.partition("=")
    if not equals:
        raise ValueError(f"`{item}` is not `name=url`")
    return name, url


def internal_name(text: str) -> str:
    """The name of an internal upstream: `orders`, which URLs call `orders.internal`."""
    name = host_name(text).removesuffix(INTERNAL)
    if not name or name == INTERNAL.removeprefix("."):
        raise ValueError(f"`{text}` is not the name of an upstream")
    return name


def internal_url(text: str) -> str:
    """Where an internal upstream is: an origin, with or without a path that comes before the request's own."""
    url = text.strip().rstrip("/")
    parts = urlsplit(url)
    try:
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
    if not sound or not _VISIBLE.fullmatch(url) or any(mark in url for mark in "@?#"):
        shown = text.rpartition("@")[2]  # without what might be a password
        raise ValueError(f"`{shown}` is not an http or https URL of a host, with or without a path")
    return url
