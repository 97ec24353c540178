"""What is learned at run time: of provider keys (quota, errors, cooling) and of models (latency, errors, tokens)."""

from __future__ import annotations

from ai_gateway_mw.state.history import Measured
from ai_gateway_mw.state.models import ModelMetrics
from ai_gateway_mw.state.provider_keys import ErrorRates, KeyState, MemoryProviderKeys, ProviderKeys
from ai_gateway_mw.state.quota import Quota
from ai_gateway_mw.state.results import Result
from ai_gateway_mw.state.window import Clock, Window

__all__ = [
    "Clock",
    "ErrorRates",
    "KeyState",
    "Measured",
    "MemoryProviderKeys",
    "ModelMetrics",
    "ProviderKeys",
    "Quota",
    "Result",
    "Window",
]
