"""Where `gateway-auth` finds the key that a client has presented: among those of the policy, or in the database."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import AwareDatetime, Field, field_validator

from ai_gateway_mw.addresses import Ranges, parse_network
from ai_gateway_mw.cel import EvaluationError, Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import Unauthenticated
from ai_gateway_mw.keys import GatewayKey, KeyVerifier, Scope, digest, well_formed
from ai_gateway_mw.policy import ActionConfig, TemplateText
from ai_gateway_mw.usage import UnknownPrice

if TYPE_CHECKING:
    from ai_gateway_mw.accounts.accounts import Accounts

_log = logging.getLogger("ai_gateway_mw.policy")


class DeclaredKey(ActionConfig):
    """A gateway key that the policy itself declares."""

    name: str = Field(min_length=1, description="What the key is called in logs and results.")
    value: TemplateText = Field(description="The key, best as `${secrets.get('vault', 'name')}`.")
    environment: str = Field("", description="Such as `production`; readable in expressions.")
    scopes: tuple[Scope, ...] = Field((Scope.FULL,), description="What the key may be used for.")
    allowed_ips: tuple[str, ...] | None = Field(None, description="CIDR ranges it may be used from; omitted: anywhere.")
    allowed_models: tuple[str, ...] | None = Field(
        None, description="Models it may be used for, as globs, `!` forbids; omitted: all."
    )
    allowed_providers: tuple[str, ...] | None = Field(
        None, description="Providers it may be used for, as globs, `!` forbids; omitted: all."
    )
    expires: AwareDatetime | None = Field(None, description="When it stops working, with a time zone.")
    metadata: dict[str, str] = Field(default_factory=dict, description="Notes, readable in expressions.")

    @field_validator("allowed_ips")
    @classmethod
    def _are_ranges(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for text in value or ():
            parse_network(text)
        return value

    @field_validator("expires", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise ValueError("must be a time with its zone, such as `2030-01-31T12:00:00Z`")
        return moment


class Keys(Protocol):
    """Where the keys are that clients may present."""

    def known(self, presented: str, ctx: Context) -> GatewayKey | None:
        """The key, if that can be told at once."""
        ...

    async def find(self, presented: str, ctx: Context) -> GatewayKey:
        """The key. Raises `Unauthenticated`, with nothing that tells one reason from another, and
        `KeyStoreUnavailable`."""
        ...

    def begin(self, key: GatewayKey, ctx: Context) -> None:
        """The key is good for this request."""
        ...


class StoredKeys:
    """The keys of the database."""

    def __init__(self, accounts: Accounts, unknown_price: UnknownPrice) -> None:
        self._accounts = accounts
        self._unknown_price = unknown_price

    def known(self, presented: str, ctx: Context) -> GatewayKey | None:
        return self._accounts.known(presented)

    async def find(self, presented: str, ctx: Context) -> GatewayKey:
        address = str(ctx.client_ip or "")
        self._accounts.check_flood(address)
        found = await self._accounts.find(presented)
        if found.dead is not None:
            self._accounts.note_dead_use(found.dead, address)
        if found.key is None:
            self._accounts.failed(address)
            raise Unauthenticated(reason=_why_not(presented, found.dead))
        ctx.key_was_cached = found.cached
        return found.key

    def begin(self, key: GatewayKey, ctx: Context) -> None:
        ctx.account = self._accounts.account(ctx, key, self._unknown_price)


class DeclaredKeys:
    """A verifier over declared keys, made anew when one of their secrets has changed."""

    def __init__(self, templates: Sequence[tuple[DeclaredKey, Template]]) -> None:
        self.templates = templates
        self._by_id = {_id(declared): (declared, template) for declared, template in templates}
        self._values: dict[str, str | None] = {}
        self._pepper = os.urandom(32)  # nothing is stored, so nothing outlives the process
        self._verifier = KeyVerifier(pepper=self._pepper)

    def known(self, presented: str, ctx: Context) -> GatewayKey | None:
        key = self._verifier.verify(presented)
        return key if key is not None and self._is_current(key, ctx) else None

    async def find(self, presented: str, ctx: Context) -> GatewayKey:
        """What is no gateway key by its form costs no look at the secrets."""
        if well_formed(presented) and self._renewed(ctx):
            key = self._verifier.verify(presented)
            if key is not None:
                return key
        names = ", ".join(declared.name for declared, _ in self.templates)
        raise Unauthenticated(reason=_malformed(presented) or f"it is none of the keys that are declared: {names}")

    def begin(self, key: GatewayKey, ctx: Context) -> None:
        """What they use is not counted."""

    def _is_current(self, key: GatewayKey, ctx: Context) -> bool:
        declared, template = self._by_id[key.id]
        return template.constant or self._values[key.id] == _value(declared, template, ctx)

    def _renewed(self, ctx: Context) -> bool:
        """Whether a secret had changed since the verifier was made."""
        values = {id_: _value(declared, template, ctx) for id_, (declared, template) in self._by_id.items()}
        if values == self._values:
            return False
        usable = [(self._by_id[id_][0], value) for id_, value in values.items() if value]
        keys = [self._key(declared, value) for declared, value in usable if _is_key(declared, value)]
        self._verifier.replace(keys)
        self._values = values
        return True

    def _key(self, declared: DeclaredKey, value: str) -> GatewayKey:
        return GatewayKey(
            id=_id(declared),
            name=declared.name,
            digest=digest(value, self._pepper),
            environment=declared.environment,
            scopes=declared.scopes,
            metadata=declared.metadata,
            expires=declared.expires,
            allowed_ips=None if declared.allowed_ips is None else Ranges(map(parse_network, declared.allowed_ips)),
            allowed_models=declared.allowed_models,
            allowed_providers=declared.allowed_providers,
        )


def _id(declared: DeclaredKey) -> str:
    return f"policy:{declared.name}"


def _value(declared: DeclaredKey, template: Template, ctx: Context) -> str | None:
    """The key's text, None where its secret cannot be had: that key does not work, and the others do."""
    try:
        return template.render(ctx)
    except EvaluationError as error:
        _log.warning("gateway key %s cannot be used: %s", declared.name, error)
        return None


def _is_key(declared: DeclaredKey, value: str) -> bool:
    if well_formed(value):
        return True
    _log.warning("gateway key %s cannot be used: its value is no gateway key", declared.name)
    return False


def _malformed(presented: str) -> str:
    return "" if well_formed(presented) else "what the request presents is no gateway key by its form"


def _why_not(presented: str, dead: GatewayKey | None) -> str:
    """Why a key does not work; for the operator."""
    if dead is None:
        return _malformed(presented) or "no stored key is the one that the request presents"
    if dead.revoked:
        return f"the key `{dead.name}` is revoked"
    return f"the key `{dead.name}` has expired"
