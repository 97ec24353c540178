"""The audit log: append-only rows, each chained to the one before by an HMAC."""

from ai_gateway_mw.audit.chain import Fault, Head
from ai_gateway_mw.audit.events import KEY_EVENTS, Actor, Entry, Event, events_of
from ai_gateway_mw.audit.log import AuditLog, Filter, Happening, Verdict

__all__ = [
    "KEY_EVENTS",
    "Actor",
    "AuditLog",
    "Entry",
    "Event",
    "Fault",
    "Filter",
    "Happening",
    "Head",
    "Verdict",
    "events_of",
]
