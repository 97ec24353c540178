"""PolicyRecords: which policies came into force, in the audit log; and a look at the database before serving."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ai_gateway_mw.audit import Actor, Event, Happening
from ai_gateway_mw.cli.keys.reading import every_key
from ai_gateway_mw.cli.moments import now
from ai_gateway_mw.errors import DatabaseUnavailable, InstallationError
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings

_log = logging.getLogger("ai_gateway_mw.reload")

_GATEWAY: Final = Actor("gateway")


@dataclass(frozen=True, slots=True)
class Stored:
    """Where keys are, and how many of them work."""

    database: str
    in_use: int

    def __str__(self) -> str:
        return f"{self.database}, {self.in_use} in use; ai-gateway keys create NAME makes one"


class PolicyRecords:
    """Writes that a policy is in force. Only one process of several that serve the same policy has one of these."""

    def __init__(self, settings: Settings, file: Path) -> None:
        self._settings = settings
        self._file = file
        self._writer = ThreadPoolExecutor(1, "policy records")  # one thread, so that rows keep the order of reloads

    def begin(self, gateway: Gateway) -> Stored:
        """Open the database and write that the first policy is in force, before anything is served.

        Raises `DatabaseUnavailable`, and `InstallationError` where waiting would not help.
        """
        return asyncio.run(self._begun(self._happening(gateway)))

    def note(self, gateway: Gateway) -> Future[None]:
        """Have it written that a policy was reloaded; nobody waits for it, and a failure is logged."""
        return self._writer.submit(self._written, self._happening(gateway))

    def _written(self, happening: Happening) -> None:
        try:
            asyncio.run(self._add(happening))
        except (DatabaseUnavailable, InstallationError) as error:
            _log.error("that %s is in force could not be written to the audit log: %s", self._file, error)
        except Exception:  # noqa: BLE001 - a fault of ours must not go unseen in a thread
            _log.exception("that %s is in force could not be written to the audit log", self._file)

    async def _begun(self, happening: Happening) -> Stored:
        async with await Services.open(self._settings) as services:
            await services.audit.write(happening)
            moment = now()
            in_use = sum(record.works(moment) for record in await every_key(services))
            return Stored(_shown(services), in_use)

    async def _add(self, happening: Happening) -> None:
        async with await Services.open(self._settings) as services:
            await services.audit.write(happening)

    def _happening(self, gateway: Gateway) -> Happening:
        digest = hashlib.sha256(gateway.policy.document.file_text.encode("utf-8", "surrogatepass")).hexdigest()
        details = {"sha256": digest, "warnings": len(gateway.warnings)}
        return Happening(Event.POLICY_LOADED, _GATEWAY, str(self._file), details)


def _shown(services: Services) -> str:
    """The database as people know it: a file of this directory by its relative path."""
    database = services.installation.database
    here = Path.cwd()
    if database.file is not None and database.file.is_relative_to(here):
        return str(database.file.relative_to(here))
    return str(database)
