"""Accounts: the gateway keys of the database at work in this process: found, followed, counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.accounts.account import Account
from ai_gateway_mw.accounts.totals import Totals
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import (
    ClientGone,
    DatabaseUnavailable,
    InstallationError,
    KeyStoreUnavailable,
    LimitsUnavailable,
    TooManyFailures,
)
from ai_gateway_mw.keys import Found, GatewayKey, KeyDirectory, well_formed
from ai_gateway_mw.limits import Counters, Sliding, raise_spending
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.telemetry import Journal, Note
from ai_gateway_mw.usage import Prices, UnknownPrice, UsageRecorder, Used

if TYPE_CHECKING:
    from ai_gateway_mw.services import Services

_log = logging.getLogger("ai_gateway_mw.keys")

_FAILURES: Final = 20  # in a minute, from one address
_MINUTE: Final = Sliding(60)
_AGAIN: Final = 0.5  # seconds until a database that could not be reached is tried again


class Accounts:
    """The gateway keys of the database, for the requests of one process. Opened when a policy needs them."""

    def __init__(self, settings: Settings, counters: Callable[[], Counters]) -> None:
        """`counters` may raise `LimitsUnavailable`."""
        self.counters = counters
        self.prices = Prices()
        self.journal = Journal(settings.audit_requests, self._write_notes)
        self._settings = settings
        self._recorder: UsageRecorder | None = None
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
        await self.journal.aclose()
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            await recorder.aclose()
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

    async def apply(self, changed: Collection[str]) -> None:
        """Have a change of these keys in force here at once; the other processes hear of it from the database."""
        if self._services is not None and self._directory is not None:
            self._directory.forget(changed)
            await self._end_revoked(self._services, changed)

    def failed(self, address: str) -> None:
        """Somebody there has presented what is no valid key. Raises `TooManyFailures` where that was too often."""
        claim = f"failures/{address}", _MINUTE, _FAILURES, 1
        with suppress(LimitsUnavailable):  # it is refused anyway
            taken = self.counters().take([claim])
            if not taken.granted:
                raise TooManyFailures(taken.retry_after)

    def account(self, ctx: Context, key: GatewayKey, unknown_price: UnknownPrice) -> Account:
        """Begin an exchange under this key, or go on with it where another action has begun it. Raises what its limits
        refuse."""
        if ctx.account is not None:
            if ctx.account.is_of(self, key):
                return ctx.account
            ctx.account.close(0)
        account = Account(self, ctx, key, unknown_price)
        account.open()
        self._open[key.id].add(account)
        return account

    def note(self, ctx: Context, key: GatewayKey, status: int, totals: Totals) -> None:
        """Count what an exchange has used."""
        if self._recorder is None:
            return
        agent = ctx.request_fields.get(b"user-agent")
        used = Used(
            key.id,
            totals.provider,
            totals.model,
            time.time(),
            error=status >= 400 and status != ClientGone.status,
            input_tokens=totals.input_tokens,
            output_tokens=totals.output_tokens,
            cached_tokens=totals.cached_tokens,
            cost_nano=totals.cost_nano,
            address=str(ctx.client_ip or ""),
            user_agent=agent.decode("latin-1") if agent else "",
        )
        self._recorder.note(used)

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

    async def _write_notes(self, notes: Sequence[Note]) -> None:
        if self._follower is None:
            await self._open_lazily()
        await self.services.note_requests(notes)

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
            self._services = await self._set_up(await Services.open(self._settings))
        return self._services

    async def _set_up(self, services: Services) -> Services:
        try:
            await asyncio.to_thread(self.prices.prepare)
            await self._remember_spending(services)
        except BaseException:
            await services.aclose()
            raise
        self._directory = KeyDirectory(services.source())
        self._recorder = UsageRecorder(services.usage)
        await self._recorder.start()
        return services

    async def _remember_spending(self, services: Services) -> None:
        """What was spent is known from the database also where the counters are new."""
        spent = await services.usage.spent(datetime.now(UTC).date())
        if not spent:
            return
        lineages = await services.keys.lineages()
        sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for key_id, amounts in spent.items():
            sums[lineages.get(key_id, key_id)].update(day=amounts.day.cost_nano, month=amounts.month.cost_nano)
        with suppress(LimitsUnavailable):  # whoever needs them says so
            for lineage, sum_of in sums.items():
                raise_spending(self.counters(), lineage, day=sum_of["day"], month=sum_of["month"])

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
        await self._end_revoked(services, changed)

    async def _end_revoked(self, services: Services, changed: Collection[str] | None) -> None:
        """End what is open under keys among these that were revoked."""
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
