"""SecretStore: asks the sources in their order, remembers for a while, and redacts what it has handed out."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from cachetools import LRUCache

from ai_gateway_mw.errors import SecretError, SecretMissing
from ai_gateway_mw.secrets.redaction import Redactor
from ai_gateway_mw.secrets.secret import Secret, full_name, usable
from ai_gateway_mw.secrets.source import SecretSource
from ai_gateway_mw.secrets.streaming import Sought, StreamRedactor

_CACHED: Final = 10_000
_ASKED: Final = 1_000


class Remembered(NamedTuple):
    """A secret, until it is asked for again."""

    secret: Secret
    until: float


class Reading(NamedTuple):
    """When some secrets were read: see `SecretStore.still_holds`."""

    epoch: int
    until: float


class SecretStore:
    """The chain of sources behind `secrets.get`. Synchronous and cheap once a secret is cached; safe across threads.

    Reading takes no lock: an entry of a dict is there as a whole or not at all.
    """

    def __init__(
        self, sources: Iterable[SecretSource], *, ttl: float = 30.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.sources = tuple(sources)
        self._ttl = ttl
        self._clock = clock
        self._cache: dict[tuple[str, str], Remembered] = {}
        self._epoch = 0
        self._redactor = Redactor()
        self._sought = Sought(())
        self._handed_out: LRUCache[Secret, bool] = LRUCache(_CACHED)
        self._contains: dict[bytes, bool] = {}
        self._lock = threading.Lock()

    def get(self, vault: str, name: str) -> Secret:
        """The secret, at most `ttl` seconds old. Raises `SecretMissing`, which names every place that was looked at,
        `SecretUnusable`, or `SecretError` for a name that cannot be one."""
        held = self._cache.get((vault, name))
        if held is not None and self._clock() < held.until:
            return held.secret
        return self.refresh(vault, name)

    def refresh(self, vault: str, name: str) -> Secret:
        """The secret as it stands now, for whoever has seen the last one refused. Raises as `get` does."""
        full = full_name(vault, name)
        epoch = self._epoch
        for source in self.sources:
            secret = _asked(source, vault, name)
            if secret is not None:
                self.remember(secret)
                self._keep((vault, name), secret, epoch)
                return secret
        with self._lock:
            if self._cache.pop((vault, name), None) is not None:
                self._epoch += 1
        places = "; ".join(source.place(vault, name) for source in self.sources) or "no source at all"
        raise SecretMissing(f"no secret {full}; looked at: {places}")

    def forget(self) -> None:
        """Ask the sources again for everything, for whoever has seen a value refused and cannot say which it was."""
        with self._lock:
            self._cache.clear()
            self._epoch += 1

    @property
    def epoch(self) -> int:
        """Another number whenever what was read before became worthless before its time."""
        return self._epoch

    def reading(self, names: Iterable[tuple[str, str]], epoch: int) -> Reading:
        """What tells later whether these secrets may have changed; they were read just now, and `epoch` before that."""
        held = (self._cache.get(name) for name in names)
        return Reading(epoch, min((each.until if each else 0.0 for each in held), default=float("inf")))

    def still_holds(self, reading: Reading) -> bool:
        """Whether `get` would give for each of its secrets what it gave then."""
        return reading.epoch == self._epoch and self._clock() < reading.until

    def remember(self, secret: Secret) -> None:
        """Redact this one too, although it did not come from here (a setting, a client's credential)."""
        self._redactor.add(secret.reveal())
        with self._lock:
            self._handed_out[secret] = True
            self._contains = {}

    def redact(self, text: str) -> str:
        """The text without any secret of eight characters or more that was handed out so far, in whatever encoding."""
        data = text.encode("utf-8", "surrogatepass")
        redacted = self.redact_bytes(data)
        return text if redacted is data else redacted.decode("utf-8", "surrogatepass")

    def redact_bytes(self, data: bytes) -> bytes:
        """`redact` for bytes; the same object where there was nothing to take out."""
        return self._redactor.redacted(data)

    def sought(self) -> Sought:
        """The secrets that were handed out so far, as they would stand in text or JSON."""
        literals = self._redactor.readable()
        sought = self._sought
        if sought.literals is not literals:
            sought = self._sought = Sought(literals)
        return sought

    def stream_redactor(self) -> StreamRedactor:
        """Takes them out of one body that passes in pieces."""
        return StreamRedactor(self.sought())

    def contains_secret(self, text: str) -> bool:
        """Whether `redact` would change the text, or the text is a secret, however short. The answers for the latest
        texts are kept, by their digests."""
        data = text.encode("utf-8", "surrogatepass")
        answers, digest = self._contains, hashlib.sha256(data).digest()
        answer = answers.get(digest)
        if answer is None:
            answer = Secret(text, "asked/for") in self._handed_out or self._redactor.found_in(data)
            if len(answers) >= _ASKED:
                answers.clear()
            answers[digest] = answer
        return answer

    def _keep(self, name: tuple[str, str], secret: Secret, epoch: int) -> None:
        """For its time, unless something changed while it was on its way: it may be from before that."""
        with self._lock:
            if epoch != self._epoch:
                return
            held = self._cache.pop(name, None)
            if held is not None and held.secret != secret:
                self._epoch += 1
            if len(self._cache) >= _CACHED:
                del self._cache[next(iter(self._cache))]
            self._cache[name] = Remembered(secret, self._clock() + self._ttl)


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
