"""IP intelligence: where an address is, whose it is, and what it is known for, from the operator's own files.

`.yaml`, `.yml`, `.json` and `.csv` files list ranges; `.mmdb` files are databases of MaxMind's format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from ai_gateway_mw.addresses import Address, Network, parse_address

LOCATION = (
    ("city", "continent", "country", "country_code", "latitude", "longitude", "metro_code", "postal_code")
    + ("radius", "subdivision", "timezone")
)  # fmt: skip
REGISTERED = ("city", "continent", "country", "country_code", "metro_code", "subdivision", "timezone")

_NOTHING: Mapping[str, Any] = {}
_BLOCKED, _TOR = "blocklist", "proxy.anonymous.tor"


@dataclass(frozen=True, slots=True)
class AddressFacts:
    """What is known of one address. `categories` has every dotted prefix, so that `com.example` is found, too."""

    categories: Sequence[str] = ()
    is_on_blocklist: bool = False
    as_number: int = 0
    as_organization: str = ""
    location: Mapping[str, Any] = field(default_factory=dict)
    registered_location: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_tor_node(self) -> bool:
        return _TOR in self.categories


@dataclass(frozen=True, slots=True)
class Listed:
    """What one entry of a file says of a range; None is what it says nothing of."""

    categories: Sequence[str] = ()
    blocklist: bool | None = None
    as_number: int | None = None
    as_organization: str | None = None
    location: Mapping[str, Any] = field(default_factory=dict)
    registered_location: Mapping[str, Any] = field(default_factory=dict)


class AddressSource(Protocol):
    """One file."""

    def entries(self, address: Address) -> Iterable[Listed]:
        """What it says of an address, the most specific first."""


class RangesFile:
    """Entries by their ranges, found in a time that grows with the number of prefix lengths in use only."""

    def __init__(self, listed: Iterable[tuple[Network, Listed]]) -> None:
        tables: dict[tuple[int, int], dict[int, list[Listed]]] = {}
        for network, entry in listed:
            table = tables.setdefault((network.version, int(network.netmask)), {})
            table.setdefault(int(network.network_address), []).append(entry)
        self._tables = sorted(tables.items(), key=lambda item: -item[0][1])

    def entries(self, address: Address) -> Iterator[Listed]:
        number = int(address)
        for (version, mask), table in self._tables:
            if version == address.version:
                yield from table.get(number & mask, ())


class Intelligence:
    """What all files together say: categories add up; of everything else the first that says something counts."""

    def __init__(self, sources: Sequence[AddressSource]) -> None:
        self._sources = tuple(sources)
        self._of = lru_cache(maxsize=4096)(self._looked_up)

    def of(self, text: str) -> AddressFacts:
        """What is known of an address; of what is none, nothing."""
        return self._of(text)

    def _looked_up(self, text: str) -> AddressFacts:
        try:
            address = parse_address(text)
        except ValueError:
            return NOTHING_KNOWN
        return _together([entry for source in self._sources for entry in source.entries(address)])


NOTHING_KNOWN = AddressFacts()


def _together(entries: Sequence[Listed]) -> AddressFacts:
    categories = list(dict.fromkeys(prefix for entry in entries for name in entry.categories for prefix in _all(name)))
    blocked = [entry.blocklist for entry in entries if entry.blocklist is not None]
    return AddressFacts(
        categories,
        any(blocked) if blocked else _BLOCKED in categories,
        next((entry.as_number for entry in entries if entry.as_number is not None), 0),
        next((entry.as_organization for entry in entries if entry.as_organization is not None), ""),
        next((entry.location for entry in entries if entry.location), _NOTHING),
        next((entry.registered_location for entry in entries if entry.registered_location), _NOTHING),
    )


def _all(category: str) -> Iterator[str]:
    """`com.cloudflare.ipv4` -> `com`, `com.cloudflare`, `com.cloudflare.ipv4`."""
    parts = category.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))
