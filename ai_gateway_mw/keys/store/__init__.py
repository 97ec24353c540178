"""Gateway keys in the database: what is stored of them, and what may be done to them."""

from ai_gateway_mw.keys.store.documents import KeyChanges, Moment, NewKey
from ai_gateway_mw.keys.store.feed import feed_of
from ai_gateway_mw.keys.store.filters import KeyFilter
from ai_gateway_mw.keys.store.record import KeyRecord, State
from ai_gateway_mw.keys.store.service import MAX_GRACE, Created, KeyDead, KeyNotFound, KeyRefused, KeyService, NameTaken
from ai_gateway_mw.keys.store.source import StoredKeys

__all__ = [
    "MAX_GRACE",
    "Created",
    "KeyChanges",
    "KeyDead",
    "KeyFilter",
    "KeyNotFound",
    "KeyRecord",
    "KeyRefused",
    "KeyService",
    "Moment",
    "NameTaken",
    "NewKey",
    "State",
    "StoredKeys",
    "feed_of",
]
