"""What actions with `enforce: false` would have refused: counted in this process, and told to a log of its own.

One line of JSON for each action and exchange, on the logger `ai_gateway_mw.shadow`. No credential gets there.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import GatewayError, PolicyDenied
from ai_gateway_mw.results import Spared
from ai_gateway_mw.telemetry.request_log import line

_log = logging.getLogger("ai_gateway_mw.shadow")

_MOST: Final = 1_000  # series; what comes after them counts at no place
_REST: Final = "(other)"


class Series(NamedTuple):
    """What is counted apart: the action's type and place, and the code of the refusal."""

    action: str
    place: str
    code: str


class Shadow:
    """The counts of one gateway. They outlive its policies: what is gone from the policy stands still."""

    def __init__(self) -> None:
        self._counts: Counter[Series] = Counter()

    def __iter__(self) -> Iterator[tuple[Series, int]]:
        return iter(sorted(self._counts.items()))

    def count(self, series: Series) -> None:
        """One more."""
        if series not in self._counts and len(self._counts) >= _MOST:
            series = series._replace(place=_REST)
        self._counts[series] += 1


class Sparing:
    """One action with `enforce: false`: notes what it does not do."""

    def __init__(self, shadow: Shadow, action: str, place: str, redact: Callable[[str], str]) -> None:
        self._shadow = shadow
        self._action = action
        self._place = place
        self._redact = redact

    def note(self, ctx: Context, error: GatewayError, why: str = "") -> None:
        """It would have refused with this. A stream, for whose messages it runs again and again, is noted once."""
        if not why:
            why = error.reason if isinstance(error, PolicyDenied) else error.message
        spared = Spared(self._action, self._place, error.code, error.status, self._redact(why))
        if any(each[:3] == spared[:3] for each in ctx.spared):
            return
        ctx.spared += (spared,)
        self._shadow.count(Series(self._action, self._place, error.code))
        if _log.isEnabledFor(logging.INFO) and not ctx.limits.quiet:
            asked = {"request": ctx.id, "method": ctx.method, "path": ctx.path}
            _log.info("%s", line({**asked, "would_refuse": True, **spared._asdict()}))
