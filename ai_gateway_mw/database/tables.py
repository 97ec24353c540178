"""The tables of the database; how they came to be is in `migrations`, and the two are held equal by a test."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

HEAD: Final = "0001"  # the newest migration
metadata: Final = sa.MetaData()
_NOT_STORED: Final = re.compile(r"[\x00\ud800-\udfff]")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def storable(text: str) -> bool:
    """Whether every database can hold this text and be asked for it: no NUL, no halves of characters."""
    return not _NOT_STORED.search(text)


class Moment(TypeDecorator[datetime]):
    """A time with a zone, kept as microseconds since 1970 in UTC: the same number in every database."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        return None if value is None else (value - _EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


installation = sa.Table(
    "installation",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # one row
    sa.Column("salt", sa.LargeBinary, nullable=False),
    sa.Column("proof", sa.LargeBinary, nullable=False),  # opens with the right master key only
    sa.Column("pepper_version", sa.Integer, nullable=False),  # under which new keys are stored
    sa.Column("revision", sa.BigInteger, nullable=False),  # goes up with every change of a key
)

gateway_keys = sa.Table(
    "gateway_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("environment", sa.Text, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("pepper_version", sa.Integer, nullable=False),
    sa.Column("masked", sa.Text, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("expires_at", Moment),
    sa.Column("retires_at", Moment),  # the end of the grace in which a successor works as well
    sa.Column("revoked_at", Moment),
    sa.Column("compromised", sa.Boolean, nullable=False),
    sa.Column("dead_use_at", Moment),  # when it was first refused for being dead
    sa.Column("allowed_ips", sa.JSON(none_as_null=True)),
    sa.Column("allowed_models", sa.JSON(none_as_null=True)),
    sa.Column("allowed_providers", sa.JSON(none_as_null=True)),
    sa.Column("limits", sa.JSON, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("lineage", sa.Text, nullable=False),  # the first of the keys that this one succeeds: they share limits
    sa.Column("rotated_from", sa.Text, sa.ForeignKey("gateway_keys.id")),
    sa.Column("rotated_to", sa.Text, sa.ForeignKey("gateway_keys.id")),
    sa.Column("current", sa.Boolean, nullable=False),  # neither revoked nor succeeded: its name is taken
    sa.Column("revision", sa.BigInteger, nullable=False),
)
sa.Index(
    "gateway_keys_current_name",
    gateway_keys.c.name,
    unique=True,
    sqlite_where=gateway_keys.c.current,
    postgresql_where=gateway_keys.c.current,
)
sa.Index("gateway_keys_revision", gateway_keys.c.revision)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True),  # `2026-01-31`, in UTC
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
    sa.Column("input_tokens", sa.BigInteger, nullable=False),
    sa.Column("output_tokens", sa.BigInteger, nullable=False),
    sa.Column("cached_tokens", sa.BigInteger, nullable=False),
    sa.Column("cost_nano", sa.BigInteger, nullable=False),  # billionths of a US dollar
    sa.Column("unpriced", sa.BigInteger, nullable=False),  # requests with tokens whose price nobody knows
    sa.Column("first_used_at", Moment, nullable=False),
    sa.Column("last_used_at", Moment, nullable=False),
)
sa.Index("usage_day", usage.c.day)

callers = sa.Table(
    "callers",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("user_agent", sa.Text, primary_key=True),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("first_seen_at", Moment, nullable=False),
    sa.Column("last_seen_at", Moment, nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Moment, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False),  # JSON as it was written: the chain holds these very characters
    sa.Column("mac", sa.LargeBinary, nullable=False),
)
sa.Index("audit_event", audit.c.event)
sa.Index("audit_subject", audit.c.subject)

audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # one row, which a writer holds
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("mac", sa.LargeBinary, nullable=False),
)
