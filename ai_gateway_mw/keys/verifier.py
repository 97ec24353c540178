"""KeyVerifier: from what a client presented to the gateway key that it is. The hot path: no I/O, no exceptions."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from datetime import datetime

from ai_gateway_mw.clocks import utc_now
from ai_gateway_mw.keys.model import GatewayKey
from ai_gateway_mw.keys.token import digest, well_formed


class KeyVerifier:
    """Keys in memory, found by their digest under one pepper."""

    def __init__(
        self, keys: Iterable[GatewayKey] = (), *, pepper: bytes, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._pepper = pepper
        self._clock = clock
        self.replace(keys)

    def replace(self, keys: Iterable[GatewayKey]) -> None:
        """From now on these are the keys, at once and all together."""
        self._keys = {key.digest: key for key in keys}

    def verify(self, presented: bytes | str) -> GatewayKey | None:
        """The key, if it exists and has not expired. Whatever else was presented, of any length and in any encoding,
        is None, with nothing that tells one reason from another."""
        text = presented if isinstance(presented, str) else presented.decode("latin-1")
        if not well_formed(text):
            return None
        found = digest(text, self._pepper)
        key = self._keys.get(found)
        if key is None or not hmac.compare_digest(key.digest, found) or key.expired(self._clock):
            return None
        return key
