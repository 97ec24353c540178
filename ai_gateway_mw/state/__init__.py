"""What is learned at run time: of provider keys (quota, errors, cooling), models (latency, errors,
tokens) and origins (breakers)."""

from __future__ import annotations

from ai_gateway_mw.state.breakers import Breakers
from ai_gateway_mw.state.history import Measured
from ai_gateway_mw.state.latency import Latency
from ai_gateway_mw.state.models import ModelMetrics
from ai_gateway_mw.state.provider_keys import ErrorRates, KeyState, MemoryProviderKeys, ProviderKeys
from ai_gateway_mw.state.quota import Quota, seconds_until
from ai_gateway_mw.state.results import Result
from ai_gateway_mw.state.window import Clock, Window

__all__ = [
    "Breakers",
    "Clock",
    "ErrorRates",
    "KeyState",
    "Latency",
    "Measured",
    "MemoryProviderKeys",
    "ModelMetrics",
    "ProviderKeys",
    "Quota",
    "Result",
    "Window",
    "seconds_until",
]
