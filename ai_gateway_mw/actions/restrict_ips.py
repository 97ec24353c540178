"""`restrict-ips`: let in the addresses that the policy names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from ai_gateway_mw.addresses import Network, parse_network, within
from ai_gateway_mw.cel import Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AddressDenied, PolicyDenied
from ai_gateway_mw.policy import ActionConfig, Phase, TemplateText
from ai_gateway_mw.runtime import Runtime

_log = logging.getLogger("ai_gateway_mw.policy")


class RestrictIPs:
    """Refuse a client whose address is in no `allow` range, or in a `deny` range."""

    name = "restrict-ips"
    phases = frozenset({Phase.ON_TCP_CONNECT, Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE})

    class Config(ActionConfig):
        enforce: bool = Field(True, description="False: only publish and log what would have been refused.")
        allow: tuple[TemplateText, ...] = Field((), description="CIDR ranges (RFC 4632) of addresses to let in.")
        deny: tuple[TemplateText, ...] = Field((), description="CIDR ranges to refuse, also within `allow`.")
        ip_policies: tuple[str, ...] = Field((), description="Ids of ngrok IP policies; there are none here.")

        @model_validator(mode="after")
        def _lets_somebody_in(self) -> RestrictIPs.Config:
            if self.ip_policies:
                raise ValueError(
                    f"the IP policy `{self.ip_policies[0]}` lives in an ngrok account: list its ranges under `allow`"
                )
            if not self.allow:
                raise ValueError("at least one `allow` range is needed; `0.0.0.0/0` and `::/0` let in all the others")
            return self

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._enforce = config.enforce
        self._allow = _Ranges(config.allow, runtime)
        self._deny = _Ranges(config.deny, runtime)

    async def __call__(self, ctx: Context) -> None:
        address = ctx.client_ip
        denied = within(address, self._deny.networks(ctx)) if address else None
        allowed = within(address, self._allow.networks(ctx)) if address else None
        permitted = allowed is not None and denied is None
        result: dict[str, Any] = {
            "action": "allow" if permitted else "deny",
            "matched_cidr": str(denied or allowed or ""),
        }
        ctx.publish(self.name, result)
        if permitted:
            return
        if self._enforce:
            raise AddressDenied(str(address or "unknown"))
        _log.info("request %s: restrict-ips would have refused %s", ctx.id, address)


class _Ranges:
    """Ranges of one list: parsed at load where they are literal, for each exchange where they hold a template."""

    def __init__(self, texts: Sequence[TemplateText], runtime: Runtime) -> None:
        self._literal: list[Network] = []
        self._templates: list[Template] = []
        self._redact = runtime.secrets.redact
        for text in texts:
            template = runtime.template(text)
            if not template.constant:
                self._templates.append(template)
                continue
            try:
                self._literal.append(parse_network(template.render(None).strip()))
            except ValueError as error:
                runtime.problem(f"invalid range: {error}", text.place_of())

    def networks(self, ctx: Context) -> Sequence[Network]:
        if not self._templates:
            return self._literal
        try:
            return [*self._literal, *(parse_network(template.render(ctx).strip()) for template in self._templates)]
        except ValueError as error:
            raise PolicyDenied(self._redact(f"restrict-ips: {error}")) from None
