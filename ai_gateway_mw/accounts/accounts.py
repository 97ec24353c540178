"""Accounts: the gateway keys of the database at work in this process: found, followed, counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.accounts.account import Account
from ai_gateway_mw.accounts.link import Link
from ai_gateway_mw.accounts.totals import Totals
from ai_gateway_mw.addresses import origin_of, parse_address, text_of
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import (
    ClientGone,
    DatabaseUnavailable,
    KeyStoreUnavailable,
    LimitsUnavailable,
    TooManyFailures,
)
from ai_gateway_mw.keys import Found, GatewayKey, KeyDirectory, well_formed
from ai_gateway_mw.limits import Counters, Reservation, Sliding, claim_of, raise_spending
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.telemetry import Journal, Note
from ai_gateway_mw.usage import Prices, UnknownPrice, UsageRecorder, Used

if TYPE_CHECKING:
    from ai_gateway_mw.services import Services

_log = logging.getLogger("ai_gateway_mw.keys")

_FAILURES, _FLOOD = 20, 200  # in a minute, from one address
_MINUTE: Final = Sliding(60)


class Accounts:
    """The gateway keys of the database, for the requests of one process. Opened when a policy needs them."""

    def __init__(self, settings: Settings, counters: Callable[[], Counters]) -> None:
        """`counters` may raise `LimitsUnavailable`."""
        self._counters = counters
        self._to_raise: dict[str, Counter[str]] = {}  # what lineages have spent, as the counters are yet to be told
        self.prices = Prices()
        self.journal = Journal(settings.audit_requests, self._write_notes)
        self._link = Link(settings, self._set_up, self._take)
        self._recorder: UsageRecorder | None = None
        self._directory: KeyDirectory | None = None
        self._open: set[Account] = set()
        self._writing: dict[str, asyncio.Task[None]] = {}  # first uses of dead keys, by their ids

    def counters(self) -> Counters:
        """What is used of limits. Raises `LimitsUnavailable`."""
        counters = self._counters()
        while self._to_raise:
            lineage, spent = next(iter(self._to_raise.items()))
            raise_spending(counters, lineage, day=spent["day"], month=spent["month"])
            del self._to_raise[lineage]
        return counters

    @property
    def is_open(self) -> bool:
        return self._link.is_open

    @property
    def is_reached(self) -> bool:
        """Whether the database was there when it was last looked for."""
        return self._link.is_reached

    @property
    def services(self) -> Services:
        """Raises `KeyStoreUnavailable` while the database cannot be reached."""
        return self._link.services

    async def open(self) -> None:
        """Open the database and follow its changes: see `Link.open`."""
        await self._link.open()

    async def aclose(self) -> None:
        """Write what is left to write, stop to follow, and close the database."""
        await self.journal.aclose()  # first: to write, it may open the database
        await self._link.stop()
        await asyncio.gather(*self._writing.values(), return_exceptions=True)
        recorder, self._recorder, self._directory = self._recorder, None, None
        if recorder is not None:
            await recorder.aclose()
        await self._link.aclose()

    def known(self, presented: str) -> GatewayKey | None:
        """The key, if that can be told at once: see `KeyDirectory.known`."""
        return self._directory.known(presented) if self._directory is not None else None

    async def find(self, presented: str) -> Found:
        """What became of what was presented. Raises `KeyStoreUnavailable`."""
        if not well_formed(presented):
            return Found(None)
        await self._link.open_lazily()
        if self._directory is None:
            raise KeyStoreUnavailable("it could not be opened so far")
        return await self._directory.find(presented)

    async def apply(self, changed: Collection[str]) -> None:
        """Have a change of these keys in force here at once; the other processes hear of it from the database."""
        if self._directory is not None:
            self._directory.forget(changed)
            await self._end_revoked(self.services, changed)

    def failed(self, address: str) -> None:
        """Somebody there has presented what is no valid key. Raises `TooManyFailures` where that was too often."""
        claim = claim_of(_failures_of(address), _MINUTE, _FLOOD)
        with suppress(LimitsUnavailable):  # it is refused anyway
            taken = self.counters().take([claim])
            limit, remaining, reset = taken.standings[0]
            if limit - remaining > _FAILURES:
                raise TooManyFailures(taken.retry_after or reset)

    def check_flood(self, address: str) -> None:
        """Raises `TooManyFailures` where so many wrong keys come from there that they are no longer looked up; a right
        one that is in use goes on."""
        with suppress(LimitsUnavailable):
            if self.counters().value(_failures_of(address), _MINUTE) >= _FLOOD:
                raise TooManyFailures(_MINUTE.seconds)

    def account(self, ctx: Context, key: GatewayKey, unknown_price: UnknownPrice) -> Account:
        """Begin an exchange under this key, or go on with it where another action has begun it. Raises what its limits
        refuse."""
        if ctx.account is not None:
            if ctx.account.is_of(self, key):
                return ctx.account
            ctx.account.close(0)
        reservation = None
        if not key.limits.is_none:
            reservation = Reservation(self.counters(), key.claims)
            reservation.open()
        account = Account(self, ctx, key, unknown_price, reservation)
        self._open.add(account)
        return account

    def closed(self, account: Account, status: int, totals: Totals) -> None:
        """An exchange is over, with this status, and has used so much."""
        self._open.discard(account)
        if self._recorder is not None:
            self._recorder.note(_used(account, status, totals))

    def note_dead_use(self, key: GatewayKey, address: str) -> None:
        """Have it written to the audit log that a dead key was used, once."""
        if key.dead_use_noted or key.id in self._writing:
            return
        task = asyncio.ensure_future(self._write_dead_use(key, address))
        self._writing[key.id] = task
        task.add_done_callback(lambda _: self._writing.pop(key.id))

    async def _write_dead_use(self, key: GatewayKey, address: str) -> None:
        try:
            await self.services.keys.note_dead_use(key.id, address)
        except (DatabaseUnavailable, KeyStoreUnavailable) as error:
            _log.error("that the dead key %s was used from %s could not be written down: %s", key.id, address, error)

    async def _write_notes(self, notes: Sequence[Note]) -> None:
        await self._link.open_lazily()
        await self.services.note_requests(notes)

    async def _set_up(self, services: Services) -> None:
        """The database was opened."""
        await asyncio.to_thread(self.prices.prepare)
        await self._remember_spending(services)
        self._directory = KeyDirectory(services.source())
        self._recorder = UsageRecorder(services.usage)
        await self._recorder.start()

    async def _remember_spending(self, services: Services) -> None:
        """What was spent is known from the database also where the counters are new."""
        spent = await services.usage.spent(datetime.now(UTC).date())
        if not spent:
            return
        lineages = await services.keys.lineages()
        sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for key_id, amounts in spent.items():
            sums[lineages.get(key_id, key_id)].update(day=amounts.day.cost_nano, month=amounts.month.cost_nano)
        self._to_raise = dict(sums)
        with suppress(LimitsUnavailable):  # whoever needs them says so, and tries it again
            self.counters()

    async def _take(self, services: Services, changed: Collection[str] | None) -> None:
        """The database was heard of, and says which keys have changed."""
        assert self._directory is not None
        if changed is None or changed:
            self._directory.forget(changed)
        self._directory.confirm()
        await self._end_revoked(services, changed)

    async def _end_revoked(self, services: Services, changed: Collection[str] | None) -> None:
        """End what is open under keys among these that were ended at once."""
        if changed is not None and not changed:
            return
        in_use: defaultdict[str, list[Account]] = defaultdict(list)
        for account in self._open:
            in_use[account.key.id].append(account)
        gone = set()
        for key_id in in_use if changed is None else in_use.keys() & changed:
            if await self._is_gone(services, key_id):
                gone.add(key_id)
                for account in in_use[key_id]:
                    account.revoke()
        for account in self._open if gone else ():
            if account.key.id in gone:  # also such as came meanwhile
                account.revoke()

    @staticmethod
    async def _is_gone(services: Services, key_id: str) -> bool:
        """Whether the key was ended at once, or is no more, as in a database that was put in the place of this one."""
        try:
            return await services.keys.ended_at_once(key_id)
        except LookupError:
            return True


def _failures_of(address: str) -> str:
    """The counter of who comes from there."""
    return f"failures/{origin_of(parse_address(address) if address else None)}"


def _used(account: Account, status: int, totals: Totals) -> Used:
    ctx = account.ctx
    return Used(
        account.key.id,
        totals.provider,
        totals.model,
        time.time(),
        error=account.broke_off or (status >= 400 and status != ClientGone.status),
        input_tokens=totals.input_tokens,
        output_tokens=totals.output_tokens,
        cached_tokens=totals.cached_tokens,
        cost_nano=totals.cost_nano,
        address=text_of(ctx.client_ip),
        user_agent=ctx.request_fields.first.get(b"user-agent", b"").decode("latin-1"),
    )
