"""A gateway key whose text the load knows, in the database of a gateway that is about to start."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ai_gateway_mw.audit import Actor, AuditLog
from ai_gateway_mw.keys.store import KeyService, NewKey
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from benchmarks.gateway.wire import TOKEN

_DATA: Final = ".ai-gateway"  # as a gateway has it that runs in this directory
_RANDOM: Final = slice(6, 38)  # of a key's text
# One limit of each kind, which nobody reaches.
_LIMITS: Final = {
    "requests_per_minute": 10**9,
    "tokens_per_day": 10**12,
    "usd_per_month": 10**6,
    "concurrent_requests": 10**5,
}


def with_a_key(directory: Path) -> None:
    """Make the database there, and the key in it."""
    asyncio.run(_with_a_key(Settings(data_dir=directory / _DATA)))


async def _with_a_key(settings: Settings) -> None:
    async with await Services.open(settings) as services:
        keys = KeyService(services.installation, AuditLog(services.installation), random=_Foreseen(TOKEN))
        await keys.create(NewKey.model_validate({"name": "benchmark", "limits": _LIMITS}), Actor("benchmark"))


class _Foreseen:
    """Chooses the characters of a key's text one after the other."""

    def __init__(self, text: str) -> None:
        self._characters: Iterator[str] = iter(text[_RANDOM])

    def choice(self, _: Sequence[str]) -> str:
        return next(self._characters)

    def token_hex(self, size: int) -> str:
        return "0" * (2 * size)
