"""Fetching: small documents of servers that a policy names (keys, discovery, tokens), bounded in size and time. No
redirect is followed, and nothing is kept but what was asked for."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

import httpx

from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.headers import Field
from ai_gateway_mw.hosts import HostAddress
from ai_gateway_mw.upstream.http1 import Origin, Timeouts
from ai_gateway_mw.upstream.transport import UpstreamRequest, send

_MAX_URL: Final = 2_048
_HOST: Final = re.compile(rb"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?")  # no placeholder of an example


class FetchFailed(Exception):
    """It could not be had. The message names the host, and holds nothing that was sent or received."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer."""

    host: str
    status: int
    body: bytes = field(repr=False)

    def object(self) -> dict[str, Any]:
        """The JSON object of an answer that succeeded. Raises `FetchFailed`."""
        if self.status != 200:
            raise FetchFailed(f"{self.host} answered {self.status}")
        made = self.json()
        if made is None:
            raise FetchFailed(f"the answer of {self.host} is no JSON object")
        return made

    def json(self) -> dict[str, Any] | None:
        """The JSON object, whatever the status; None where it is none."""
        try:
            made = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return made if isinstance(made, dict) else None


class Fetcher:
    """Asks over the transport of the gateway."""

    def __init__(
        self,
        transport: Callable[[], httpx.AsyncBaseTransport],
        hosts: Mapping[str, HostAddress],
        *,
        limit: int = 256 * 1024,
        seconds: float = 5.0,
    ) -> None:
        self._transport = transport
        self._hosts = hosts
        self._limit = limit
        self._seconds = seconds

    async def __call__(
        self, url: str, *, method: str = "GET", fields: Sequence[Field] = (), content: bytes = b""
    ) -> Fetched:
        """Raises `FetchFailed`."""
        try:
            parsed = httpx.URL(trusted_url(url))
        except ValueError as error:
            raise FetchFailed(f"a URL {error}") from None
        sent = [(b"accept", b"application/json"), (b"accept-encoding", b"identity"), *fields]
        origin = Origin.of(parsed, self._hosts)
        request = UpstreamRequest(method, origin, parsed.raw_path, sent, content)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._answer(request)
        except TimeoutError:
            reason = "did not answer in time"
        except GatewayError as error:
            reason = f"could not be asked: {error.code}"
        raise FetchFailed(f"{origin.host} {reason}")

    async def _answer(self, request: UpstreamRequest) -> Fetched:
        timeouts = Timeouts(self._seconds, self._seconds, self._seconds, self._seconds)
        response = await send(self._transport(), request, timeouts)
        try:
            if response.encoded:
                raise FetchFailed(f"the answer of {request.origin.host} is compressed")
            body = await response.buffered(self._limit + 1)
            if len(body) > self._limit:
                raise FetchFailed(f"the answer of {request.origin.host} is larger than {self._limit} bytes")
            return Fetched(request.origin.host, response.status, body)
        finally:
            await response.aclose()


def trusted_url(text: str) -> str:
    """The URL, where what comes from it may be believed: over TLS, or from this machine or this network. Raises
    ValueError, which says what was expected and nothing of the text."""
    url = web_url(text)
    if url is None or len(text) > _MAX_URL:
        raise ValueError("must be a URL such as https://issuer.example.com/keys")
    if url.userinfo or url.fragment:
        raise ValueError("must have no user, password or fragment")
    if url.scheme == "http" and not is_private(url.host):
        raise ValueError("must start with https:// (http:// only for this machine and for names in .internal)")
    return text


def web_url(text: str) -> httpx.URL | None:
    """The text as a URL of http or https whose host can be one; None if it is none."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return None
    return url if url.scheme in ("http", "https") and _HOST.fullmatch(url.raw_host) else None


def is_private(host: str) -> bool:
    """Whether a host is this machine, or a name in `.internal`."""
    return host.lower().removesuffix(".").endswith(".internal") or is_loopback(host)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
