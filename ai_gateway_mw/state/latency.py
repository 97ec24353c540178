"""How long attempts with one key take, as strategies read it as `k.latency`."""

from __future__ import annotations

from ai_gateway_mw.state.history import SLOT, History, latency
from ai_gateway_mw.state.window import Clock

_REFRESH = 1.0  # seconds; to sum up costs more than to count
_OF_NOTHING = latency(())


class Latency:
    """Milliseconds, over the last minutes, of the attempts that a key was used in; what is told is refreshed once a
    second. Times of streams are None until there was one, others 0: as in `m.metrics`."""

    __slots__ = ("_clock", "_history", "_told", "_told_at", "record")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._history = History(clock)
        self.record = self._history.add
        self._told: dict[str, int | None] | None = None
        self._told_at = 0.0

    @property
    def upstream_ms_avg(self) -> int:
        return self._now()["upstream_ms_avg"] or 0

    @property
    def upstream_ms_p95(self) -> int:
        return self._now()["upstream_ms_p95"] or 0

    @property
    def time_to_first_token_ms_avg(self) -> int | None:
        return self._now()["time_to_first_token_ms_avg"]

    @property
    def time_to_first_token_ms_p95(self) -> int | None:
        return self._now()["time_to_first_token_ms_p95"]

    def _now(self) -> dict[str, int | None]:
        now = self._clock()
        if self._told is None or now - self._told_at >= _REFRESH:
            self._history.sum_up()
            self._history.forget(int(now / SLOT))
            if not self._history.slots:
                self._told = None  # the first shows at once
                return _OF_NOTHING
            self._told, self._told_at = latency(self._history.slots), now
        return self._told
