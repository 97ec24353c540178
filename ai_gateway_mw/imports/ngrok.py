"""Configurations of the ngrok agent, versions 2 and 3, and policies that stand alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.imports.policies import PolicyImport, internal_upstreams
from ai_gateway_mw.imports.result import Imported
from ai_gateway_mw.policy import Node, load_nodes
from ai_gateway_mw.stores import Stores

_UPSTREAM: Final = "put the gateway around the app that listens there, or name it as the `base_url` of a provider"
_ADDRESS: Final = "serve the policy under that name: `ai-gateway run`, behind your own proxy or load balancer"
_AGENT: Final = "leave it out: there is no agent here"
_CERTIFICATES: Final = (
    "have the server ask for client certificates (uvicorn: --ssl-ca-certs), and read `conn.tls.client`"
)
_INSTEAD: Final = {
    **dict.fromkeys(("upstream", "addr"), _UPSTREAM),
    **dict.fromkeys(("url", "hostname", "domain", "subdomain", "schemes", "host_header", "remote_addr"), _ADDRESS),
    **dict.fromkeys(("mutual_tls_cas", "crt", "key", "terminate_at"), _CERTIFICATES),
    "labels": "edges are no more; write their modules as rules",
}
_NO_LOSS: Final = frozenset({"name", "version", "proto", "description", "metadata", "inspect", "bindings"})
_POLICY_KEYS: Final = ("traffic_policy", "policy", "policies", "traffic_policy_file")
_PROVIDERS: Final = ("verify_webhook_provider", "verify_webhook_secret")


def import_policy(root: Node, path: Path, stores: Stores) -> Imported:
    """A policy that stands alone: legacy names become those of today, and secrets go."""
    imported = Imported("policy")
    node = root.children.get("traffic_policy", root)
    if policy := PolicyImport(imported, stores).carried(node):
        imported.add(path.stem, policy, path.name)
    return imported


def import_agent(root: Node, path: Path, stores: Stores) -> Imported:
    """One policy for each endpoint (version 3) or tunnel (version 2) that has one, or options that make one."""
    imported = Imported("ngrok agent configuration")
    endpoints = root.children["endpoints"].items if "endpoints" in root.children else ()
    policies = PolicyImport(imported, stores, internal_upstreams(endpoints, ("url",), ("upstream", "url")))
    for key, node in root.children.items():
        if key == "endpoints":
            for endpoint in node.items:
                _Endpoint(endpoint, path, policies, imported).add(_name(endpoint))
        elif key == "tunnels":
            for name, tunnel in node.children.items():
                _Endpoint(tunnel, path, policies, imported).add(str(name))
        elif key != "version":
            imported.remark(root.key_place(key), f"`{key}` belongs to the ngrok agent", _AGENT)
    if not imported.policies:
        imported.remark(root.place, "no endpoint of this file has a policy")
    return imported


def _name(endpoint: Node) -> str:
    for key in ("name", "url"):
        if key in endpoint.children:
            text = str(endpoint.children[key].text)
            return (urlsplit(text).netloc or text) if key == "url" else text
    return "endpoint"


class _Endpoint:
    """One endpoint or tunnel."""

    def __init__(self, node: Node, path: Path, policies: PolicyImport, imported: Imported) -> None:
        self._node = node
        self._path = path
        self._policies = policies
        self._imported = imported

    def add(self, name: str) -> None:
        policy: dict[str, Any] = {}
        for held in self._held():
            for phase, rules in self._policies.carried(held).items():
                policy.setdefault(phase, []).extend(rules)
        self._add_options(policy)
        if policy:
            self._imported.add(name, policy, f"endpoint {name}")
        for key in self._node.children:
            if key in _INSTEAD:
                message = f"`{key}` of {name} has no meaning here"
                self._imported.remark(self._node.key_place(key), message, _INSTEAD[str(key)])
            elif key not in _NO_LOSS and key not in _POLICY_KEYS and key not in _OPTIONS and key not in _PROVIDERS:
                self._imported.remark(self._node.key_place(key), f"`{key}` of {name} was left out")

    def _held(self) -> Iterator[Node]:
        """The policies that it has, or names."""
        for key in ("traffic_policy", "policy", "policies"):
            if key in self._node.children:
                yield self._node.children[key]
        if "traffic_policy_file" in self._node.children:
            named = self._node.children["traffic_policy_file"]
            try:
                yield from load_nodes(self._path.parent / str(named.text))[:1]
            except PolicyError as error:
                message = f"`{named.text}` cannot be read: {error.problems[0].message}"
                self._imported.remark(named.place, message, "import that file by itself")

    def _add_options(self, policy: dict[str, Any]) -> None:
        """Options of version 2, in the order in which the agent's modules ran, as rules before all others."""
        made: dict[str, list[Any]] = {}
        for key, (phase, action) in _OPTIONS.items():
            node = self._node.children.get(key)
            written = action(node, self._node) if node is not None and node.value not in (None, False, []) else None
            if node is None or written is None:
                continue
            carried = self._policies.written(phase, written, node)
            made.setdefault(phase, []).extend(carried)
        for phase, rules in made.items():
            policy[phase] = rules + policy.get(phase, [])


def _restrict(node: Node, _: Node) -> dict[str, Any]:
    deny, allow = (_texts(node, key) for key in ("deny_cidrs", "allow_cidrs"))
    allow = allow or ["0.0.0.0/0", "::/0"]
    return {"type": "restrict-ips", "config": {"allow": allow, **({"deny": deny} if deny else {})}}


def _basic_auth(node: Node, _: Node) -> dict[str, Any]:
    return {"type": "basic-auth", "config": {"credentials": [str(item.text) for item in node.items]}}


def _oauth(node: Node, _: Node) -> dict[str, Any]:
    return {"type": "oauth", "config": _plain(node)}


def _plain(node: Node) -> Any:
    """All that is written there, so that what nobody knows is not lost, but refused."""
    if isinstance(node.value, dict):
        return {str(key): _plain(item) for key, item in node.children.items()}
    if isinstance(node.value, list):
        return [_plain(item) for item in node.items]
    return str(node.value) if isinstance(node.value, str) else node.value


def _webhook(node: Node, tunnel: Node) -> dict[str, Any]:
    found = {key: str(at.text) for key, at in node.children.items() if not at.children}
    if not found:
        secret = tunnel.children.get("verify_webhook_secret")
        found = {"provider": str(node.text), "secret": str(secret.text) if secret else ""}
    return {"type": "verify-webhook", "config": found}


def _circuit_breaker(node: Node, _: Node) -> dict[str, Any]:
    return {"type": "circuit-breaker", "config": {"error_threshold": node.value}}


def _add(node: Node, _: Node) -> dict[str, Any] | None:
    pairs = [text.partition(":") for text in _texts(node, "add")]
    headers = {name.strip(): value.strip() for name, _, value in pairs}
    return {"type": "add-headers", "config": {"headers": headers}} if headers else None


def _remove(node: Node, _: Node) -> dict[str, Any] | None:
    names = _texts(node, "remove")
    return {"type": "remove-headers", "config": {"headers": names}} if names else None


def _compress(_: Node, __: Node) -> dict[str, Any]:
    return {"type": "compress-response"}


def _texts(node: Node, key: str) -> list[str]:
    held = node.children.get(key)
    return [str(item.text) for item in held.items] if held else []


def _headers(node: Node, tunnel: Node) -> list[dict[str, Any]]:
    return [made for made in (_remove(node, tunnel), _add(node, tunnel)) if made]


_OPTIONS: Final[dict[str, tuple[str, Callable[[Node, Node], Any]]]] = {
    "ip_restriction": ("on_http_request", _restrict),
    "basic_auth": ("on_http_request", _basic_auth),
    "oauth": ("on_http_request", _oauth),
    "oidc": ("on_http_request", lambda node, _: {"type": "openid-connect", "config": _plain(node)}),
    "saml": ("on_http_request", lambda node, _: {"type": "saml", "config": _plain(node)}),
    "verify_webhook": ("on_http_request", _webhook),
    "verify_webhook_provider": ("on_http_request", _webhook),
    "circuit_breaker": ("on_http_request", _circuit_breaker),
    "request_header": ("on_http_request", _headers),
    "response_header": ("on_http_response", _headers),
    "compression": ("on_http_response", _compress),
}
