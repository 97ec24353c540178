"""Services: all that is kept in the database of an installation, opened together. Commands, the admin plane and
requests use these and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Self

from ai_gateway_mw.audit import AuditLog
from ai_gateway_mw.database import Installation, database_of, opened
from ai_gateway_mw.errors import InstallationError, SecretError
from ai_gateway_mw.keys.store import KeyService, StoredKeys, feed_of
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.usage.store import UsageStore


@dataclass(frozen=True, slots=True)
class Services:
    """What one installation keeps, and may be asked to do."""

    installation: Installation
    audit: AuditLog
    keys: KeyService
    usage: UsageStore

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Open the database, which is made where it is missing and brought up to date.

        Raises `DatabaseUnavailable`, and `InstallationError` for what must be mended before anything else: settings, a
        master key, a newer version.
        """
        try:
            database = database_of(settings.data_dir, settings.database_url)
        except ValueError as error:
            raise InstallationError(f"AI_GATEWAY_DATABASE_URL: {error}") from None
        try:
            installation = await opened(database, settings.data_dir, master_key=settings.master_key)
        except SecretError as error:
            await database.aclose()
            raise InstallationError(str(error)) from None
        except BaseException:
            await database.aclose()
            raise
        audit = AuditLog(installation)
        return cls(installation, audit, KeyService(installation, audit), UsageStore(database))

    def source(self) -> StoredKeys:
        """Where requests look keys up."""
        return StoredKeys(self.installation)

    def changes(self) -> AsyncIterator[Collection[str] | None]:
        """Which keys change, from now on: see `feed_of`."""
        return feed_of(self.installation.database)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self.installation.database.aclose()
