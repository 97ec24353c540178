"""Stored keys under `ai-gateway run` with four workers: what another process does counts in all of them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.audit import Actor
from ai_gateway_mw.keys.store import NewKey
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from tests.fake_upstream import ThreadedUpstream, ok
from tests.gateways import CHAT
from tests.servers import GatewayProcess, serving

pytestmark = [pytest.mark.subprocess, pytest.mark.slow]

ALICE = Actor("cli:alice")
POLICY = """
on_http_request:
  - actions:
      - type: gateway-auth
      - type: custom-response
        config:
          body: fine
"""
BOUND = 20.0  # seconds; that it takes less than one is for the benchmark to say
CONNECTIONS = 32  # so many that each of the workers has some


@pytest.fixture
def served(tmp_path: Path) -> Iterator[GatewayProcess]:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    environment = {"AI_GATEWAY_DATA_DIR": str(tmp_path / "data")}
    with GatewayProcess("run", policy, "--workers", "4", environment=environment, directory=tmp_path) as running:
        yield running


@pytest.fixture
def clients(served: GatewayProcess) -> Iterator[list[httpx.Client]]:
    """Each has a connection of its own, which it keeps open."""
    with ExitStack() as stack:
        limits = httpx.Limits(max_connections=1)
        made = [httpx.Client(base_url=served.url, trust_env=False, limits=limits) for _ in range(CONNECTIONS)]
        yield [stack.enter_context(client) for client in made]


def statuses(clients: list[httpx.Client], text: str) -> set[int]:
    fields = {"authorization": f"Bearer {text}"}
    seen = {client.get("/v1/models", headers=fields).status_code for client in clients}
    return {401 if status == 429 else status for status in seen}  # which is said to who is wrong too often


def until(clients: list[httpx.Client], text: str, status: int) -> None:
    deadline = time.monotonic() + BOUND
    while (seen := statuses(clients, text)) != {status}:
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)


async def changed(data_dir: Path) -> tuple[Services, str]:
    opened = await Services.open(Settings(data_dir=data_dir))
    created = await opened.keys.create(NewKey(name="a"), ALICE)
    return opened, created.text


def test_what_another_process_does_to_a_key_counts_in_every_worker(clients: list[httpx.Client], tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        services, first = runner.run(changed(tmp_path / "data"))
        try:
            assert statuses(clients, first) == {200}  # at once
            second = runner.run(services.keys.rotate("a", ALICE, grace=timedelta(hours=1))).text
            assert statuses(clients, first) == statuses(clients, second) == {200}
            (old, _) = runner.run(services.keys.page())
            runner.run(services.keys.revoke(old.id, ALICE))
            until(clients, first, 401)
            assert statuses(clients, second) == {200}
            runner.run(services.keys.revoke("a", ALICE, compromised=True))
            until(clients, second, 401)
            for _ in range(3):
                assert statuses(clients, first) | statuses(clients, second) == {401}
            verdict = runner.run(services.audit.verify())
            assert verdict.whole
            events = [entry.event for entry in runner.run(services.audit.latest())]
            assert events.count("key.refused") == 2  # one for each key, whichever worker saw it first
        finally:
            runner.run(services.aclose())


STREAMING = """
on_http_request:
  - actions:
      - type: gateway-auth
      - type: ai-gateway
        config:
          providers:
            - id: openai
              base_url: {url}/v1
              api_keys:
                - value: sk-ok
"""


@contextmanager
def streaming(server: str, tmp_path: Path, upstream: ThreadedUpstream) -> Iterator[str]:
    """The URL of a gateway to this upstream: under our own server in its own process, or under uvicorn."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(STREAMING.format(url=upstream.url))
    data_dir = tmp_path / "data"
    if server == "uvicorn":
        with serving(Gateway.from_file(policy, data_dir=data_dir).app) as url:
            yield url
    else:
        environment = {"AI_GATEWAY_DATA_DIR": str(data_dir)}
        with GatewayProcess("run", policy, environment=environment, directory=tmp_path) as running:
            yield running.url


@pytest.mark.parametrize("server", ["ours", "uvicorn"])
def test_a_revocation_ends_an_open_stream_and_the_call_behind_it(
    server: str, tmp_path: Path, threaded_upstream: ThreadedUpstream
) -> None:
    threaded_upstream.on(ok(chunks=10, stall_after=4))
    with streaming(server, tmp_path, threaded_upstream) as url, asyncio.Runner() as runner:
        services, text = runner.run(changed(tmp_path / "data"))
        with httpx.Client(base_url=url, trust_env=False, timeout=BOUND) as client:
            asking: Any = {"json": {**CHAT, "stream": True}, "headers": {"authorization": f"Bearer {text}"}}
            with client.stream("POST", "/v1/chat/completions", **asking) as answer:
                pieces = answer.iter_bytes()
                first = next(pieces)
                runner.run(services.keys.revoke("a", ALICE))
                rest = b"".join([first, *pieces])
            again = client.post("/v1/chat/completions", **asking)
        runner.run(services.aclose())
        assert threaded_upstream.wait_over().closed_early
    assert answer.status_code == 200
    event = json.loads(rest.rstrip().rpartition(b"data: ")[2])
    assert (event["error"]["message"], event["error"]["code"]) == ("The API key was revoked.", "invalid_api_key")
    assert b"[DONE]" not in rest
    assert again.status_code == 401
    assert len(threaded_upstream.requests) == 1
