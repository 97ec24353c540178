"""Hops: notices requests that the gateway sends to itself. Marks are sealed: nobody else can make a request look as if
it went in circles, and have a callout fail for that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

from ai_gateway_mw.headers import Field

FIELD: Final = b"x-gateway-hops"
_MOST: Final = 3
_KEPT: Final = 15  # marks of others: there may be so many workers
_VALID: Final = 600  # seconds
_MARK: Final = 32


class Hops:
    """The marks of one gateway."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._key = os.urandom(16)
        self._clock = clock

    def too_many(self, fields: Sequence[Field]) -> bool:
        """Whether a request has been sent from here that often already."""
        return sum(map(self._is_ours, _marks(fields))) >= _MOST

    def next(self, fields: Sequence[Field]) -> Field:
        """The field for a request that is sent on account of one with these fields."""
        marks = [mark for mark in _marks(fields) if len(mark) == _MARK and mark.isalnum()]
        return FIELD, b",".join([*marks[-_KEPT:], self._mark(int(self._clock()))])

    def _mark(self, moment: int) -> bytes:
        stamp = b"%08x" % (moment & 0xFFFFFFFF)
        return stamp + blake2b(stamp, key=self._key, digest_size=12).hexdigest().encode()

    def _is_ours(self, mark: bytes) -> bool:
        try:
            moment = int(mark[:8], 16)
        except ValueError:
            return False
        return abs(self._clock() - moment) <= _VALID and compare_digest(mark, self._mark(moment))


def _marks(fields: Sequence[Field]) -> list[bytes]:
    return [mark.strip() for name, value in fields if name == FIELD for mark in value.split(b",")]
