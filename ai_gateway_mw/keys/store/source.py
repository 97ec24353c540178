"""StoredKeys: where the directory of keys looks up what a client presented."""

from __future__ import annotations

from collections.abc import Collection

from ai_gateway_mw.database import Installation
from ai_gateway_mw.errors import DatabaseUnavailable, KeyStoreUnavailable
from ai_gateway_mw.keys import Digests, GatewayKey, digest
from ai_gateway_mw.keys.store import repository


class StoredKeys:
    """Keys of one installation, by their digest."""

    def __init__(self, installation: Installation) -> None:
        self._database = installation.database
        versions = sorted(installation.peppers, reverse=True)
        self._peppers = [installation.peppers[version] for version in versions]

    @property
    def pepper(self) -> bytes:
        """The one under which new keys are stored, and most keys are found."""
        return self._peppers[0]

    def digests(self, presented: str) -> Digests:
        """What the key's digest may be, by the pepper that was in use when it was made."""
        return [digest(presented, pepper) for pepper in self._peppers]

    async def find(self, digests: Collection[bytes]) -> GatewayKey | None:
        """The key, dead or alive. Raises `KeyStoreUnavailable`."""
        try:
            async with self._database.reading() as connection:
                record = await repository.by_digest(connection, digests)
        except DatabaseUnavailable as error:
            raise KeyStoreUnavailable(str(error)) from None
        return None if record is None else record.as_gateway_key()
