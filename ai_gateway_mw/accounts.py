"""Accounts: gateway keys at work in this process, from the key that a request brings to what it has used at its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Collection
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import DatabaseUnavailable, InstallationError, KeyRevoked, KeyStoreUnavailable
from ai_gateway_mw.keys import Found, GatewayKey, KeyDirectory, well_formed
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

    def is_of(self, accounts: Accounts, key: GatewayKey) -> bool:
        return self._accounts is accounts and self.key.id == key.id

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
        self._writing: dict[str, asyncio.Task[None]] = {}  # first uses of dead keys, by their ids
        self._said = ""  # of a database that is not there
        self._failed: tuple[float, str] | None = None  # when it was last tried to open, and why it will not do

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
            await self._open_once()

    async def aclose(self) -> None:
        """Stop to follow, write what is left to write, and close the database."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower
        await asyncio.gather(*self._writing.values(), return_exceptions=True)
        services, self._services, self._directory = self._services, None, None
        if services is not None:
            await services.aclose()

    def known(self, presented: str) -> GatewayKey | None:
        """The key, if that can be told at once: see `KeyDirectory.known`."""
        return self._directory.known(presented) if self._directory is not None else None

    async def find(self, presented: str) -> Found:
        """What became of what was presented. Raises `KeyStoreUnavailable`."""
        if not well_formed(presented):
            return Found(None)
        if self._follower is None:
            await self._open_lazily()
        if self._directory is None:
            raise KeyStoreUnavailable("it could not be opened so far")
        return await self._directory.find(presented)

    def account(self, ctx: Context, key: GatewayKey) -> Account:
        """Begin an exchange under this key, or go on with it where another action has begun it."""
        if ctx.account is not None:
            if ctx.account.is_of(self, key):
                return ctx.account
            ctx.account.close(0)
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
        if key.dead_use_noted or self._services is None or key.id in self._writing:
            return
        task = asyncio.ensure_future(self._write_dead_use(self._services, key, address))
        self._writing[key.id] = task
        task.add_done_callback(lambda _: self._writing.pop(key.id))

    async def _write_dead_use(self, services: Services, key: GatewayKey, address: str) -> None:
        try:
            await services.keys.note_dead_use(key.id, address)
        except DatabaseUnavailable as error:
            _log.error("that the dead key %s was used from %s could not be written down: %s", key.id, address, error)

    async def _open_lazily(self) -> None:
        """No lifespan reaches the gateway, or a reload brought the first policy that needs this."""
        async with self._opening:
            if self._failed is not None and time.monotonic() < self._failed[0] + _AGAIN:
                raise KeyStoreUnavailable(self._failed[1])
            try:
                await self._open_once()
            except InstallationError as error:
                self._say(error)
                self._failed = time.monotonic(), str(error)
                raise KeyStoreUnavailable(str(error)) from None

    async def _open_once(self) -> None:
        if self._follower is None:
            try:
                await self._opened()
            except DatabaseUnavailable as error:
                self._say(error)
            self._follower = asyncio.create_task(self._follow())

    async def _opened(self) -> Services:
        """The services. Raises `DatabaseUnavailable`, and `InstallationError`."""
        # Only here: SQLAlchemy comes with the `server` extra, and takes longer to import than all of ours.
        try:
            from ai_gateway_mw.services import Services  # noqa: PLC0415
        except ImportError as error:
            raise InstallationError(f"{error.name} is not installed; do: pip install 'ai-gateway-mw[server]'") from None
        if self._services is None:
            self._services = await Services.open(self._settings)
            self._directory = KeyDirectory(self._services.source())
        return self._services

    async def _follow(self) -> None:
        """Hear of changes for as long as the process serves."""
        while True:
            try:
                services = self._services or await self._opened()
                async with aclosing(services.changes()) as changes:
                    async for changed in changes:
                        if self._said:
                            _log.warning("the database of keys is there again")
                            self._said = ""
                        await self._take(services, changed)
            except (DatabaseUnavailable, InstallationError) as error:
                self._say(error)
            except Exception:  # noqa: BLE001 - a fault of ours: nothing that is remembered counts as current from now on
                _log.exception("what changes in the database of keys cannot be followed")
            await asyncio.sleep(_AGAIN)

    def _say(self, error: Exception) -> None:
        """Once, however often it is tried again."""
        if self._said != str(error):
            _log.error("the database of keys is not there; keys in use go on for a while: %s", error)
            self._said = str(error)

    async def _take(self, services: Services, changed: Collection[str] | None) -> None:
        assert self._directory is not None
        if changed is None or changed:
            self._directory.forget(changed)
        self._directory.confirm()
        for key_id in list(self._open) if changed is None else [one for one in changed if one in self._open]:
            if await self._is_gone(services, key_id):
                for account in tuple(self._open.get(key_id, ())):
                    account.revoke()

    @staticmethod
    async def _is_gone(services: Services, key_id: str) -> bool:
        """Whether the key was revoked, or is no more, as in a database that was put in the place of this one."""
        try:
            return (await services.keys.get(key_id)).revoked_at is not None
        except LookupError:
            return True
