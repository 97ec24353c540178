"""Link: the way to the database of an installation, opened when it is needed and followed while the process serves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.errors import DatabaseUnavailable, InstallationError, KeyStoreUnavailable
from ai_gateway_mw.settings import Settings

if TYPE_CHECKING:
    from ai_gateway_mw.services import Services

_log = logging.getLogger("ai_gateway_mw.keys")

_AGAIN: Final = 0.5  # seconds until a database that could not be reached is tried again

Opened = Callable[["Services"], Awaitable[None]]
Heard = Callable[["Services", Collection[str] | None], Awaitable[None]]


class Link:
    """A database that cannot be reached is tried again and again.

    `opened` is called once it is open, and `heard` whenever it is heard of, with the ids of keys that have changed
    (None: any may have).
    """

    def __init__(self, settings: Settings, opened: Opened, heard: Heard) -> None:
        self._settings = settings
        self._when_opened = opened
        self._when_heard = heard
        self._services: Services | None = None
        self._follower: asyncio.Task[None] | None = None
        self._opening = asyncio.Lock()
        self._said = ""  # of a database that is not there
        self._failed: tuple[float, str] | None = None  # when it was last tried to open, and why it will not do

    @property
    def is_open(self) -> bool:
        return self._follower is not None

    @property
    def is_reached(self) -> bool:
        """Whether the database was there when it was last looked for."""
        return self._services is not None and not self._said

    @property
    def services(self) -> Services:
        """Raises `KeyStoreUnavailable` while the database cannot be reached."""
        if self._services is None:
            raise KeyStoreUnavailable("it could not be opened so far")
        return self._services

    async def open(self) -> None:
        """Open the database and follow its changes; harmless when repeated. Raises `InstallationError` where trying
        again would not help."""
        async with self._opening:
            await self._open_once()

    async def open_lazily(self) -> None:
        """The same where no lifespan reaches the gateway, or a reload brought the first policy that needs this. Raises
        `KeyStoreUnavailable`."""
        if self._follower is not None:
            return
        async with self._opening:
            if self._failed is not None and time.monotonic() < self._failed[0] + _AGAIN:
                raise KeyStoreUnavailable(self._failed[1])
            try:
                await self._open_once()
            except InstallationError as error:
                self._say(error)
                self._failed = time.monotonic(), str(error)
                raise KeyStoreUnavailable(str(error)) from None

    async def stop(self) -> None:
        """Follow no longer; what is open stays so until `aclose`."""
        follower, self._follower = self._follower, None
        if follower is not None:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower

    async def aclose(self) -> None:
        """Close the database."""
        await self.stop()
        services, self._services = self._services, None
        if services is not None:
            await services.aclose()

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
            services = await Services.open(self._settings)
            try:
                await self._when_opened(services)
            except BaseException:
                await services.aclose()
                raise
            self._services = services
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
                        await self._when_heard(services, changed)
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
