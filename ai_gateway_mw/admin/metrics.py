"""Operations on what is counted: the metrics of the process that answers, as Prometheus reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from ai_gateway_mw.admin.operations import Call
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.telemetry import Shadow

MEDIA_TYPE: Final = "text/plain"

_FIELDS: Final = ((b"content-type", b"text/plain; version=0.0.4; charset=utf-8"),)
_WOULD_REFUSE: Final = "ai_gateway_would_refuse"
_LABELS: Final = ("action", "place", "code", "process")


async def shown(call: Call) -> Reply:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_WouldRefuse(call.gateway.stores.shadow))
    return Reply(200, _FIELDS, generate_latest(registry))


class _WouldRefuse(Collector):
    """What actions with `enforce: false` would have refused."""

    def __init__(self, shadow: Shadow) -> None:
        self._shadow = shadow

    def collect(self) -> Iterator[Metric]:
        doc = "Requests that an action with `enforce: false` would have refused."
        family = CounterMetricFamily(_WOULD_REFUSE, doc, labels=_LABELS)
        for series, number in self._shadow:
            family.add_metric([*series, str(os.getpid())], number)
        yield family
