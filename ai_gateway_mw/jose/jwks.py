"""JWKS: the key set at a URL, remembered; asked for again when it is old, or when a token names an unknown key."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from ai_gateway_mw.jose.keys import KeySet
from ai_gateway_mw.upstream.fetching import Fetched, FetchFailed
from ai_gateway_mw.upstream.remembered import Remembered

_log = logging.getLogger("ai_gateway_mw.policy")
TTL: Final = 15 * 60.0
STALE: Final = 24 * 3600.0  # for so long, old keys are better than none
GAP: Final = 30.0  # between two questions that an unknown key, or a failure, leads to: clients can make those up


class KeysUnavailable(Exception):
    """There are no keys, and none can be had now."""


class JWKS:
    """One set."""

    def __init__(
        self,
        url: str,
        fetch: Callable[[str], Awaitable[Fetched]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._set = Remembered(self._ask, ttl=TTL, stale=STALE, gap=GAP, clock=clock)

    async def keys(self) -> KeySet:
        """The keys, not much older than a quarter of an hour unless the issuer cannot be reached. Raises
        `KeysUnavailable`."""
        keys = await self._set.get()
        if keys is None:
            raise KeysUnavailable
        return keys

    async def keys_again(self, seen: KeySet) -> KeySet:
        """The keys for whoever has not found theirs in `seen`: another set where the issuer has changed it, the same
        one where it may not be asked again yet."""
        if self._set.value is seen:
            await self._set.refresh()
        return self._set.value or seen

    async def _ask(self) -> KeySet | None:
        try:
            return KeySet.of((await self._fetch(self._url)).object())
        except (FetchFailed, ValueError) as error:
            _log.warning("the keys of an issuer cannot be had: %s", error)
            return None
