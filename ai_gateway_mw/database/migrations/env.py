"""How Alembic runs our migrations: over the connection that the gateway has open, in its transaction."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes.get("metadata"),
    transactional_ddl=False,  # there is a transaction already, and its end is not ours
)
context.run_migrations()
