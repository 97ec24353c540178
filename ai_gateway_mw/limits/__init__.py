"""Limits: what a gateway key may use in a window of time, counted across processes."""

from ai_gateway_mw.limits.claims import KeyClaims
from ai_gateway_mw.limits.counters import KEY_PREFIX, Claim, Counters, Taken, claim_of
from ai_gateway_mw.limits.fields import limit_fields
from ai_gateway_mw.limits.key_limits import KeyLimits, LimitsDocument
from ai_gateway_mw.limits.places import place_of
from ai_gateway_mw.limits.reservation import Reservation, raise_spending
from ai_gateway_mw.limits.windows import Calendar, Sliding, Window

__all__ = [
    "KEY_PREFIX",
    "Calendar",
    "Claim",
    "Counters",
    "KeyClaims",
    "KeyLimits",
    "LimitsDocument",
    "Reservation",
    "Sliding",
    "Taken",
    "Window",
    "claim_of",
    "limit_fields",
    "place_of",
    "raise_spending",
]
