"""IP addresses and networks: Traffic Policy's helpers on strings, and CEL's `net` types."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.problems import EvaluationError
from ai_gateway_mw.cel.types import BOOL, INT, STRING, ListType, Type

IP, CIDR = Type("net.IP"), Type("net.CIDR")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


class CelIp:
    """An address as a CEL value."""

    __slots__ = ("address",)
    cel_type = "net.IP"

    def __init__(self, address: Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CelIp) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)


class CelCidr:
    """A network as a CEL value: an address, whose host bits are kept, and a prefix length."""

    __slots__ = ("address", "network")
    cel_type = "net.CIDR"

    def __init__(self, address: Address, network: Network) -> None:
        self.address = address
        self.network = network

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CelCidr) and (self.address, self.network) == (other.address, other.network)

    def __hash__(self) -> int:
        return hash((self.address, self.network))

    def __str__(self) -> str:
        return f"{self.address}/{self.network.prefixlen}"


_LONGEST = 64  # characters of an address with its prefix length or zone, and some more


def _address(text: str) -> Address:
    if len(text) > _LONGEST:
        raise ValueError
    return ipaddress.ip_address(text)


def _ip(text: str) -> CelIp:
    try:
        address = _address(text)
    except ValueError:
        raise EvaluationError("this string is not an IP address") from None
    mapped = isinstance(address, ipaddress.IPv6Address) and "." in text
    if "%" in text or mapped:
        raise EvaluationError("an IP address may have neither a zone nor IPv4 within IPv6")
    return CelIp(address)


def _cidr(text: str) -> CelCidr:
    address, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit():
        raise EvaluationError("this string is not a network in CIDR notation")
    ip = _ip(address).address
    try:
        return CelCidr(ip, ipaddress.ip_network(f"{ip}/{length}", strict=False))
    except ValueError:
        raise EvaluationError("this string is not a network in CIDR notation") from None


def _is(make: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            make(text)
        except EvaluationError:
            return False
        return True

    return check


def _unmapped(text: str) -> Address:
    """An address, with IPv4 in IPv6 taken as the IPv4 address that it is."""
    address = _address(text)
    return getattr(address, "ipv4_mapped", None) or address


def in_cidr_range(ip: str, cidr: str) -> bool:
    """True if the address lies in the network; false if either is not valid. Host bits do no harm."""
    try:
        address = _unmapped(ip)
        network = ipaddress.ip_network(cidr[:_LONGEST], strict=False)
    except ValueError:
        return False
    return address.version == network.version and address in network


def in_cidr_ranges(ip: str, cidrs: list[Any]) -> bool:
    """True if the address lies in one of the networks."""
    return any(isinstance(cidr, str) and in_cidr_range(ip, cidr) for cidr in cidrs)


def is_private_ip(ip: str) -> bool:
    """True for the private IPv4 addresses of RFC 1918."""
    try:
        address = _unmapped(ip)
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in _PRIVATE)


def _within(outer: CelCidr, inner: CelCidr) -> bool:
    if outer.network.version != inner.network.version or inner.network.prefixlen < outer.network.prefixlen:
        return False
    return inner.network.network_address in outer.network


def _contains(outer: CelCidr, ip: CelIp) -> bool:
    return ip.address.version == outer.network.version and ip.address in outer.network


def _global_unicast(ip: CelIp) -> bool:
    """As Go has it: everything but the unspecified, loopback, multicast, link-local and broadcast addresses."""
    address = ip.address
    broadcast = address.version == 4 and int(address) == 2**32 - 1
    return not (
        broadcast or address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    )


def _link_local_multicast(ip: CelIp) -> bool:
    address = ip.address
    if address.version == 4:
        return int(address) >> 8 == 0xE00000
    return int(address) >> 112 in {0xFF02 | flags << 4 for flags in range(16)}


def _test(name: str, test: Callable[[CelIp], bool]) -> Overload:
    return Overload(name, (IP,), BOOL, test, member=True)


NET: tuple[Overload, ...] = (
    Overload("inCidrRange", (STRING, STRING), BOOL, in_cidr_range),
    Overload("inCidrRanges", (STRING, ListType(STRING)), BOOL, in_cidr_ranges),
    Overload("isPrivateIp", (STRING,), BOOL, is_private_ip, member=True),
    Overload("ip", (STRING,), IP, _ip),
    Overload("ip", (CIDR,), IP, lambda cidr: CelIp(cidr.address), member=True),
    Overload("isIP", (STRING,), BOOL, _is(_ip)),
    Overload("ip.isCanonical", (STRING,), BOOL, lambda text: str(_ip(text)) == text),
    Overload("cidr", (STRING,), CIDR, _cidr),
    Overload("isCIDR", (STRING,), BOOL, _is(_cidr)),
    Overload("string", (IP,), STRING, str),
    Overload("string", (CIDR,), STRING, str),
    Overload("family", (IP,), INT, lambda ip: ip.address.version, member=True),
    _test("isUnspecified", lambda ip: ip.address.is_unspecified),
    _test("isLoopback", lambda ip: ip.address.is_loopback),
    _test("isGlobalUnicast", _global_unicast),
    _test("isLinkLocalMulticast", _link_local_multicast),
    _test("isLinkLocalUnicast", lambda ip: ip.address.is_link_local),
    Overload("containsIP", (CIDR, IP), BOOL, _contains, member=True),
    Overload("containsIP", (CIDR, STRING), BOOL, lambda cidr, ip: _contains(cidr, _ip(ip)), member=True),
    Overload("containsCIDR", (CIDR, CIDR), BOOL, _within, member=True),
    Overload("containsCIDR", (CIDR, STRING), BOOL, lambda outer, inner: _within(outer, _cidr(inner)), member=True),
    Overload("masked", (CIDR,), CIDR, lambda cidr: CelCidr(cidr.network.network_address, cidr.network), member=True),
    Overload("prefixLength", (CIDR,), INT, lambda cidr: cidr.network.prefixlen, member=True),
)
