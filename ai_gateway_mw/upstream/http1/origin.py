"""Origin: where connections lead to (RFC 9110 4.3.1), worked out once from a base URL and the setting `HOSTS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import httpx

from ai_gateway_mw.hosts import HostAddress

_PORTS = {"http": 80, "https": 443}


class _Place(NamedTuple):
    scheme: str
    host: str
    port: int
    address: str


class Origin(_Place):
    """`host` is the name that a certificate must show; `address` and `port` are what is connected to. `authority` is
    for the field Host: whoever is asked for, it is the same connection, and the same origin.

    A tuple, since each request looks up pools and breakers by it, and tuples are hashed and compared in C; the
    authority is none of its items, so that it does not count there. Not to be copied by `_replace`, which forgets it.
    """

    authority: bytes

    def __new__(cls, scheme: str, host: str, port: int, address: str, authority: bytes) -> Origin:
        origin = super().__new__(cls, scheme, host, port, address)
        origin.authority = authority
        return origin

    def __getnewargs__(self) -> tuple[str, str, int, str, bytes]:  # for copies of it
        return (*self, self.authority)

    def with_authority(self, authority: bytes) -> Origin:
        """The same place, asked for under another name."""
        return Origin(*self, authority)

    @classmethod
    def of(cls, base_url: str | httpx.URL, hosts: Mapping[str, HostAddress] | None = None) -> Origin:
        """The origin of a URL; its path counts for nothing. Raises ValueError, without the URL's text."""
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL:
            raise ValueError("this is not a URL") from None
        if url.scheme not in _PORTS or not url.host:
            raise ValueError("the URL of an upstream starts with http:// or https:// and names a host")
        mapped = (hosts or {}).get(url.host)
        host = url.raw_host.decode("ascii").strip("[]").removesuffix(".")
        port = (mapped and mapped.port) or url.port or _PORTS[url.scheme]
        return cls(url.scheme, host, port, mapped.address if mapped else host, url.netloc)
