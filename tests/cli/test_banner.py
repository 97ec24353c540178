"""What `run` says of itself when it starts."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw.cli import banner
from ai_gateway_mw.cli.serving import Options
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.secrets import MemorySource, SecretStore
from ai_gateway_mw.version import VERSION

KEY = {"value": "${secrets.get('openai', 'primary')}"}
THERE = SecretStore([MemorySource({"openai": {"primary": "sk-do-not-show-this"}})])


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def public() -> Iterator[socket.socket]:
    with socket.create_server(("0.0.0.0", 0)) as sock:
        yield sock


def _gateway(config: dict[str, Any], *before: dict[str, Any]) -> Gateway:
    actions = [*before, {"type": "ai-gateway", "config": config}]
    return Gateway.from_policy({"on_http_request": [{"actions": actions}]}, secrets=THERE)


def test_where_it_listens_and_what_it_uses(sock: socket.socket) -> None:
    gateway = _gateway({})
    options = Options(Path("policies/team.yaml"), workers=3, watch=True)
    said = list(banner.lines(gateway, options, sock))
    port = sock.getsockname()[1]
    assert said[0] == ("ai-gateway", f"{VERSION} listens on http://127.0.0.1:{port} with 3 workers")
    assert said[1] == ("policy", "policies/team.yaml, reloaded when it changes")
    assert ("secrets", "values given in code") in said


def test_where_stored_keys_are(sock: socket.socket) -> None:
    said = list(banner.lines(_gateway({}), Options(Path("p.yaml")), sock, ".ai-gateway/gateway.db, 3 in use"))
    assert ("keys", ".ai-gateway/gateway.db, 3 in use") in said
    assert "keys" not in dict(banner.lines(_gateway({}), Options(Path("p.yaml")), sock))


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "every built-in one"),
        (
            {"providers": [{"id": "openai", "api_keys": [KEY, KEY]}, {"id": "anthropic", "api_keys": [KEY]}]},
            "openai (2 keys), anthropic (1 key), every other one that is built in, with the caller's key",
        ),
        ({"providers": [{"id": "openai"}], "only_allow_configured_providers": True}, "openai (the caller's key)"),
    ],
    ids=["none", "with keys", "only these"],
)
def test_providers_and_the_number_of_their_keys(sock: socket.socket, config: dict[str, Any], text: str) -> None:
    assert ("providers", text) in list(banner.lines(_gateway(config), Options(Path("p.yaml")), sock))


def test_an_ipv6_address_stands_in_brackets() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as sock:
        assert banner.url(sock) == f"http://[::1]:{sock.getsockname()[1]}"


def test_it_warns_of_provider_keys_for_everybody(public: socket.socket) -> None:
    gateway = _gateway({"providers": [{"id": "openai", "api_keys": [KEY]}]})
    (warning,) = banner.warnings(gateway, public)
    assert "it has no `gateway-auth` action" in warning.message


@pytest.mark.parametrize(
    ("before", "keys"), [([{"type": "gateway-auth"}], [KEY]), ([], [])], ids=["authenticated", "no keys"]
)
def test_it_does_not_warn_otherwise(public: socket.socket, before: list[dict[str, Any]], keys: list[Any]) -> None:
    gateway = _gateway({"providers": [{"id": "openai", "api_keys": keys}]}, *before)
    assert list(banner.warnings(gateway, public)) == []


def test_it_does_not_warn_where_only_this_machine_gets_in(sock: socket.socket) -> None:
    gateway = _gateway({"providers": [{"id": "openai", "api_keys": [KEY]}]})
    assert list(banner.warnings(gateway, sock)) == []
