"""`ai-gateway ip check`: whether an address is allowed, and by which entry of the policy and of a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from ai_gateway_mw.actions.restrict_ips import Entries, Entry, RestrictIPs, joined
from ai_gateway_mw.addresses import Address, Network, parse_address, parse_network
from ai_gateway_mw.cli.console import say, say_json, stop
from ai_gateway_mw.cli.installed import for_key
from ai_gateway_mw.cli.loading import gateway_or_stop, settings_or_stop
from ai_gateway_mw.errors import Place
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.policy import ActionSpec, Rule, validated

app = typer.Typer(add_completion=False, no_args_is_help=True)

Verdict = Literal["allowed", "refused", "unknown"]

_STYLES: Final = {"allowed": "green", "refused": "bold red", "unknown": "bold yellow"}


@dataclass(frozen=True, slots=True)
class Check:
    """What one action or one key says of an address. One that does not count is only told."""

    who: str
    verdict: Verdict
    why: str
    counts: bool = True
    place: Place | None = None
    where: str = ""
    entry: Entry | None = None

    @property
    def text(self) -> str:
        at = f" at {self.place}" if self.place else ""
        where = f", where {self.where}" if self.where else ""
        return f"{self.who}{at}{where}: {self.why}"

    def as_json(self) -> dict[str, Any]:
        found = self.entry
        entry = found and {"cidr": str(found.cidr), "label": found.label, "place": _shown(found.cidr.place_of())}
        return {
            "who": self.who,
            "verdict": self.verdict,
            "counts": self.counts,
            "place": _shown(self.place),
            "where": self.where,
            "entry": entry,
            "why": self.why,
        }


@app.callback()
def ip() -> None:
    """Tell whether an address is allowed."""


@app.command()
def check(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="An address, IPv4 or IPv6.")],
    policy: Annotated[Path, typer.Option("--policy", help="The policy whose `restrict-ips` actions are asked.")],
    key: Annotated[str | None, typer.Option("--key", help="Also ask this key: its id, or its name in use.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Tell whether an address is allowed, and by which entry. Ends with 1 where it is not, or not by every rule.

    The address that the gateway sees is what `GET /ip` of a running one answers.
    """
    asked = _address(address)
    gateway = gateway_or_stop(policy, settings_or_stop())
    checks = [*_of_policy(gateway, asked), *([_of_key(key, asked)] if key is not None else [])]
    allowed = all(one.verdict == "allowed" for one in checks if one.counts)
    if as_json:
        say_json({"address": str(asked), "allowed": allowed, "checks": [one.as_json() for one in checks]})
    else:
        _say(asked, checks, allowed=allowed)
    raise typer.Exit(0 if allowed else 1)


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError:
        return stop(f"`{text}` is no IP address; write one such as 203.0.113.7 or 2001:db8::1", code=2)


def _say(address: Address, checks: list[Check], *, allowed: bool) -> None:
    for one in checks:
        say(f"{one.verdict:<8} {one.text}", style=_STYLES[one.verdict] if one.counts else "dim")
    if not checks:
        say("Nothing here restricts addresses.")
    say(f"{address} is {'allowed' if allowed else 'not allowed'}.", style="bold green" if allowed else "bold red")


def _of_policy(gateway: Gateway, address: Address) -> Iterator[Check]:
    for rules in gateway.policy.rules.values():
        for rule in rules:
            yield from (
                _of_action(spec, rule, gateway, address) for spec in rule.actions if spec.type == RestrictIPs.name
            )


def _of_action(spec: ActionSpec, rule: Rule, gateway: Gateway, address: Address) -> Check:
    config = validated(RestrictIPs.Config, spec, gateway.policy.document)
    known = gateway.stores.ip_policies() if config.ip_policies else {}  # found good when the policy was loaded
    verdict, entry, why = _verdict(*joined(config, known), address)
    name = f"`{RestrictIPs.name}`" + (f" of rule `{rule.name}`" if rule.name else "")
    if not config.enforce:
        why += " (only observed: `enforce` is false)"
    where = " && ".join(rule.expressions)
    return Check(name, verdict, why, counts=config.enforce, place=spec.place, where=where, entry=entry)


def _verdict(allow: Entries, deny: Entries, address: Address) -> tuple[Verdict, Entry | None, str]:
    """What a request from there would meet. A range that is a template is known only when there is a request."""
    denied, open_ = _matching(deny, address)
    if denied is not None:
        return "refused", denied, denied.text("deny")
    if open_ is not None:
        return "unknown", open_, f"it depends on the request: {open_.text('deny')}"
    allowed, open_ = _matching(allow, address)
    if allowed is not None:
        return "allowed", allowed, allowed.text("allow")
    if open_ is not None:
        return "unknown", open_, f"it depends on the request: {open_.text('allow')}"
    return "refused", None, "it is in no `allow` range"


def _matching(items: Entries, address: Address) -> tuple[Entry | None, Entry | None]:
    """The first entry that holds the address, and the first that only a request can tell."""
    entries = [(Entry.of(item), _network(str(Entry.of(item).cidr))) for item in items]
    holding = (entry for entry, network in entries if network is not None and address in network)
    return next(holding, None), next((entry for entry, network in entries if network is None), None)


def _network(text: str) -> Network | None:
    """None for a template: any other text was found good when the policy was loaded."""
    try:
        return parse_network(text.strip())
    except ValueError:
        return None


def _of_key(key: str, address: Address) -> Check:
    record = for_key(key, lambda services: services.keys.get(key))
    who = f"key `{record.name}` ({record.id})"
    if record.allowed_ips is None:
        return Check(who, "allowed", "it may be used from anywhere")
    found = next((text for text in record.allowed_ips if address in parse_network(text)), None)
    if found is None:
        return Check(who, "refused", f"it may be used from {', '.join(record.allowed_ips) or 'nowhere'}")
    return Check(who, "allowed", f"it may be used from {found}")


def _shown(place: Place | None) -> str | None:
    return None if place is None else str(place)
