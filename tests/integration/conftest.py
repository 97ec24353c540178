"""The real command `ai-gateway run` between a real SDK and a fake provider: one process for the tests of a module.

A module says in `PROVIDERS` which providers there are, by id: their keys, and what else the policy says of them. What
the gateway learns about a key stays with the key, so every test that makes keys fail has a provider of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fake_upstream import ThreadedUpstream
from tests.servers import GatewayProcess


@pytest.fixture(scope="module")
def provider() -> Iterator[ThreadedUpstream]:
    with ThreadedUpstream() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    request: pytest.FixtureRequest, provider: ThreadedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """The command at work; its policy names secrets, and the secrets are in its environment."""
    directory = tmp_path_factory.mktemp("gateway")
    providers, environment = [], {}
    for name, described in request.module.PROVIDERS.items():
        entry: dict[str, Any] = {"id": name, "base_url": provider.url + described.get("path", "/v1")}
        entry |= {field: value for field, value in described.items() if field not in ("keys", "path")}
        for number, key in enumerate(described.get("keys", ())):
            entry.setdefault("api_keys", []).append({"value": f"${{secrets.get('{name}', 'key-{number}')}}"})
            environment[f"AI_GATEWAY_SECRET__{name.upper().replace('-', '_')}__KEY_{number}"] = key
        providers.append(entry)
    config = {"providers": providers, "per_request_timeout": "10s"}
    policy = directory / "policy.yaml"
    policy.write_text(json.dumps({"on_http_request": [{"actions": [{"type": "ai-gateway", "config": config}]}]}))
    with GatewayProcess("run", policy, environment=environment, directory=directory) as process:
        yield process


@pytest.fixture
def ledger(provider: ThreadedUpstream) -> ThreadedUpstream:
    """The provider, with the requests of this test only."""
    provider.requests.clear()
    return provider
