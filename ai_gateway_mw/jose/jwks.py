"""JWKS: the key set at a URL, remembered; asked for again when it is old, or when a token names an unknown key."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

from ai_gateway_mw.jose.keys import KeySet
from ai_gateway_mw.upstream.fetching import Fetched, FetchFailed

_log = logging.getLogger("ai_gateway_mw.policy")
TTL: Final = 15 * 60.0
STALE: Final = 24 * 3600.0  # for so long, old keys are better than none
GAP: Final = 30.0  # between two questions that an unknown key, or a failure, leads to: clients can make those up


class KeysUnavailable(Exception):
    """There are no keys, and none can be had now."""


class JWKS:
    """One set. Whoever needs it while it is fetched waits for the same answer."""

    def __init__(
        self,
        url: str,
        fetch: Callable[[str], Awaitable[Fetched]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched = -math.inf
        self._asked = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def keys(self) -> KeySet:
        """The keys, not much older than a quarter of an hour unless the issuer cannot be reached. Raises
        `KeysUnavailable`."""
        now = self._clock()
        if self._keys is None or now - self._fetched >= TTL:
            await self._refresh()
        if self._keys is None or self._clock() - self._fetched >= STALE:
            raise KeysUnavailable
        return self._keys

    async def keys_again(self, seen: KeySet) -> KeySet:
        """The keys for whoever has not found theirs in `seen`: another set where the issuer has changed it, the same
        one where it may not be asked again yet."""
        if self._keys is seen:
            await self._refresh()
        return self._keys or seen

    async def _refresh(self) -> None:
        asking = self._asking
        if asking is None or asking.done():
            if self._clock() - self._asked < GAP:
                return
            self._asked = self._clock()
            asking = self._asking = asyncio.create_task(self._ask())
        await asyncio.shield(asking)  # a client that leaves takes nobody's keys away

    async def _ask(self) -> None:
        try:
            self._keys = KeySet.of((await self._fetch(self._url)).object())
            self._fetched = self._clock()
        except (FetchFailed, ValueError) as error:
            _log.warning("the keys of an issuer cannot be had: %s", error)
