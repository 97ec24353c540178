"""Who the client is: the peer's address, or what a trusted proxy says of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ai_gateway_mw.errors import PolicyDenied
from ai_gateway_mw.headers import Field

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_FORM = ": it needs an address, `/` and a number of bits, such as `203.0.113.0/24`"
_HOP = re.compile(r"\[(?P<v6>[^\]]+)\](?::[0-9]{1,5})?|(?P<v4>[^:]+):[0-9]{1,5}")


@lru_cache(maxsize=4096)  # the same few peers and proxies come again and again
def parse_address(text: str) -> Address:
    """An address; an IPv4-mapped IPv6 one counts as IPv4 (RFC 4291 2.5.5.2). Raises ValueError, also on zone ids."""
    if "%" in text:
        raise ValueError("an address with a zone id is not accepted")
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=4096)  # as many as are parsed
def text_of(address: Address | None) -> str:
    """An address as text, which takes Python longer than to find it again; empty for an unknown one."""
    return str(address or "")


def parse_network(text: str) -> Network:
    """A CIDR range (RFC 4632); raises ValueError with what is expected instead."""
    address, slash, length = text.partition("/")
    if not slash:
        raise ValueError(f"`{text}` is not a CIDR range{_for_one(text)}")
    if "%" in address or not (length.isascii() and length.isdigit()):
        raise ValueError(f"`{text}` is not a CIDR range{_FORM}")
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"`{text}` is not a CIDR range{_FORM}") from None
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped and network.prefixlen >= 96:
        return IPv4Network((network.network_address.ipv4_mapped, network.prefixlen - 96))
    return network


def _for_one(text: str) -> str:
    """How to write the range of one address, where this is one."""
    try:
        bits = ip_address(text).max_prefixlen
    except ValueError:
        return _FORM
    return _FORM if "%" in text else f"; write `{text}/{bits}` for one address"


class Ranges:
    """CIDR ranges in their order, asked in a time that does not grow with their number."""

    __slots__ = ("_v4", "_v6")

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        listed = tuple(networks)
        self._v4 = _by_mask(listed, IPv4Network)
        self._v6 = _by_mask(listed, IPv6Network)

    def place_of(self, address: Address) -> int | None:
        """The place of the first range that holds the address, or None."""
        masks = self._v4 if isinstance(address, IPv4Address) else self._v6
        if not masks:
            return None
        number = int(address)
        found = None
        for mask, places in masks:
            place = places.get(number & mask)
            if place is not None and (found is None or place < found):
                found = place
        return found

    def __contains__(self, address: Address) -> bool:
        return self.place_of(address) is not None


def _by_mask(networks: Sequence[Network], kind: type[Network]) -> list[tuple[int, dict[int, int]]]:
    """For each mask in use, the places of the ranges of one IP version by their first address."""
    masks: dict[int, dict[int, int]] = {}
    for place, network in enumerate(networks):
        if isinstance(network, kind):
            masks.setdefault(int(network.netmask), {}).setdefault(int(network.network_address), place)
    return list(masks.items())


def origin_of(address: Address | None) -> str:
    """By what clients are told apart where somebody misbehaves: the address of IPv4; of IPv6 the network of 64 bits,
    within which a client chooses its address itself. Empty for an unknown one."""
    if isinstance(address, IPv6Address):
        return f"{address.exploded[:19]}::/64"
    return str(address or "")


def client_address(peer: str | None, fields: Sequence[Field], trusted: Ranges | None) -> Address | None:
    """The client's address: the peer, or behind trusted proxies the rightmost address that is not one of theirs.

    None where the server names no peer (a Unix socket). Raises `PolicyDenied` for what cannot be parsed: guessing at
    an address would open an allowlist.
    """
    try:
        address = parse_address(peer) if peer else None
        if address is None or trusted is None or address not in trusted:
            return address
        for hop in reversed(_forwarded_for(fields)):
            address = parse_address(hop)
            if address not in trusted:
                break
    except ValueError:
        raise PolicyDenied("the client's address cannot be parsed") from None
    return address


def _forwarded_for(fields: Sequence[Field]) -> list[str]:
    """Addresses from X-Forwarded-For or Forwarded (RFC 7239), left to right; both at once is a contradiction."""
    plain = [value for name, value in fields if name == b"x-forwarded-for"]
    standard = [value for name, value in fields if name == b"forwarded"]
    if plain and standard:
        raise ValueError("X-Forwarded-For beside Forwarded")
    if len(plain) + len(standard) > 1 and any(name == b"transfer-encoding" for name, _ in fields):
        # uvicorn takes the trailers of a chunked request for fields: the last one may be the client's own.
        raise ValueError("a chunked request with more than one such field")
    if plain:
        return [_without_port(hop.strip()) for hop in b",".join(plain).decode("latin-1").split(",")]
    return [_without_port(hop) for value in standard for hop in _for_parameters(value.decode("latin-1"))]


def _for_parameters(value: str) -> list[str]:
    if any(mark in quoted for quoted in value.split('"')[1:-1:2] for mark in ",;\\"):
        # Text in quotes may be the client's (`host=`), and would be taken for elements of its own.
        raise ValueError("a Forwarded element with separators in quotes")
    hops = []
    for element in value.split(","):
        pairs = (pair.strip().partition("=") for pair in element.split(";"))
        named = [text.strip('"') for name, _, text in pairs if name.lower() == "for"]
        if len(named) != 1:
            raise ValueError("a Forwarded element without exactly one `for`")
        hops.append(named[0])
    return hops


def _without_port(text: str) -> str:
    found = _HOP.fullmatch(text)
    return found["v6"] or found["v4"] if found else text
