"""Keys, usage and audit: the first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "installation",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.Column("proof", sa.LargeBinary, nullable=False),
        sa.Column("pepper_version", sa.Integer, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "gateway_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("environment", sa.Text, nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("pepper_version", sa.Integer, nullable=False),
        sa.Column("masked", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("retires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("compromised", sa.Boolean, nullable=False),
        sa.Column("dead_use_at", sa.BigInteger),
        sa.Column("allowed_ips", sa.JSON),
        sa.Column("allowed_models", sa.JSON),
        sa.Column("allowed_providers", sa.JSON),
        sa.Column("limits", sa.JSON, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("lineage", sa.Text, nullable=False),
        sa.Column("rotated_from", sa.Text, sa.ForeignKey("gateway_keys.id")),
        sa.Column("rotated_to", sa.Text, sa.ForeignKey("gateway_keys.id")),
        sa.Column("current", sa.Boolean, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "gateway_keys_current_name",
        "gateway_keys",
        ["name"],
        unique=True,
        sqlite_where=sa.column("current"),
        postgresql_where=sa.column("current"),
    )
    op.create_index("gateway_keys_revision", "gateway_keys", ["revision"])
    op.create_table(
        "usage",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in (
                ["requests", "errors", "input_tokens", "output_tokens", "cached_tokens", "cost_nano", "unpriced"]
                + ["first_used_at", "last_used_at"]
            )
        ),
    )
    op.create_index("usage_day", "usage", ["day"])
    op.create_table(
        "callers",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("address", sa.Text, primary_key=True),
        sa.Column("user_agent", sa.Text, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.Column("last_seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("event", "actor", "address", "subject", "details")),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )
    op.create_index("audit_event", "audit", ["event"])
    op.create_index("audit_subject", "audit", ["subject"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
    )
