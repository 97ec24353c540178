"""Host names of upstreams that lead elsewhere than DNS says: how the setting `HOSTS` writes them."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ai_gateway_mw.addresses import parse_address

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
