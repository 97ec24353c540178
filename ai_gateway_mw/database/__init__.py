"""The database: keys, usage and audit of one installation, in SQLite or PostgreSQL."""

from ai_gateway_mw.database.database import Database, database_of, identity
from ai_gateway_mw.database.installation import Installation, opened
from ai_gateway_mw.database.tables import (
    HEAD,
    audit,
    audit_head,
    callers,
    gateway_keys,
    installation,
    metadata,
    storable,
    usage,
)

__all__ = [
    "HEAD",
    "Database",
    "Installation",
    "audit",
    "audit_head",
    "callers",
    "database_of",
    "gateway_keys",
    "identity",
    "installation",
    "metadata",
    "opened",
    "storable",
    "usage",
]
