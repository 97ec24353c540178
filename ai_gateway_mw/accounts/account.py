"""Account: one exchange under a gateway key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_gateway_mw.accounts.totals import Totals
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import KeyRevoked
from ai_gateway_mw.headers import Field
from ai_gateway_mw.keys import GatewayKey
from ai_gateway_mw.limits import Reservation, limit_fields
from ai_gateway_mw.usage import UnknownPrice

if TYPE_CHECKING:
    from ai_gateway_mw.accounts.accounts import Accounts


class Account:
    """What the exchange may use, and what it has used in the end. Until something happens, it is as the class has
    it."""

    revoked = False
    broke_off = False  # the stream ended with an error, whatever the status with which it began
    usage_was_asked = False  # of the provider, in the client's stead: the content of the last attempt
    _is_closed = False
    _reserved = 0, 0  # tokens of input and of output

    def __init__(
        self,
        accounts: Accounts,
        ctx: Context,
        key: GatewayKey,
        unknown_price: UnknownPrice,
        reservation: Reservation | None,
    ) -> None:
        """`reservation` is open, and ends with this; there is none for a key without limits."""
        self.ctx = ctx
        self.key = key
        self.unknown_price = unknown_price
        self._accounts = accounts
        self._reservation = reservation

    def is_of(self, accounts: Accounts, key: GatewayKey) -> bool:
        return self._accounts is accounts and self.key.id == key.id

    def reserve(self, input_tokens: int, output_tokens: int, cost_nano: int) -> None:
        """Take what the exchange may use at most; once, also where a second `ai-gateway` takes over. Raises what
        `Reservation.reserve` does."""
        reservation = self._reservation
        if reservation is not None and not reservation.has_reserved:
            reservation.reserve(input_tokens, output_tokens, cost_nano)
            self._reserved = input_tokens, output_tokens

    def fields(self) -> list[Field]:
        """What the client is told of its limits."""
        reservation = self._reservation
        return [] if reservation is None else limit_fields(reservation.requests, reservation.tokens)

    def check(self) -> None:
        """Raises `KeyRevoked` where the key was revoked since the exchange began."""
        if self.revoked:
            raise KeyRevoked

    def revoke(self) -> None:
        """End the exchange: a stream that is open ends with its error event."""
        self.revoked = True
        if self.ctx.watch is not None:
            self.ctx.watch.interrupt(KeyRevoked())

    def close(self, status: int) -> None:
        """The exchange is over, with this status. A second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        accounts, reservation = self._accounts, self._reservation
        unknown = self.unknown_price if self.key.limits.has_budget else "deny"  # then it costs what nobody knows
        totals = Totals.of(self.ctx.attempts, accounts.prices, unknown, self._reserved)
        if reservation is not None:
            reservation.settle(totals.input_tokens, totals.output_tokens, totals.cost_nano)
        accounts.closed(self, status, totals)
