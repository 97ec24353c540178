"""What was measured of each model in this process, in the shape in which strategies read it as `m.metrics`."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from ai_gateway_mw.state.history import SLOT, History, Measured, summary
from ai_gateway_mw.state.quota import Quota
from ai_gateway_mw.state.window import Clock

_MAX_MODELS, _MAX_KEYS = 1_000, 64
_QUOTA = ("remaining_requests", "remaining_tokens", "limit_requests", "limit_tokens")
_SCOPES = ("global", "region", "account", "endpoint")


class _Model:
    """One model's history, kept apart by the keys it was used with, and what was last told of it."""

    __slots__ = ("_by_key", "_clock", "_names", "_others", "_quotas", "_told", "_told_at", "_used")

    def __init__(self, provider_id: str, model_id: str, clock: Clock) -> None:
        self._clock = clock
        self._names = {"provider": provider_id, "model": model_id}
        self._by_key: OrderedDict[str, History] = OrderedDict()
        self._others = History(clock)  # of attempts without a key, and with those that were used least lately
        self._quotas: dict[str, Quota | None] = {}
        self._used = False
        self._told: dict[str, Any] | None = None
        self._told_at = 0.0

    def add(self, measured: Measured, key_id: str, quota: Quota | None) -> None:
        if not key_id:
            self._others.add(measured)
        else:
            history = self._by_key.get(key_id)
            if history is None:
                history = self._by_key[key_id] = History(self._clock)
                self._make_room()
            else:
                self._by_key.move_to_end(key_id)
            history.add(measured)
            self._quotas[key_id] = quota
        if not self._used:  # the first attempt shows at once
            self._used, self._told = True, None

    def scopes(self, now: float, wall: Clock, refresh: float) -> Mapping[str, Any]:
        if self._told is None or (self._used and now - self._told_at >= refresh):
            self._told = self._summaries(int(now / SLOT), wall())
            self._told_at = now
        return self._told

    def as_told(self, now: float, wall: Clock, refresh: float) -> _Model:
        """One without a history, of which this is told until there is something to tell."""
        made = _Model(self._names["provider"], self._names["model"], self._clock)
        made._told, made._told_at = dict(self.scopes(now, wall, refresh)), now
        return made

    def _make_room(self) -> None:
        if len(self._by_key) > _MAX_KEYS:
            key_id, history = self._by_key.popitem(last=False)
            self._others.merge(history)
            del self._quotas[key_id]

    def _summaries(self, number: int, wall: float) -> dict[str, Any]:
        keys = {
            key_id: {**self._names, **summary([history], number, wall), "quota": _quota(self._quotas[key_id])}
            for key_id, history in self._by_key.items()
        }
        local = {**self._names, **summary([self._others, *self._by_key.values()], number, wall)}
        return {**dict.fromkeys(_SCOPES, local), "api_keys": keys}


class ModelMetrics:
    """Measurements of all models. What is told of one is refreshed once a second; one without history shows zeros.

    The models that were not looked at for longest go when there are too many.
    """

    def __init__(self, clock: Clock = time.monotonic, wall: Clock = time.time, *, refresh: float = 1.0) -> None:
        self._clock = clock
        self._wall = wall
        self._refresh = refresh
        self._models: OrderedDict[tuple[str, str], _Model] = OrderedDict()

    def of(self, provider_id: str, model_id: str) -> Mapping[str, Any]:
        """`m.metrics`: the scopes `global`, `region`, `account` and `endpoint`, which are all local, and `api_keys`."""
        names = provider_id, model_id
        model = self._models.get(names) or self._made(names)
        self._models.move_to_end(names)
        return model.scopes(self._clock(), self._wall, self._refresh)

    def as_told(self) -> ModelMetrics:
        """The same as it is told now, to go on with apart: what is recorded there begins with nothing."""
        made = ModelMetrics(self._clock, self._wall, refresh=self._refresh)
        now = self._clock()
        for names, model in self._models.items():
            made._models[names] = model.as_told(now, self._wall, self._refresh)
        return made

    def record(
        self, provider_id: str, model_id: str, measured: Measured, key_id: str = "", quota: Quota | None = None
    ) -> None:
        """Count a finished attempt. `key_id` is the id under which it shows in `m.metrics.api_keys`, with the quota
        known for that key; empty where no key of the operator's was used."""
        names = provider_id, model_id
        model = self._models.get(names) or self._made(names)
        self._models.move_to_end(names)
        model.add(measured, key_id, quota)

    def _made(self, names: tuple[str, str]) -> _Model:
        made = self._models[names] = _Model(*names, self._clock)
        if len(self._models) > _MAX_MODELS:
            self._models.popitem(last=False)
        return made


def _quota(quota: Quota | None) -> dict[str, int | None]:
    return {name: getattr(quota, name) if quota else None for name in _QUOTA}
