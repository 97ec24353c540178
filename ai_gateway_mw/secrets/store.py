"""SecretStore: asks the sources in their order, remembers for a while, and redacts what it has handed out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from cachetools import LRUCache, TTLCache

from ai_gateway_mw.errors import SecretError, SecretMissing
from ai_gateway_mw.secrets.redaction import Redactor
from ai_gateway_mw.secrets.secret import Secret, full_name, usable
from ai_gateway_mw.secrets.source import SecretSource

_CACHED = 10_000


class SecretStore:
    """The chain of sources behind `secrets.get`. Synchronous and cheap once a secret is cached; safe across threads."""

    def __init__(
        self, sources: Iterable[SecretSource], *, ttl: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.sources = tuple(sources)
        self._cache: TTLCache[tuple[str, str], Secret] = TTLCache(_CACHED, ttl, timer=clock)
        self._redactor = Redactor()
        self._handed_out: LRUCache[Secret, bool] = LRUCache(_CACHED)
        self._lock = threading.Lock()

    def get(self, vault: str, name: str) -> Secret:
        """The secret, at most `ttl` seconds old. Raises `SecretMissing`, which names every place that was looked at,
        `SecretUnusable`, or `SecretError` for a name that cannot be one."""
        with self._lock:
            try:
                return self._cache[vault, name]
            except KeyError:
                pass
        return self.refresh(vault, name)

    def refresh(self, vault: str, name: str) -> Secret:
        """The secret as it stands now, for whoever has seen the last one refused. Raises as `get` does."""
        full = full_name(vault, name)
        for source in self.sources:
            secret = _asked(source, vault, name)
            if secret is not None:
                self.remember(secret)
                with self._lock:
                    self._cache[vault, name] = secret
                return secret
        places = "; ".join(source.place(vault, name) for source in self.sources) or "no source at all"
        raise SecretMissing(f"no secret {full}; looked at: {places}")

    def forget(self) -> None:
        """Ask the sources again for everything, for whoever has seen a value refused and cannot say which it was."""
        with self._lock:
            self._cache.clear()

    def remember(self, secret: Secret) -> None:
        """Redact this one too, although it did not come from here (a setting, a client's credential)."""
        self._redactor.add(secret.reveal())
        self._handed_out[secret] = True

    def redact(self, text: str) -> str:
        """The text without any secret of eight characters or more that was handed out so far, in whatever encoding."""
        data = text.encode("utf-8", "surrogatepass")
        redacted = self.redact_bytes(data)
        return text if redacted is data else redacted.decode("utf-8", "surrogatepass")

    def redact_bytes(self, data: bytes) -> bytes:
        """`redact` for bytes; the same object where there was nothing to take out."""
        return self._redactor.redacted(data)

    def contains_secret(self, text: str) -> bool:
        """Whether `redact` would change the text, or the text is a secret, however short."""
        known = Secret(text, "asked/for") in self._handed_out
        return known or self._redactor.found_in(text.encode("utf-8", "surrogatepass"))


def _asked(source: SecretSource, vault: str, name: str) -> Secret | None:
    try:
        return _found(source, vault, name)
    except SecretError as error:
        failure = type(error)(str(error))
    # Raised anew: the frames of the first one hold values, and a traceback may show a frame's locals.
    raise failure


def _found(source: SecretSource, vault: str, name: str) -> Secret | None:
    value = source.get(vault, name)
    return None if value is None else usable(value, full_name(vault, name), source.place(vault, name))
