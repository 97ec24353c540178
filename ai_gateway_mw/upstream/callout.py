"""Callout: a request that the policy itself makes on the way, and an answer that is short enough to be read."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from ai_gateway_mw.addresses import parse_address
from ai_gateway_mw.errors import (
    CalloutError,
    CalloutRedirected,
    CalloutTimeout,
    CalloutTooLarge,
    ConnectTimeout,
    GatewayError,
    UpstreamTimeout,
)
from ai_gateway_mw.headers import Field
from ai_gateway_mw.hosts import INTERNAL, HostAddress
from ai_gateway_mw.internal import Internal, name_of
from ai_gateway_mw.upstream.http1 import Origin, Timeouts, UpstreamResponse
from ai_gateway_mw.upstream.transport import UpstreamRequest, send
from ai_gateway_mw.urls import URL, parsed

MOST_BYTES: Final = 256 * 1024
_MAX_TARGET: Final = 32 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_DOTS: Final = frozenset({".", ".."})


class Addresses:
    """Where a callout may lead: to hosts that the policy writes out, and otherwise to those that settings name."""

    def __init__(self, hosts: Mapping[str, HostAddress], internal: Internal) -> None:
        self._hosts = hosts
        self._internal = internal

    def __bool__(self) -> bool:
        """Whether settings name any."""
        return bool(self._hosts or self._internal.urls)

    def named(self, url: URL) -> bool:
        """Whether settings name the host of this URL."""
        host = host_of(url)
        return host in self._hosts or name_of(host) in self._internal.urls

    def complaint(self, url: URL) -> str:
        """What is wrong with asking there, empty if nothing: in clear text, a request goes no further than to this
        machine or within the operator's own network."""
        host = host_of(url)
        if name_of(host) in self._internal.apps and name_of(host) not in self._internal.urls:
            return f"`{host}` is an app in this process, which only `forward-internal` reaches"
        if url.scheme == "https" or self.named(url) or host.endswith(INTERNAL) or _is_here(host):
            return ""
        return f"`{host}` must be asked with https; http is for this machine, `.internal` names and those of `HOSTS`"

    def target(self, url: URL) -> tuple[Origin, str]:
        """What is connected to, and the path and query to ask for. Raises ValueError."""
        base = self._internal.urls.get(name_of(host_of(url)) or "")
        below = ""
        if base is not None:
            origin, below = Origin.of(base, self._hosts), urlsplit(base).path
        else:
            origin = Origin.of(f"{url.scheme}://{url.authority}", self._hosts)
        return origin, below + str(url._replace(fragment="")).split(url.authority, 1)[1]


def host_of(url: URL) -> str:
    """The host alone, as names are compared."""
    host = urlsplit(f"//{url.authority}").hostname or ""
    return host.removesuffix(".")


def has_dots(url: URL) -> bool:
    """Whether the path leads up again, as the next server might read it."""
    return not _DOTS.isdisjoint(url.plain_path.replace("\\", "/").split("/"))


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return parse_address(host).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class Call:
    """One request as it goes out."""

    method: str
    url: URL
    fields: Sequence[Field] = field(repr=False)  # credentials may be among them
    body: bytes = field(default=b"", repr=False)


@dataclass(slots=True)
class Made:
    """A call that is made, with what comes of it: an answer, or why there is none."""

    call: Call
    address: str = ""
    status: int = 0
    fields: Sequence[Field] = ()
    body: bytes = b""
    milliseconds: float = 0.0
    error: CalloutError | None = None


class Caller:
    """Makes calls. The answer is read whole, up to 256 KiB of it; where it is longer, there is none."""

    def __init__(self, addresses: Addresses, max_redirects: int, connect_timeout: float) -> None:
        self._addresses = addresses
        self._max_redirects = max_redirects
        self._connect_timeout = connect_timeout

    async def __call__(self, transport: httpx.AsyncBaseTransport, made: Made, deadline: float) -> None:
        """Make one, and follow it where it is led on within the same origin. `deadline` is of `time.monotonic`."""
        began = time.monotonic()
        try:
            await self._followed(transport, made, deadline)
        except CalloutError as error:
            made.error = error.without_trace()
        finally:
            made.milliseconds = (time.monotonic() - began) * 1000

    async def _followed(self, transport: httpx.AsyncBaseTransport, made: Made, deadline: float) -> None:
        redirects = 0
        while True:
            location = await self._one(transport, made, deadline)
            if location is None:
                return
            redirects += 1
            if redirects > self._max_redirects:
                raise CalloutRedirected("It was led on to another URL, more often than `max_redirects` allows.")
            made.call = _led_on(made.call, made.status, location)

    async def _one(self, transport: httpx.AsyncBaseTransport, made: Made, deadline: float) -> str | None:
        """One request with its answer; the location that it is led on to, if it is."""
        call = made.call
        try:
            origin, target = self._addresses.target(call.url)
        except ValueError:
            raise CalloutError("The URL leads nowhere.") from None
        if len(target) > _MAX_TARGET:
            raise CalloutError("The URL is too long.")
        made.address, made.status, made.fields, made.body = origin.address, 0, (), b""
        left = deadline - time.monotonic()
        if left <= 0:
            raise CalloutTimeout("There was no answer in time.")
        request = UpstreamRequest(call.method, origin, target.encode(), list(call.fields), call.body)
        connect = min(self._connect_timeout, left)
        response = None
        try:
            response = await send(transport, request, Timeouts(connect, left, left, connect, deadline))
            made.status, made.fields = response.status, response.fields
            location = response.field(b"location")
            if made.status in _REDIRECTS and location:
                return location.decode("latin-1")
            made.body = await _read(response)
        except (ConnectTimeout, UpstreamTimeout):
            raise CalloutTimeout("There was no answer in time.") from None
        except CalloutError:
            raise
        except GatewayError:
            raise CalloutError("The upstream could not be reached, or broke off.") from None
        finally:
            if response is not None:
                await response.aclose()
        return None


async def _read(response: UpstreamResponse) -> bytes:
    if response.encoded:
        raise CalloutError("The answer is compressed, although it was asked for as it is.")
    body = await response.buffered(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise CalloutTooLarge(f"The answer has more than {MOST_BYTES} bytes.")
    return body


def _led_on(call: Call, status: int, location: str) -> Call:
    """The call at its new place. Another origin is none for what was meant for this one, credentials among it."""
    if location.startswith("//"):  # RFC 3986 4.2: this names a host
        location = f"{call.url.scheme}:{location}"
    try:
        url = parsed(location, call.url)
    except ValueError:
        raise CalloutRedirected("It was led on to what is no URL of the same host.") from None
    if (url.scheme, url.authority.lower()) != (call.url.scheme, call.url.authority.lower()):
        raise CalloutRedirected("It was led on to another host.")
    if status == 303 or (status in (301, 302) and call.method == "POST"):  # RFC 9110 15.4
        fields = [item for item in call.fields if item[0] != b"content-type"]
        return Call("GET", url, fields)
    return Call(call.method, url, call.fields, call.body)


def shown_fields(fields: Sequence[Field]) -> dict[str, list[str]]:
    """Fields as expressions read them: lists of values, by names in lower case."""
    made: dict[str, list[str]] = {}
    for name, value in fields:
        made.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return made


def shown_error(error: GatewayError | None) -> dict[str, Any]:
    """An error as expressions read it; empty texts where there is none."""
    return {"code": error.code, "message": error.message} if error else {"code": "", "message": ""}
