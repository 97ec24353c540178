"""The migrations make the very tables that the code works with."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ai_gateway_mw.database import Installation, metadata
from ai_gateway_mw.database.tables import HEAD

pytestmark = pytest.mark.anyio


def differences(connection: sa.Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


async def test_migrations_and_tables_agree(database: Installation) -> None:
    async with database.database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_difference_would_be_seen(database: Installation) -> None:
    async with database.database.writing() as connection:
        await connection.execute(sa.text("ALTER TABLE callers ADD COLUMN surprise TEXT"))
        assert await connection.run_sync(differences)


async def test_primary_keys_and_partial_indexes_agree(database: Installation) -> None:
    """What Alembic does not compare."""

    def found(connection: sa.Connection) -> dict[str, list[str]]:
        inspector = sa.inspect(connection)
        return {name: inspector.get_pk_constraint(name)["constrained_columns"] for name in metadata.tables}

    async with database.database.reading() as connection:
        assert await connection.run_sync(found) == {
            name: [column.name for column in table.primary_key] for name, table in metadata.tables.items()
        }
        indexes = await connection.run_sync(lambda sync: sa.inspect(sync).get_indexes("gateway_keys"))
    kind = database.database.kind
    (partial,) = (index for index in indexes if index["name"] == "gateway_keys_current_name")
    assert "current" in str(partial["dialect_options"][f"{kind}_where"])


def test_the_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "ai_gateway_mw:database/migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]
