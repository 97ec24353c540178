"""Gateway keys in the database: what is stored of them, and what may be done to them."""

from ai_gateway_mw.keys.store.documents import KeyChanges, NewKey
from ai_gateway_mw.keys.store.feed import feed_of
from ai_gateway_mw.keys.store.record import KeyRecord, State
from ai_gateway_mw.keys.store.service import Created, KeyNotFound, KeyRefused, KeyService
from ai_gateway_mw.keys.store.source import StoredKeys

__all__ = [
    "Created",
    "KeyChanges",
    "KeyNotFound",
    "KeyRecord",
    "KeyRefused",
    "KeyService",
    "NewKey",
    "State",
    "StoredKeys",
    "feed_of",
]
