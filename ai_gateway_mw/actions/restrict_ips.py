"""`restrict-ips`: let in the addresses that the policy names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import Field, model_validator

from ai_gateway_mw.actions.enforcing import ENFORCE
from ai_gateway_mw.addresses import Address, Network, Ranges, parse_network
from ai_gateway_mw.cel import Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AddressDenied, PolicyDenied, PolicyError, closest
from ai_gateway_mw.facts import IPPolicy
from ai_gateway_mw.policy import ActionConfig, Phase, TemplateText, Text
from ai_gateway_mw.runtime import Runtime

_NOBODY: Final = "at least one `allow` range is needed; `0.0.0.0/0` and `::/0` let in all the others"
_NO_RANGES: Final = IPPolicy()


class Entry(ActionConfig):
    """A range, with what people call it."""

    cidr: TemplateText = Field(description="CIDR range (RFC 4632).")
    label: str = Field("", description="What logs and the action's result call it, as `matched_label`.", max_length=100)
    comment: str = Field("", description="For those who read the policy; nothing else reads it.")

    @classmethod
    def of(cls, item: TemplateText | Entry) -> Entry:
        """An entry in full, whichever way it is written."""
        return item if isinstance(item, Entry) else cls.model_construct(cidr=item)

    def text(self, action: str) -> str:
        """The entry as logs name it, with its place in the file."""
        label = f" ({self.label})" if self.label else ""
        return f"`{action}` {self.cidr}{label} at {self.cidr.place_of()}"


Entries = tuple[TemplateText | Entry, ...]


class RestrictIPs:
    """Refuse a client whose address is in no `allow` range, or in a `deny` range."""

    name = "restrict-ips"
    phases = frozenset({Phase.ON_TCP_CONNECT, Phase.ON_HTTP_REQUEST, Phase.ON_HTTP_RESPONSE})
    guards = True

    class Config(ActionConfig):
        enforce: bool = Field(True, description=ENFORCE)
        allow: Entries = Field((), description="CIDR ranges (RFC 4632) of addresses to let in, alone or with labels.")
        deny: Entries = Field((), description="CIDR ranges to refuse, also within `allow`.")
        ip_policies: tuple[Text, ...] = Field(
            (), description="Ids of IP policies, whose ranges join these: the setting `IP_POLICIES` has them."
        )

        @model_validator(mode="after")
        def _lets_somebody_in(self) -> RestrictIPs.Config:
            if not (self.allow or self.ip_policies):
                raise ValueError(_NOBODY)
            return self

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._enforce = config.enforce
        self._sparing = runtime.sparing(self.name)
        known = _known(config, runtime)
        allow, deny = joined(config, known)
        if not allow and all(text in known for text in config.ip_policies):
            runtime.problem(_NOBODY, field=("ip_policies",))
        self._allow = _Ranges(allow, runtime, "allow")
        self._deny = _Ranges(deny, runtime, "deny") if deny else None

    async def __call__(self, ctx: Context) -> None:
        address = ctx.client_ip
        found = None
        if address is not None:
            denied = self._deny.match(address, ctx) if self._deny is not None else None
            found = denied or self._allow.match(address, ctx)
        found = found or _NOWHERE
        ctx.publish(self.name, found.result)
        if found.action == "allow":
            return
        why = found.entry.text("deny") if found.entry is not None else "it is in no `allow` range"
        refusal = AddressDenied(str(address or "unknown"), reason=f"{address or 'an unknown address'}: {why}")
        if self._enforce:
            raise refusal
        self._sparing.note(ctx, refusal, refusal.reason)


def joined(config: RestrictIPs.Config, known: Mapping[str, IPPolicy]) -> tuple[Entries, Entries]:
    """What is let in and what is refused, with the ranges of the IP policies; their ids are the labels of these."""
    allow, deny = list(config.allow), list(config.deny)
    for text in config.ip_policies:
        policy = known.get(text, _NO_RANGES)
        allow += [_of_policy(text, network) for network in policy.allow]
        deny += [_of_policy(text, network) for network in policy.deny]
    return tuple(allow), tuple(deny)


def _of_policy(text: Text, network: Network) -> Entry:
    return Entry.model_construct(cidr=TemplateText(str(network), text.span), label=str(text))


def _known(config: RestrictIPs.Config, runtime: Runtime) -> Mapping[str, IPPolicy]:
    """The IP policies that there are; those that are named and are not there are problems."""
    if not config.ip_policies:
        return {}
    try:
        known = runtime.stores.ip_policies()
    except PolicyError as error:
        runtime.problems.extend(problem for problem in error.problems if problem not in runtime.problems)
        return {}
    for text in config.ip_policies:
        if text not in known:
            runtime.problem(
                f"the IP policy `{text}` is not known: it lives in an ngrok account, and the setting "
                "AI_GATEWAY_IP_POLICIES does not say which ranges it has",
                text.place_of(),
                hint=closest(text, known),
            )
    return known


@dataclass(frozen=True, slots=True)
class _Match:
    """The entry that an address is in, and what that does."""

    action: str
    cidr: str = ""
    entry: Entry | None = None
    result: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        label = self.entry.label if self.entry is not None else ""
        error = {"code": "", "message": ""}
        result = {"action": self.action, "matched_cidr": self.cidr, "matched_label": label, "error": error}
        object.__setattr__(self, "result", result)


_NOWHERE = _Match("deny")


class _Ranges:
    """Ranges of one list, and what each does to an address in it: parsed at load where they are literal, for each
    exchange where they hold a template."""

    def __init__(self, items: Entries, runtime: Runtime, action: str) -> None:
        self._action = action
        self._templates: list[tuple[Template, Entry]] = []
        self._redact = runtime.secrets.redact
        literal: list[tuple[Network, Entry]] = []
        for entry in map(Entry.of, items):
            template = runtime.template(entry.cidr)
            if not template.constant:
                self._templates.append((template, entry))
                continue
            try:
                literal.append((parse_network(template.render(None).strip()), entry))
            except ValueError as error:
                runtime.problem(f"invalid range: {error}", entry.cidr.place_of())
        self._literal = Ranges(network for network, _ in literal)
        self._matches = [_Match(action, str(network), entry) for network, entry in literal]

    def match(self, address: Address, ctx: Context) -> _Match | None:
        """The one of them that an address is in, if any."""
        rendered = self._rendered(ctx) if self._templates else ()  # what gives no range refuses, wherever it stands
        place = self._literal.place_of(address)
        if place is not None:
            return self._matches[place]
        found = next(((network, entry) for network, entry in rendered if address in network), None)
        return found and _Match(self._action, str(found[0]), found[1])

    def _rendered(self, ctx: Context) -> Sequence[tuple[Network, Entry]]:
        try:
            return [(parse_network(template.render(ctx).strip()), entry) for template, entry in self._templates]
        except ValueError as error:
            raise PolicyDenied(self._redact(f"restrict-ips: {error}")) from None
