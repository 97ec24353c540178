"""The admin token: kept so that nobody can read it here, and checked against what a request brings."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from cachetools import TTLCache

from ai_gateway_mw.admin.refusals import busy
from ai_gateway_mw.secrets import Secret

_SHORTEST: Final = 16
_LONGEST: Final = 1024  # bytes of what is presented
_HASHED: Final = "$argon2id$"
_GATEWAY_KEY: Final = b"gw_sk_"
_AT_ONCE: Final = 2  # verifications of a hash, each of which takes 100 ms and 64 MiB
_WAITING: Final = 16
_REMEMBERED: Final = 60.0  # seconds


class TokenUnusable(ValueError):
    """The setting cannot open the admin plane; says why."""


class Token(Protocol):
    """What is kept of the admin token."""

    async def matches(self, presented: bytes) -> bool:
        """Whether this is it. Raises `Refusal` where too many others are asking."""
        ...


def token_of(setting: Secret) -> Token:
    """The token of a setting: its text, or an argon2id hash of it. Raises `TokenUnusable`."""
    value = setting.reveal()
    if value.startswith(_HASHED):
        return HashedToken(value)
    if value.encode().startswith(_GATEWAY_KEY):
        raise TokenUnusable("it is a gateway key, and those never open the admin plane")
    if len(value) < _SHORTEST:
        raise TokenUnusable(f"it is shorter than {_SHORTEST} characters and can be guessed")
    return PlainToken(value)


class PlainToken:
    """A token by its digest."""

    def __init__(self, text: str) -> None:
        self._digest = _digest(text.encode())

    async def matches(self, presented: bytes) -> bool:
        return _is_token(presented) and hmac.compare_digest(self._digest, _digest(presented))


class HashedToken:
    """A token of which only the argon2id hash is known. A good one is remembered for a minute, by its digest."""

    def __init__(self, hashed: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        try:
            import argon2  # noqa: PLC0415 - of the `server` extra, and only for those who have a hash
        except ImportError:
            raise TokenUnusable("argon2-cffi is not installed; do: pip install 'ai-gateway-mw[server]'") from None
        try:
            argon2.extract_parameters(hashed)
        except argon2.exceptions.InvalidHashError:
            raise TokenUnusable("it is no argon2id hash, as `$argon2id$v=19$m=65536,t=3,p=4$…$…`") from None
        self._hashed = hashed
        self._hasher: Any = argon2.PasswordHasher()
        self._wrong = (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError)
        self._good: TTLCache[bytes, bool] = TTLCache(4, _REMEMBERED, timer=clock)
        self._running = asyncio.Semaphore(_AT_ONCE)
        self._asking = 0

    async def matches(self, presented: bytes) -> bool:
        if not _is_token(presented):
            return False
        digest = _digest(presented)
        if digest in self._good:
            return True
        if self._asking >= _WAITING:
            raise busy()
        self._asking += 1
        try:
            async with self._running:
                good = await asyncio.to_thread(self._verified, presented)
        finally:
            self._asking -= 1
        if good:
            self._good[digest] = True
        return good

    def _verified(self, presented: bytes) -> bool:
        try:
            return bool(self._hasher.verify(self._hashed, presented))
        except self._wrong:
            return False


def _is_token(presented: bytes) -> bool:
    return 0 < len(presented) <= _LONGEST and not presented.startswith(_GATEWAY_KEY)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
