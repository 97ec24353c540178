"""KeyDirectory: from what a client presented to the gateway key that it is, where keys are in a database.

On the hot path there is no I/O: what was looked up is remembered, for as long as the database tells of changes.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from ai_gateway_mw.clocks import utc_now
from ai_gateway_mw.errors import KeyStoreUnavailable
from ai_gateway_mw.keys.model import GatewayKey
from ai_gateway_mw.keys.token import LENGTH, digest, well_formed

_log = logging.getLogger("ai_gateway_mw.keys")

Digests = Sequence[bytes]
_CURRENT: Final = 1.0  # seconds since the database was last heard of, in which what is remembered counts as current
_REMEMBERED: Final = 30.0  # seconds for which it is good enough where the database cannot be reached
_PATIENCE: Final = 2.0  # seconds for a look-up
_PAUSE: Final = 1.0  # seconds until a database that could not be reached is asked again
_MOST: Final = 20_000
_WITHOUT_KEY: Final = 2_000


class KeySource(Protocol):
    """Where keys are looked up."""

    @property
    def pepper(self) -> bytes:
        """The one under which most keys are found."""
        ...

    def digests(self, presented: str) -> Digests:
        """All digests that a key may be stored under."""
        ...

    async def find(self, digests: Collection[bytes]) -> GatewayKey | None:
        """The key, dead or alive. Raises `KeyStoreUnavailable`."""
        ...


class Found(NamedTuple):
    """The key that works, or None; `dead` is one that no longer does. `cached`: the database could not be asked."""

    key: GatewayKey | None
    dead: GatewayKey | None = None
    cached: bool = False


class _Entry(NamedTuple):
    key: GatewayKey | None
    looked_up: float


_NOTHING: Final = _Entry(None, float("-inf"))


class KeyDirectory:
    """Keys of a source, remembered by their digests. Who looks after the source calls `confirm` while it is heard of,
    and `forget` for what has changed."""

    def __init__(
        self,
        source: KeySource,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        remembered: float = _REMEMBERED,
    ) -> None:
        self._source = source
        self._pepper = source.pepper
        self._clock = clock
        self._now = now
        self._remembered = remembered
        self._entries: dict[bytes, _Entry] = {}  # of keys that there are, also dead ones
        self._nobodys: dict[bytes, _Entry] = {}  # digests that are no key's
        self._confirmed = float("-inf")
        self._silent_until = float("-inf")
        self._epoch = 0
        self._failing = False

    def known(self, presented: str) -> GatewayKey | None:
        """The key, if it is remembered, current, and works. None says nothing yet: see `find`."""
        if len(presented) != LENGTH:
            return None
        found = digest(presented, self._pepper)
        key, looked_up = self._entries.get(found, _NOTHING)
        if key is None or not hmac.compare_digest(key.digest, found):
            return None
        current = self._clock() - _CURRENT
        if self._confirmed < current and looked_up < current:
            return None
        return key if key.lasts or key.works(self._now) else None

    async def find(self, presented: str) -> Found:
        """What became of what was presented. Raises `KeyStoreUnavailable` where nobody can tell.

        What cannot be a key by its form costs no look-up, nor does what was looked up a moment ago.
        """
        if not well_formed(presented):
            return Found(None)
        digests = self._source.digests(presented)
        remembered = self._remembered_of(digests)
        now = self._clock()
        if remembered is not None and max(remembered.looked_up, self._confirmed) >= now - _CURRENT:
            return self._judged(remembered.key)
        try:
            return self._judged(await self._looked_up(digests, now))
        except KeyStoreUnavailable:
            if remembered is None or max(remembered.looked_up, self._confirmed) < now - self._remembered:
                raise
            return self._judged(remembered.key)._replace(cached=True)

    def confirm(self) -> None:
        """The source was heard of: what is remembered and was not to be forgotten is current."""
        self._confirmed = self._clock()
        self._silent_until = float("-inf")

    def forget(self, key_ids: Collection[str] | None = None) -> None:
        """These keys have changed; None: any may have. What is on its way from the source now may be from before."""
        self._epoch += 1
        self._nobodys.clear()
        if key_ids is None:
            self._entries.clear()
            return
        gone = [found for found, entry in self._entries.items() if entry.key is not None and entry.key.id in key_ids]
        for found in gone:
            del self._entries[found]

    def _remembered_of(self, digests: Digests) -> _Entry | None:
        held = (self._entries.get(found) or self._nobodys.get(found) for found in digests)
        return next((entry for entry in held if entry is not None), None)

    async def _looked_up(self, digests: Digests, now: float) -> GatewayKey | None:
        if now < self._silent_until:
            raise KeyStoreUnavailable("it did not answer a moment ago")
        try:
            async with asyncio.timeout(_PATIENCE):
                key = await self._settled(digests)
        except (KeyStoreUnavailable, TimeoutError) as error:
            self._silent_until = self._clock() + _PAUSE
            failure = error if isinstance(error, KeyStoreUnavailable) else KeyStoreUnavailable("it does not answer")
            self._report(failure)
            raise failure from None
        self._report(None)
        self._remember(digests, key, now)
        return key

    def _report(self, failure: KeyStoreUnavailable | None) -> None:
        """Say once that look-ups fail, and once that they work again."""
        if failure is not None and not self._failing:
            _log.warning("keys cannot be looked up, and those in use go on for a while: %s", failure.reason)
        elif failure is None and self._failing:
            _log.warning("keys are looked up again")
        self._failing = failure is not None

    async def _settled(self, digests: Digests) -> GatewayKey | None:
        """What the source says, asked anew where keys have changed meanwhile: it may have spoken of before, and who
        was told of the change, as those that end what a revoked key has open, knew nothing of this request."""
        while True:
            epoch = self._epoch
            key = await self._source.find(digests)
            if epoch == self._epoch:
                return key

    def _remember(self, digests: Digests, key: GatewayKey | None, now: float) -> None:
        if key is not None:
            _room_in(self._entries, _MOST)[key.digest] = _Entry(key, now)
        else:
            _room_in(self._nobodys, _WITHOUT_KEY)[digests[0]] = _Entry(None, now)

    def _judged(self, key: GatewayKey | None) -> Found:
        if key is None:
            return Found(None)
        return Found(key) if key.works(self._now) else Found(None, key)


def _room_in(entries: dict[bytes, _Entry], most: int) -> dict[bytes, _Entry]:
    if len(entries) >= most:
        del entries[next(iter(entries))]
    return entries
