"""KeyClaims: what the limits of one key claim of the counters, prepared once for all exchanges under that key."""

from __future__ import annotations

from typing import Final

from ai_gateway_mw.limits.counters import KEY_PREFIX, Claim, Place
from ai_gateway_mw.limits.key_limits import KeyLimits, Unit
from ai_gateway_mw.limits.windows import Window

Use = tuple[int, int, int, int]
"""What one exchange uses: tokens, input tokens, output tokens, and billionths of a dollar."""

NO_USE: Final[Use] = (0, 0, 0, 0)
_UNITS: Final[tuple[Unit, ...]] = ("tokens", "input tokens", "output tokens", "USD")  # in the order of `Use`


def use(input_tokens: int, output_tokens: int, cost_nano: int) -> Use:
    """That of so many tokens and so much money."""
    return input_tokens + output_tokens, input_tokens, output_tokens, cost_nano


class KeyClaims:
    """`of_requests` are claims of one request, in the order of the bounds of `limits`; so are those of use."""

    __slots__ = ("_of_use", "limits", "of_requests", "place", "tokens")

    def __init__(self, limits: KeyLimits, key_id: str) -> None:
        name, most = KEY_PREFIX + key_id, limits.concurrent_requests
        self.limits = limits
        self.place: Place | None = None if most is None else (name, most)
        self.of_requests: tuple[Claim, ...] = tuple(
            (f"{name}/{bound.unit}", bound.window, bound.limit, 1) for bound in limits.of_requests
        )
        self._of_use: tuple[tuple[str, Window, int, int], ...] = tuple(
            (f"{name}/{bound.unit}", bound.window, bound.limit, _UNITS.index(bound.unit)) for bound in limits.of_use
        )
        self.tokens = sum(bound.unit != "USD" for bound in limits.of_use)  # so many bounds of use, which come first

    def of_use(self, wanted: Use) -> list[Claim]:
        """The claims of this use."""
        return [(name, window, limit, wanted[unit]) for name, window, limit, unit in self._of_use]

    def differences(self, reserved: Use, used: Use) -> list[tuple[str, Window, int]]:
        """What is to be corrected once it is known what was used."""
        return [
            (name, window, used[unit] - reserved[unit])
            for name, window, _, unit in self._of_use
            if used[unit] != reserved[unit]
        ]
