"""KeyClaims: what the limits of one key claim of the counters, prepared once for all exchanges under that key."""

from __future__ import annotations

from typing import Final

from ai_gateway_mw.limits.counters import KEY_PREFIX, Claim, claim_of
from ai_gateway_mw.limits.key_limits import KeyLimits, Unit
from ai_gateway_mw.limits.places import Place, place_of

Use = tuple[int, int, int, int]
"""What one exchange uses: tokens, input tokens, output tokens, and billionths of a dollar."""

NO_USE: Final[Use] = (0, 0, 0, 0)
_UNITS: Final[tuple[Unit, ...]] = ("tokens", "input tokens", "output tokens", "USD")  # in the order of `Use`


def counter_of(key_id: str, unit: Unit) -> str:
    """The name of the counter in which a key's use of a unit counts."""
    return f"{KEY_PREFIX}{key_id}/{unit}"


class KeyClaims:
    """In the order of the bounds of `limits`: the amounts that go with `of_requests` are `ONE`, and those that go with
    `of_use` a `Use`."""

    __slots__ = ("limits", "of_requests", "of_use", "place", "token_bounds")

    def __init__(self, limits: KeyLimits, key_id: str) -> None:
        most = limits.concurrent_requests
        self.limits = limits
        self.place: Place | None = None if most is None else place_of(KEY_PREFIX + key_id, most)
        self.of_requests: tuple[Claim, ...] = tuple(
            claim_of(counter_of(key_id, bound.unit), bound.window, bound.limit) for bound in limits.of_requests
        )
        self.of_use: tuple[Claim, ...] = tuple(
            claim_of(counter_of(key_id, bound.unit), bound.window, bound.limit, _UNITS.index(bound.unit))
            for bound in limits.of_use
        )
        # So many bounds of use, which come first.
        self.token_bounds = sum(bound.unit != "USD" for bound in limits.of_use)
