"""`gateway-auth`: resolve the client's gateway key. Our own action; its result is `actions.gateway_auth`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from pydantic import Field, field_validator

from ai_gateway_mw.accounts import DeclaredKey, DeclaredKeys, Keys, StoredKeys
from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.cel import Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AddressDenied, GatewayError, ScopeDenied, Unauthenticated
from ai_gateway_mw.keys import GatewayKey, Scope, result_of, scope_for, well_formed
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.usage import UnknownPrice


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
        enforce: bool = Field(True, description=ENFORCE)

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
        self._enforce = config.enforce
        self._sparing = runtime.sparing(self.name)
        self._keys: Keys = StoredKeys(runtime.stores.accounts, config.unknown_price)
        if config.keys:
            self._keys = DeclaredKeys([(key, runtime.template(key.value)) for key in config.keys])
            self._check(self._keys, runtime)
        else:
            runtime.needs.add("keys")

    @property
    def declared(self) -> Sequence[tuple[DeclaredKey, Template]]:
        """The keys that the policy itself declares, with the templates of their values."""
        return self._keys.templates if isinstance(self._keys, DeclaredKeys) else ()

    @staticmethod
    def _check(keys: DeclaredKeys, runtime: Runtime) -> None:
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
            ctx.publish_ours(self.name, result_of(None, error))
            if not self._enforce:
                self._sparing.note(ctx, error.without_trace())
            elif not self._continue:
                raise
            return
        if key is None and ctx.gateway_key is not None:
            return  # an action before this one has taken the credential, and what it found stands
        ctx.gateway_key = key
        ctx.publish_ours(self.name, key.result if key else _WITHOUT_KEY)

    async def _resolved(self, ctx: Context) -> GatewayKey | None:
        credential = ctx.presented_credential()
        if credential is None or not (self._required or credential.is_gateway_key):
            if self._required:
                raise Unauthenticated(reason="the request presents no key")
            return None  # a client's own provider key may pass
        presented = credential.secret.reveal()
        key = self._keys.known(presented, ctx) or await self._keys.find(presented, ctx)
        for name in credential.fields:
            ctx.request_fields.remove(name)
        self._check_scope(key, ctx)
        if key.allowed_ips is not None and not key.allows_address(ctx.client_ip):
            raise AddressDenied(str(ctx.client_ip or "unknown"), reason=f"the key `{key.name}` is for other addresses")
        self._keys.begin(key, ctx)
        return key

    def _check_scope(self, key: GatewayKey, ctx: Context) -> None:
        if self._scopes is None:
            check_scope_of_path(key, ctx)
            ctx.scoped_key = key
        elif key.permitted.isdisjoint(self._scopes):
            raise ScopeDenied(key.name, " or ".join(self._scopes))


def check_scope_of_path(key: GatewayKey, ctx: Context) -> None:
    """Raises `ScopeDenied` where the path needs a scope that the key has not."""
    needed = scope_for(ctx.method, ctx.route.path if ctx.route else ctx.path)
    if needed not in key.permitted:
        raise ScopeDenied(key.name, needed)


_WITHOUT_KEY: Final = result_of(None)
