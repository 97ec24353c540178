"""Header fields that tell a client how its limits stand: those that OpenAI sends, and `RateLimit-*`."""

from __future__ import annotations

from collections.abc import Sequence

from ai_gateway_mw.limits.counters import Standing
from ai_gateway_mw.limits.key_limits import Bound

Stand = tuple[Bound, Standing]


def limit_fields(stands: Sequence[Stand]) -> list[tuple[str, str]]:
    """Of requests and of tokens the window with the least left, and of all the one with the least part left. Money is
    nobody's business but the operator's."""
    requests = [standing for bound, standing in stands if bound.unit == "requests"]
    tokens = [standing for bound, standing in stands if bound.unit.endswith("tokens")]
    fields = []
    for kind, standings in (("requests", requests), ("tokens", tokens)):
        if standings:
            limit, remaining, reset = min(standings, key=_left)
            fields += [
                (f"x-ratelimit-limit-{kind}", str(limit)),
                (f"x-ratelimit-remaining-{kind}", str(remaining)),
                (f"x-ratelimit-reset-{kind}", _duration(reset)),
            ]
    if fields:  # draft-ietf-httpapi-ratelimit-headers-06
        limit, remaining, reset = min(requests + tokens, key=_part_left)
        fields += [("ratelimit-limit", str(limit)), ("ratelimit-remaining", str(remaining))]
        fields.append(("ratelimit-reset", str(reset)))
    return fields


def _left(standing: Standing) -> tuple[int, int]:
    return standing.remaining, -standing.reset


def _part_left(standing: Standing) -> tuple[float, int]:
    return standing.remaining / standing.limit if standing.limit else 0.0, -standing.reset


def _duration(seconds: int) -> str:
    """As OpenAI writes it: `1s`, `6m0s`, `1h0m30s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
