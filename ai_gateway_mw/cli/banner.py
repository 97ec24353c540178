"""What `run` says when it starts: where it listens, and what it uses. Names only; no value of a secret is asked for."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

from ai_gateway_mw.cli.serving import Options
from ai_gateway_mw.errors import Problem
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.policy import ActionSpec, Policy, validated
from ai_gateway_mw.upstream.config import AIGatewayConfig
from ai_gateway_mw.version import VERSION


def lines(gateway: Gateway, options: Options, sock: socket.socket, keys: str = "") -> Iterator[tuple[str, str]]:
    """Labels and what stands behind them; `keys` is where stored keys are."""
    processes = f" with {options.workers} workers" if options.workers > 1 else ""
    yield "ai-gateway", f"{VERSION} listens on {url(sock)}{processes}"
    yield "policy", f"{options.file}{', reloaded when it changes' if options.watch else ''}"
    for config in _gateways(gateway.policy):
        yield "providers", _providers(config)
    if keys:
        yield "keys", keys
    for number, source in enumerate(gateway.stores.secrets.sources):
        yield "" if number else "secrets", source.describe()


def url(sock: socket.socket) -> str:
    """Where a client on this machine reaches the socket."""
    host, port, *_ = sock.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def warnings(gateway: Gateway, sock: socket.socket) -> Iterator[Problem]:
    """What is probably not meant, or not there yet."""
    yield from gateway.settings.warnings
    yield from gateway.warnings
    yield from (Problem(str(error), severity="warning") for error in gateway.missing_secrets())
    if exposed(gateway.policy, sock):
        message = f"whoever reaches {url(sock)} uses this policy's provider keys: it has no `gateway-auth` action"
        yield Problem(message, severity="warning")


def exposed(policy: Policy, sock: socket.socket) -> bool:
    """Whether provider keys serve everybody who reaches a port that other machines reach."""
    address = ipaddress.ip_address(sock.getsockname()[0].partition("%")[0])
    if address.is_loopback or _specs(policy, "gateway-auth"):
        return False
    return any(provider.api_keys for config in _gateways(policy) for provider in config.providers)


def _providers(config: AIGatewayConfig) -> str:
    named = [f"{provider.id} ({_keys(len(provider.api_keys))})" for provider in config.providers]
    if not config.only_allow_configured_providers:
        named.append("every other one that is built in, with the caller's key" if named else "every built-in one")
    return ", ".join(named)


def _keys(number: int) -> str:
    return {0: "the caller's key", 1: "1 key"}.get(number, f"{number} keys")


def _gateways(policy: Policy) -> list[AIGatewayConfig]:
    return [validated(AIGatewayConfig, spec, policy.document) for spec in _specs(policy, "ai-gateway")]


def _specs(policy: Policy, type_: str) -> list[ActionSpec]:
    rules = [rule for rules in policy.rules.values() for rule in rules]
    return [spec for rule in rules for spec in rule.actions if spec.type == type_]
