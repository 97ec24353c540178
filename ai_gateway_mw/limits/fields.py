"""Header fields that tell a client how its limits stand: those that OpenAI sends, and `RateLimit-*`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ai_gateway_mw.headers import Field
from ai_gateway_mw.limits.counters import Standing
from ai_gateway_mw.limits.key_limits import Bound

Stand = tuple[Bound, Standing]

_LIMIT, _REMAINING, _RESET = b"x-ratelimit-limit-", b"x-ratelimit-remaining-", b"x-ratelimit-reset-"
_REQUESTS: Final = (_LIMIT + b"requests", _REMAINING + b"requests", _RESET + b"requests")
_TOKENS: Final = (_LIMIT + b"tokens", _REMAINING + b"tokens", _RESET + b"tokens")


def limit_fields(stands: Sequence[Stand]) -> list[Field]:
    """Of requests and of tokens the window with the least left, and of all the one with the least part left. Money is
    nobody's business but the operator's."""
    requests = [standing for bound, standing in stands if bound.unit == "requests"]
    tokens = [standing for bound, standing in stands if bound.unit.endswith("tokens")]
    fields: list[Field] = []
    for names, standings in ((_REQUESTS, requests), (_TOKENS, tokens)):
        if standings:
            tightest = min(standings, key=_left)
            values = (b"%d" % tightest.limit, b"%d" % tightest.remaining, _duration(tightest.reset))
            fields += zip(names, values, strict=True)
    if fields:  # draft-ietf-httpapi-ratelimit-headers-06
        limit, remaining, reset = min(requests + tokens, key=_part_left)
        fields += ((b"ratelimit-limit", b"%d" % limit), (b"ratelimit-remaining", b"%d" % remaining))
        fields.append((b"ratelimit-reset", b"%d" % reset))
    return fields


def _left(standing: Standing) -> tuple[int, int]:
    return standing.remaining, -standing.reset


def _part_left(standing: Standing) -> tuple[float, int]:
    return standing.remaining / standing.limit if standing.limit else 0.0, -standing.reset


def _duration(seconds: int) -> bytes:
    """As OpenAI writes it: `1s`, `6m0s`, `1h0m30s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, rest)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest
