"""The life of a gateway key, as operators are told of it: made, used, limited, rotated, revoked; four workers, the
`openai` SDK, and a fake provider that keeps a ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import openai
import pytest

from ai_gateway_mw.audit import Actor, Event
from ai_gateway_mw.keys.store import KeyChanges, NewKey
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from tests.fake_upstream import TEXT, ThreadedUpstream, ok
from tests.servers import GatewayProcess

pytestmark = [pytest.mark.subprocess, pytest.mark.slow, pytest.mark.timeout(120)]

T = TypeVar("T")
ACTOR = Actor("cli:test")
POLICY = """\
on_http_request:
  - actions:
      - type: gateway-auth
      - type: ai-gateway
        config:
          providers: [{id: openai, base_url: BASE, api_keys: [{value: "${secrets.get('openai', 'key')}"}]}]
"""
REFUSED = (401, 429)  # the latter where an address has brought a dead key too often
SOON = 10.0  # seconds; the benchmark P6 judges how soon a revocation is seen


@pytest.fixture
def upstream() -> Iterator[ThreadedUpstream]:
    with ThreadedUpstream() as running:
        running.on(ok())
        yield running


@pytest.fixture
def gateway(upstream: ThreadedUpstream, tmp_path: Path) -> Iterator[GatewayProcess]:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.replace("BASE", f"{upstream.url}/v1"))
    environment = {"AI_GATEWAY_SECRET__OPENAI__KEY": "sk-ok", "AI_GATEWAY_DATA_DIR": str(tmp_path / "data")}
    with GatewayProcess("run", policy, "--workers", "4", environment=environment, directory=tmp_path) as running:
        yield running


def asked(tmp_path: Path, ask: Callable[[Services], Awaitable[T]]) -> T:
    """What the services of the installation answer, from a process that is no worker."""

    async def asking() -> T:
        async with await Services.open(Settings(data_dir=tmp_path / "data")) as services:
            return await ask(services)

    return asyncio.run(asking())


def client(gateway: GatewayProcess, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=30)


def say(gateway: GatewayProcess, key: str) -> str | int:
    """The answer, or the status of a refusal; over a connection of its own, so that any worker may get it."""
    with client(gateway, key) as sdk:
        try:
            answer = sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])
        except openai.APIStatusError as error:
            return error.status_code
    return answer.choices[0].message.content or ""


def becomes(expected: Any, of: Callable[[], Any]) -> None:
    """Whether that is the answer soon, and then always: all workers have heard of it."""
    ends = time.monotonic() + SOON
    in_a_row = 0
    while in_a_row < 12:
        found = of()
        in_a_row = in_a_row + 1 if found == expected else 0
        assert in_a_row or time.monotonic() < ends, f"{found!r} instead of {expected!r}"


def test_the_life_of_a_key(gateway: GatewayProcess, upstream: ThreadedUpstream, tmp_path: Path) -> None:
    # It is created with a name, and shown once.
    made = asked(tmp_path, lambda it: it.keys.create(NewKey(name="production-api-primary"), ACTOR))
    key_id, first = made.record.id, made.text
    assert all(say(gateway, first) == TEXT for _ in range(8))
    with client(gateway, first) as sdk:
        stream = sdk.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == TEXT
    assert say(gateway, "gw_sk_" + "0" * 38) == 401

    # It is limited: exactly so many requests pass, whichever worker takes them.
    limits = KeyChanges.model_validate({"limits": {"requests_per_hour": 25}})
    asked(tmp_path, lambda it: it.keys.update(key_id, limits, ACTOR))
    becomes(True, lambda: "x-ratelimit-limit-requests" in _head(gateway, first))
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: say(gateway, first), range(60)))
    assert set(results) == {TEXT, 429}
    before = len(upstream.requests)
    assert say(gateway, first) == 429
    assert len(upstream.requests) == before
    asked(tmp_path, lambda it: it.keys.update(key_id, KeyChanges(limits=None), ACTOR))
    becomes(TEXT, lambda: say(gateway, first))

    # It is rotated: both keys work during the grace, the old one not a moment longer.
    rotated = asked(tmp_path, lambda it: it.keys.rotate(key_id, ACTOR, grace=timedelta(seconds=6)))
    second = rotated.text
    assert [say(gateway, first), say(gateway, second)] == [TEXT, TEXT]
    becomes(True, lambda: say(gateway, first) in REFUSED)
    assert rotated.record.rotated_from == key_id
    assert say(gateway, second) == TEXT

    # It is revoked while streams are open: they end, with an error, and nothing passes after that.
    upstream.on(ok(chunks=400, gap=0.05))
    with client(gateway, second) as sdk:
        streams = [
            sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}], stream=True)
            for _ in range(4)
        ]
        revoked = lambda it: it.keys.revoke(rotated.record.id, ACTOR, compromised=True)  # noqa: E731
        asked(tmp_path, revoked)
        for stream in streams:
            with pytest.raises(openai.APIError):
                list(stream)
    becomes(True, lambda: say(gateway, second) in REFUSED)

    # Everything is written down, and adds up to what the provider has seen.
    gateway.stop()
    verdict = asked(tmp_path, lambda it: it.audit.verify())
    events = [entry.event for entry in asked(tmp_path, lambda it: it.audit.latest())]
    assert verdict.whole
    for event in (Event.KEY_CREATED, Event.KEY_CHANGED, Event.KEY_ROTATED, Event.KEY_REVOKED, Event.KEY_REFUSED):
        assert event in events
    usage = asked(tmp_path, lambda it: it.usage.by_model())
    sent = sum(row.figures.requests for row in usage if row.provider == "openai")
    assert sent == len(upstream.requests)


def _head(gateway: GatewayProcess, key: str) -> Any:
    with client(gateway, key) as sdk:
        raw = sdk.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=[{"role": "user", "content": "Hello"}]
        )
    return raw.headers
