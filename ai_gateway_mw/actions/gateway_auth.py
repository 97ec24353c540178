"""`gateway-auth`: resolve the client's gateway key. Our own action; its result is `actions.gateway_auth`."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import AwareDatetime, Field, field_validator

from ai_gateway_mw.accounts import Accounts
from ai_gateway_mw.addresses import Ranges, parse_network
from ai_gateway_mw.cel import EvaluationError, Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AddressDenied, GatewayError, ScopeDenied, Unauthenticated
from ai_gateway_mw.keys import GatewayKey, KeyVerifier, Scope, digest, scope_for, well_formed
from ai_gateway_mw.policy import ActionConfig, Phase, TemplateText
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.usage import UnknownPrice

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
        return datetime.fromisoformat(value) if isinstance(value, str) else value


class GatewayAuth:
    """Lets in requests that present a gateway key, and takes the key out of what goes upstream."""

    name = "gateway-auth"
    phases = frozenset({Phase.ON_HTTP_REQUEST})
    guards = True

    class Config(ActionConfig):
        required: bool = Field(True, description="False: requests without a gateway key go on unauthenticated.")
        scopes: tuple[Scope, ...] | None = Field(
            None, description="Scopes of which the key needs one; by default the path decides.", min_length=1
        )
        keys: tuple[DeclaredKey, ...] | None = Field(
            None,
            description="Keys that are declared here; omitted: those of the gateway's database count.",
            min_length=1,
        )
        unknown_price: UnknownPrice = Field(
            "deny",
            description="What becomes of a model whose price nobody knows, for a key with a budget: it is refused, "
            "counted like the provider's dearest model (`estimate`), or free (`zero`).",
        )
        on_error: Literal["halt", "continue"] = Field(
            "halt", description="`continue`: a refused request goes on, and later rules read the error."
        )

        @field_validator("keys")
        @classmethod
        def _names_differ(cls, value: tuple[DeclaredKey, ...] | None) -> tuple[DeclaredKey, ...] | None:
            names = [key.name for key in value or ()]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"there are two keys by the name of `{name}`")
            return value

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._required = config.required
        self._scopes = config.scopes
        self._continue = config.on_error == "continue"
        self._keys: _Keys = _StoredKeys(runtime.stores.accounts, config.unknown_price)
        if config.keys:
            self._keys = _DeclaredKeys([(key, runtime.template(key.value)) for key in config.keys])
            self._check(self._keys, runtime)
        else:
            runtime.needs.add("keys")

    @staticmethod
    def _check(keys: _DeclaredKeys, runtime: Runtime) -> None:
        for declared, template in keys.templates:
            if template.constant and not well_formed(template.render(None)):
                runtime.problem(
                    f"the value of key `{declared.name}` is no gateway key: `ai-gateway keys new` makes one",
                    declared.value.place_of(),
                )

    async def __call__(self, ctx: Context) -> None:
        try:
            key = await self._resolved(ctx)
        except GatewayError as error:
            ctx.publish_ours(self.name, _result(None, error))
            if not self._continue:
                raise
            return
        if key is None and ctx.gateway_key is not None:
            return  # an action before this one has taken the credential, and what it found stands
        ctx.gateway_key = key
        ctx.publish_ours(self.name, self._keys.result(key) if key else _WITHOUT_KEY)

    async def _resolved(self, ctx: Context) -> GatewayKey | None:
        credential = ctx.presented_credential()
        if credential is None or not (credential.is_gateway_key or self._required):
            if self._required:
                raise Unauthenticated
            return None  # a client's own provider key may pass
        presented = credential.secret.reveal()
        key = self._keys.known(presented, ctx) or await self._keys.find(presented, ctx)
        for name in credential.fields:
            ctx.request_fields.remove(name)
        self._check_scope(key, ctx)
        if key.allowed_ips is not None and not key.allows_address(ctx.client_ip):
            raise AddressDenied(str(ctx.client_ip or "unknown"))
        self._keys.begin(key, ctx)
        return key

    def _check_scope(self, key: GatewayKey, ctx: Context) -> None:
        if self._scopes is None:
            check_scope_of_path(key, ctx)
            ctx.scoped_key = key
        elif not any(key.permits(scope) for scope in self._scopes):
            raise ScopeDenied(key.name, " or ".join(self._scopes))


def check_scope_of_path(key: GatewayKey, ctx: Context) -> None:
    """Raises `ScopeDenied` where the path needs a scope that the key has not."""
    needed = scope_for(ctx.method, ctx.route.path if ctx.route else ctx.path)
    if not key.permits(needed):
        raise ScopeDenied(key.name, needed)


class _Keys(Protocol):
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

    def result(self, key: GatewayKey) -> Mapping[str, Any]:
        """What expressions read of a request with this key."""
        ...


class _StoredKeys:
    """The keys of the database."""

    def __init__(self, accounts: Accounts, unknown_price: UnknownPrice) -> None:
        self._accounts = accounts
        self._unknown_price = unknown_price

    def known(self, presented: str, ctx: Context) -> GatewayKey | None:
        return self._accounts.known(presented)

    async def find(self, presented: str, ctx: Context) -> GatewayKey:
        found = await self._accounts.find(presented)
        address = str(ctx.client_ip or "")
        if found.dead is not None:
            self._accounts.note_dead_use(found.dead, address)
        if found.key is None:
            self._accounts.failed(address)
            raise Unauthenticated
        ctx.key_was_cached = found.cached
        return found.key

    def begin(self, key: GatewayKey, ctx: Context) -> None:
        ctx.account = self._accounts.account(ctx, key, self._unknown_price)

    def result(self, key: GatewayKey) -> Mapping[str, Any]:
        return _result(key)


class _DeclaredKeys:
    """A verifier over declared keys, made anew when one of their secrets has changed."""

    def __init__(self, templates: Sequence[tuple[DeclaredKey, Template]]) -> None:
        self.templates = templates
        self._by_id = {_id(declared): (declared, template) for declared, template in templates}
        self._values: dict[str, str | None] = {}
        self._results: dict[str, dict[str, Any]] = {}
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
        raise Unauthenticated

    def begin(self, key: GatewayKey, ctx: Context) -> None:
        """What they use is not counted."""

    def result(self, key: GatewayKey) -> dict[str, Any]:
        """What expressions read of a request with this key."""
        return self._results[key.id]

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
        self._results = {key.id: _result(key) for key in keys}
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


def _result(key: GatewayKey | None, error: GatewayError | None = None) -> dict[str, Any]:
    """What expressions read of a client: whether it brought a key, which one, and what was wrong."""
    shown = key and {
        "id": key.id,
        "name": key.name,
        "environment": key.environment,
        "scopes": list(key.scopes),
        "metadata": dict(key.metadata),
        "expires": key.expires.isoformat() if key.expires else None,
    }
    return {"authenticated": key is not None, "key": shown, "error": error and {"code": error.code}}


_WITHOUT_KEY = _result(None)
