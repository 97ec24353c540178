"""What an attempt teaches of the origin that it went to and of its key with its model, beyond what is counted."""

from __future__ import annotations

from collections.abc import Hashable

from ai_gateway_mw.state import Breakers, KeyState
from ai_gateway_mw.upstream.outcome import Outcome

_RETRY_AFTER_MAX = 600.0


def learn_of_origin(
    breakers: Breakers,
    origin: Hashable,
    outcome: Outcome,
    *,
    retry_after: float | None,
    started: float,
    worked: bool = False,
) -> None:
    """To be called for every attempt that `breakers` allowed, begun at `started` (`time.monotonic`); once more for one
    that `worked` at first and came to something else."""
    lesson = outcome.lesson
    if lesson.works is None:
        breakers.release(origin, started=started)
    elif not worked:
        breakers.record(origin, lesson.works, started=started)
    elif not lesson.works:
        breakers.take_back(origin, started=started)
    if lesson.origin_rests is not None:
        least, most = lesson.origin_rests
        told = min(retry_after or 0.0, _RETRY_AFTER_MAX)
        breakers.rest(origin, max(least, told), max(most, told * 1.1))  # never sooner than it asked for


def learn_of_pair(key: KeyState, model_id: str, outcome: Outcome) -> None:
    """Leave a key alone for a model that it has no access to."""
    if outcome.lesson.pair_rests:
        key.set_unfit_for(model_id, outcome.lesson.pair_rests)
