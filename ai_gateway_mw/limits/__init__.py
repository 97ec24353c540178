"""Limits: what a gateway key may use in a window of time, counted across processes."""

from ai_gateway_mw.limits.counters import KEY_PREFIX, Claim, Counters, Standing, Taken
from ai_gateway_mw.limits.windows import Calendar, Sliding, Window

__all__ = ["KEY_PREFIX", "Calendar", "Claim", "Counters", "Sliding", "Standing", "Taken", "Window"]
