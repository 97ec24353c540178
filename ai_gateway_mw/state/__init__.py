"""What is learned at run time: of provider keys (quota, errors, cooling), models (latency, errors,
tokens), origins (breakers) and what a policy watches (circuits)."""

from __future__ import annotations

from ai_gateway_mw.state.breakers import Breakers
from ai_gateway_mw.state.circuits import Circuit, Circuits
from ai_gateway_mw.state.circuits import Rules as CircuitRules
from ai_gateway_mw.state.history import Measured
from ai_gateway_mw.state.latency import Latency
from ai_gateway_mw.state.models import ModelMetrics
from ai_gateway_mw.state.provider_keys import ErrorRates, KeyState, MemoryProviderKeys, ProviderKeys
from ai_gateway_mw.state.quota import Quota, seconds_until
from ai_gateway_mw.state.results import Result
from ai_gateway_mw.state.window import Clock, Window

__all__ = [
    "Breakers",
    "Circuit",
    "CircuitRules",
    "Circuits",
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
