"""Accounts: gateway keys at work in this process, from the key that a request brings to what it has used at its end."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import DatabaseUnavailable, InstallationError, KeyRevoked, KeyStoreUnavailable
from ai_gateway_mw.keys import Found, GatewayKey, KeyDirectory
from ai_gateway_mw.settings import Settings

if TYPE_CHECKING:
    from ai_gateway_mw.services import Services

_log = logging.getLogger("ai_gateway_mw.keys")

_AGAIN: Final = 0.5  # seconds until a database that could not be reached is tried again


class Account:
    """One exchange under a gateway key."""

    __slots__ = ("_accounts", "_ctx", "key", "revoked")

    def __init__(self, accounts: Accounts, ctx: Context, key: GatewayKey) -> None:
        self.key = key
        self.revoked = False
        self._accounts = accounts
        self._ctx = ctx

    def check(self) -> None:
        """Raises `KeyRevoked` where the key was revoked since the exchange began."""
        if self.revoked:
            raise KeyRevoked

    def revoke(self) -> None:
        """End the exchange: a stream that is open ends with its error event."""
        self.revoked = True
        if self._ctx.watch is not None:
            self._ctx.watch.interrupt(KeyRevoked())

    def close(self, status: int) -> None:
        """The exchange is over, with this status."""
        self._accounts.closed(self)


class Accounts:
    """The gateway keys of the database, for the requests of one process. Opened when a policy needs them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._services: Services | None = None
        self._directory: KeyDirectory | None = None
        self._follower: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._open: defaultdict[str, set[Account]] = defaultdict(set)
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def is_open(self) -> bool:
        return self._follower is not None

    @property
    def services(self) -> Services:
        """Raises `KeyStoreUnavailable` while the database cannot be reached."""
        if self._services is None:
            raise KeyStoreUnavailable("it could not be opened so far")
        return self._services

    async def open(self) -> None:
        """Open the database and follow its changes; harmless when repeated. One that cannot be reached is tried again
        and again. Raises `InstallationError` where that would not help."""
        async with self._opening:
            if self._follower is None:
                await self._opened()
                self._follower = asyncio.create_task(self._follow())

    async def aclose(self) -> None:
        """Stop to follow, write what is left to write, and close the database."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower
        await asyncio.gather(*self._writing, return_exceptions=True)
        services, self._services, self._directory = self._services, None, None
        if services is not None:
            await services.aclose()

    def known(self, presented: str) -> GatewayKey | None:
        """The key, if that can be told at once: see `KeyDirectory.known`."""
        return self._directory.known(presented) if self._directory is not None else None

    async def find(self, presented: str) -> Found:
        """What became of what was presented. Raises `KeyStoreUnavailable`."""
        if self._follower is None:
            await self.open()  # no lifespan reaches the gateway, or a reload brought the first policy that needs this
        if self._directory is None:
            raise KeyStoreUnavailable("it could not be opened so far")
        return await self._directory.find(presented)

    async def apply(self, changed: Collection[str]) -> None:
        """Have a change of these keys in force here at once; the other processes hear of it from the database."""
        if self._services is None or self._directory is None:
            return
        self._directory.forget(changed)
        await self._end_revoked(self._services, changed)

    def account(self, ctx: Context, key: GatewayKey) -> Account:
        """Begin an exchange under this key."""
        account = Account(self, ctx, key)
        self._open[key.id].add(account)
        return account

    def closed(self, account: Account) -> None:
        """An exchange is over."""
        of_key = self._open[account.key.id]
        of_key.discard(account)
        if not of_key:
            del self._open[account.key.id]

    def note_dead_use(self, key: GatewayKey, address: str) -> None:
        """Have it written to the audit log that a dead key was used, once."""
        if key.dead_use_noted or self._services is None:
            return
        task = asyncio.ensure_future(self._write_dead_use(self._services, key, address))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_dead_use(self, services: Services, key: GatewayKey, address: str) -> None:
        try:
            await services.keys.note_dead_use(key.id, address)
        except DatabaseUnavailable as error:
            _log.error("that the dead key %s was used from %s could not be written down: %s", key.id, address, error)

    async def _opened(self) -> Services | None:
        """The services, None while they cannot be had. Raises `InstallationError`."""
        # Only here: SQLAlchemy comes with the `server` extra, and takes longer to import than all of ours.
        try:
            from ai_gateway_mw.services import Services  # noqa: PLC0415
        except ImportError as error:
            raise InstallationError(f"{error.name} is not installed; do: pip install 'ai-gateway-mw[server]'") from None
        if self._services is None:
            try:
                self._services = await Services.open(self._settings)
            except DatabaseUnavailable as error:
                _log.error("the database of keys cannot be reached, and is tried again: %s", error)
                return None
            self._directory = KeyDirectory(self._services.source())
        return self._services

    async def _follow(self) -> None:
        """Hear of changes for as long as the process serves."""
        silent = False
        while True:
            try:
                services = self._services or await self._opened()
                if services is not None:
                    async for changed in services.changes():
                        if silent:
                            _log.warning("the database of keys is there again")
                            silent = False
                        await self._take(services, changed)
            except DatabaseUnavailable as error:
                if not silent:
                    _log.error("the database of keys is silent; keys in use go on for a while: %s", error)
                    silent = True
            except Exception:  # noqa: BLE001 - a fault of ours: nothing that is remembered counts as current from now on
                _log.exception("what changes in the database of keys cannot be followed")
            await asyncio.sleep(_AGAIN)

    async def _take(self, services: Services, changed: Collection[str] | None) -> None:
        assert self._directory is not None
        if changed is None or changed:
            self._directory.forget(changed)
        self._directory.confirm()
        await self._end_revoked(services, changed)

    async def _end_revoked(self, services: Services, changed: Collection[str] | None) -> None:
        """End what is open under keys among these that were revoked."""
        for key_id in list(self._open) if changed is None else [one for one in changed if one in self._open]:
            if (await services.keys.get(key_id)).revoked_at is not None:
                for account in tuple(self._open.get(key_id, ())):
                    account.revoke()
