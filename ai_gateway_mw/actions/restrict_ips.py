"""`restrict-ips`: let in the addresses that the policy names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from pydantic import Field, model_validator

from ai_gateway_mw.addresses import Address, Network, Ranges, parse_network
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
        self._allow = _Ranges(config.allow, runtime, "allow")
        self._deny = _Ranges(config.deny, runtime, "deny") if config.deny else None

    async def __call__(self, ctx: Context) -> None:
        address = ctx.client_ip
        result = None
        if address is not None:
            denied = self._deny.result(address, ctx) if self._deny is not None else None
            result = denied or self._allow.result(address, ctx)
        result = result or _ELSEWHERE
        ctx.publish(self.name, result)
        if result["action"] == "allow":
            return
        if self._enforce:
            raise AddressDenied(str(address or "unknown"))
        _log.info("request %s: restrict-ips would have refused %s", ctx.id, address)


def _result(action: str, matched: str) -> Mapping[str, str]:
    return {"action": action, "matched_cidr": matched}


_ELSEWHERE = _result("deny", "")


class _Ranges:
    """Ranges of one list, and the action's result for what is in them: parsed at load where they are literal, for each
    exchange where they hold a template."""

    def __init__(self, texts: Sequence[TemplateText], runtime: Runtime, action: str) -> None:
        self._action = action
        self._templates: list[Template] = []
        self._redact = runtime.secrets.redact
        literal: list[Network] = []
        for text in texts:
            template = runtime.template(text)
            if not template.constant:
                self._templates.append(template)
                continue
            try:
                literal.append(parse_network(template.render(None).strip()))
            except ValueError as error:
                runtime.problem(f"invalid range: {error}", text.place_of())
        self._literal = Ranges(literal)
        self._results = [_result(action, str(network)) for network in literal]

    def result(self, address: Address, ctx: Context) -> Mapping[str, str] | None:
        """The result for an address that is in one of them, else None."""
        rendered = self._rendered(ctx) if self._templates else ()  # what gives no range refuses, wherever it stands
        place = self._literal.place_of(address)
        if place is not None:
            return self._results[place]
        return next((_result(self._action, str(network)) for network in rendered if address in network), None)

    def _rendered(self, ctx: Context) -> Sequence[Network]:
        try:
            return [parse_network(template.render(ctx).strip()) for template in self._templates]
        except ValueError as error:
            raise PolicyDenied(self._redact(f"restrict-ips: {error}")) from None
