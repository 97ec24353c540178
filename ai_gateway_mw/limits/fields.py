"""Header fields that tell a client how its limits stand: those that OpenAI sends, and `RateLimit-*`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ai_gateway_mw.headers import Field
from ai_gateway_mw.limits.rings import Standing

_LIMIT, _REMAINING, _RESET = b"x-ratelimit-limit-", b"x-ratelimit-remaining-", b"x-ratelimit-reset-"
_REQUESTS: Final = (_LIMIT + b"requests", _REMAINING + b"requests", _RESET + b"requests")
_TOKENS: Final = (_LIMIT + b"tokens", _REMAINING + b"tokens", _RESET + b"tokens")


def limit_fields(requests: Sequence[Standing], tokens: Sequence[Standing]) -> list[Field]:
    """Of requests and of tokens the window with the least left, and of all the one with the least part left. Money is
    nobody's business but the operator's."""
    fields: list[Field] = []
    for names, standings in ((_REQUESTS, requests), (_TOKENS, tokens)):
        if standings:
            limit, remaining, reset = standings[0] if len(standings) == 1 else min(standings, key=_left)
            of_limit, of_remaining, of_reset = names
            fields += (
                (of_limit, b"%d" % limit),
                (of_remaining, b"%d" % remaining),
                (of_reset, _duration(reset)),
            )
    if fields:  # draft-ietf-httpapi-ratelimit-headers-06
        limit, remaining, reset = min((*requests, *tokens), key=_part_left)
        fields += (
            (b"ratelimit-limit", b"%d" % limit),
            (b"ratelimit-remaining", b"%d" % remaining),
            (b"ratelimit-reset", b"%d" % reset),
        )
    return fields


def _left(standing: Standing) -> tuple[int, int]:
    _, remaining, reset = standing
    return remaining, -reset


def _part_left(standing: Standing) -> tuple[float, int]:
    limit, remaining, reset = standing
    return remaining / limit if limit else 0.0, -reset


@lru_cache(maxsize=1024)  # requests of one second mostly share it
def _duration(seconds: int) -> bytes:
    """As OpenAI writes it: `1s`, `6m0s`, `1h0m30s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, rest)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest
