"""Entrance: who may come in. One field, one scheme, one answer to all who may not, and not too many of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from typing import Final

from cachetools import TTLCache

from ai_gateway_mw.addresses import origin_of
from ai_gateway_mw.admin.operations import ADMIN, Principal
from ai_gateway_mw.admin.refusals import too_many_failures, unauthenticated
from ai_gateway_mw.admin.tokens import Token
from ai_gateway_mw.context import Context

_FAILURES: Final = 20
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_ADDRESSES: Final = 10_000
_NOTES: Final = 60  # refusals a minute that are worth an entry in the audit log, from all addresses together


class Entrance:
    """Knows the token, and what has happened lately, by address. An IPv6 client counts by its /64: within that, it
    chooses its address itself."""

    def __init__(self, token: Token, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._token = token
        self._clock = clock
        self._failures: TTLCache[str, _Failures] = TTLCache(_ADDRESSES, _MINUTE, timer=clock)
        self._refused: TTLCache[str, bool] = TTLCache(_NOTES, _MINUTE, timer=clock)
        self._came_in: TTLCache[str, bool] = TTLCache(_ADDRESSES, _HOUR, timer=clock)

    async def admitted(self, ctx: Context) -> Principal:
        """Who asks. Raises `Refusal`. From an address with too many failures no token is even looked at."""
        origin = origin_of(ctx.client_ip)
        failures = self._failures.get(origin)
        if failures is None:
            failures = self._failures[origin] = _Failures(self._clock())
        if failures.number >= _FAILURES:
            raise too_many_failures(max(1, ceil(failures.since + _MINUTE - self._clock())))
        failures.number += 1  # before the token is checked, which may take a while: nobody tries a thousand meanwhile
        presented = _bearer(ctx)
        if presented is None or not await self._token.matches(presented):
            raise unauthenticated()
        failures.number -= 1
        return ADMIN

    def is_news(self, ctx: Context) -> bool:
        """Whether this is the first time in an hour that somebody came in from there."""
        return _is_first(self._came_in, origin_of(ctx.client_ip))

    def forget_news(self, ctx: Context) -> None:
        """It could not be written down: the next time will be the first."""
        self._came_in.pop(origin_of(ctx.client_ip), None)

    def is_worth_a_note(self, ctx: Context) -> bool:
        """Whether a refusal belongs into the audit log: one for each address and minute, and not too many in all."""
        return len(self._refused) < _NOTES and _is_first(self._refused, origin_of(ctx.client_ip))


class _Failures:
    """What an address has tried since then."""

    __slots__ = ("number", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.number = 0


def _is_first(seen: TTLCache[str, bool], origin: str) -> bool:
    if origin in seen:
        return False
    seen[origin] = True
    return True


def _bearer(ctx: Context) -> bytes | None:
    """What stands behind `Bearer` (RFC 6750 2.1) in the only Authorization field."""
    given = ctx.request_fields.all(b"authorization")
    if len(given) != 1:
        return None
    scheme, _, rest = given[0].strip().partition(b" ")
    return rest.strip() if scheme.lower() == b"bearer" else None
