"""An exchange that is over is freed at once: what only the cycle collector can free costs a pause, and memory until
then."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CoroutineType, FrameType, FunctionType, GeneratorType, MethodType
from typing import Any

import pytest

from ai_gateway_mw import AuthMiddleware, FailoverMiddleware, Gateway, KeySelectionMiddleware, PassthroughMiddleware
from ai_gateway_mw.asgi import replaying
from ai_gateway_mw.audit import Actor
from ai_gateway_mw.errors import GatewayError
from ai_gateway_mw.keys.store import NewKey
from ai_gateway_mw.limits import LimitsDocument
from ai_gateway_mw.secrets import MemorySource, SecretStore
from ai_gateway_mw.services import Services
from ai_gateway_mw.settings import Settings
from tests.asgi import Exchange, http_scope, request
from tests.fake_upstream import Upstream, ok
from tests.gateways import CHAT, CHAT_PATH, KEY, Host, actions, bearer, secret_store

pytestmark = pytest.mark.anyio

STREAM = {**CHAT, "stream": True}
OURS = "ai_gateway_mw"
RULES = [
    {"expressions": ["hasReqHeader('x-deny')"], "actions": [{"type": "deny"}]},
    {"expressions": ["hasReqHeader('x-broken') && getReqHeader('x-none')[0] == ''"], "actions": [{"type": "deny"}]},
]
REPORT = {
    "expressions": ["actions.ngrok.ai_gateway.status == 'success'"],
    "actions": [{"type": "add-headers", "config": {"headers": {"x-status": "${actions.ngrok.ai_gateway.status}"}}}],
}


def gateway(upstream: Upstream, *keys: str, report: bool = False, **config: Any) -> Gateway:
    provider = {"id": "openai", "base_url": f"{upstream.url}/v1", "api_keys": [{"value": key} for key in keys]}
    strategy = {"strategy": ["ai.keys.filter(k, k.error_rate.total < 0.5)", "ai.keys"]}
    action = {"type": "ai-gateway", "config": {"providers": [provider], "api_key_selection": strategy, **config}}
    allow = {"type": "restrict-ips", "config": {"allow": ["127.0.0.0/8"]}}
    policy = {"on_http_request": [*RULES, {"actions": [allow, action]}], "on_http_response": [REPORT] if report else []}
    return Gateway.from_policy(policy, secrets=SecretStore([MemorySource({})]))


@contextmanager
def no_garbage() -> Iterator[None]:
    """Whatever of ours became unreachable meanwhile was freed without the cycle collector."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        found = [_name(each) for each in gc.garbage if _is_ours(each)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert found == []


def _is_ours(thing: object) -> bool:
    if isinstance(thing, MethodType):
        return _is_ours(thing.__self__)
    if isinstance(thing, FunctionType):
        return thing.__module__.startswith(OURS)
    if isinstance(thing, (CoroutineType, GeneratorType, FrameType)):
        return f"/{OURS}/" in _code(thing).co_filename
    return type(thing).__module__.startswith(OURS)


def _code(thing: CoroutineType[Any, Any, Any] | GeneratorType[Any, Any, Any] | FrameType) -> Any:
    return next(getattr(thing, name) for name in ("cr_code", "gi_code", "f_code") if hasattr(thing, name))


def _name(thing: object) -> str:
    return getattr(thing, "__qualname__", type(thing).__qualname__)


async def good_json(app: Any) -> None:
    assert (await request(app, "POST", CHAT_PATH, json=CHAT)).status == 200


async def stream(app: Any) -> None:
    assert (await request(app, "POST", CHAT_PATH, json=STREAM)).body.endswith(b"data: [DONE]\n\n")


async def stream_ended_by_a_rule(app: Any) -> None:
    answer = await request(app, "POST", CHAT_PATH, json=STREAM, headers={"x-end": "1"})
    assert b"denied" in answer.body


async def stream_ended_by_a_failed_expression(app: Any) -> None:
    answer = await request(app, "POST", CHAT_PATH, json=STREAM, headers={"x-fail": "1"})
    assert b"policy_denied" in answer.body


async def unreadable(app: Any) -> None:
    assert (await request(app, "POST", CHAT_PATH, json=CHAT, headers={"x-unreadable": "1"})).status == 500


async def client_gone_while_its_answer_is_held(app: Any) -> None:
    async with Exchange(app, method="POST", path=CHAT_PATH, json=CHAT) as ex:
        await ex.disconnect()


async def denied(app: Any) -> None:
    assert (await request(app, "POST", CHAT_PATH, json=CHAT, headers={"x-deny": "1"})).status == 403


async def broken_rule(app: Any) -> None:
    assert (await request(app, "POST", CHAT_PATH, json=CHAT, headers={"x-broken": "1"})).status == 403


async def bad_body(app: Any) -> None:
    assert (await request(app, "POST", CHAT_PATH, body=b"{")).status == 400


async def address_refused(app: Any) -> None:
    assert (await request(app, "POST", CHAT_PATH, json=CHAT, client=("192.0.2.1", 1))).status == 403


async def unknown_path(app: Any) -> None:
    assert (await request(app, "GET", "/nothing")).status == 404


async def exhausted(app: Any) -> None:
    assert (await request(app, "POST", CHAT_PATH, json=CHAT)).status >= 400


async def client_gone_before_the_answer(app: Any) -> None:
    async with Exchange(app, method="POST", path=CHAT_PATH, json=CHAT) as ex:
        await ex.disconnect()


async def client_gone_in_the_stream(app: Any) -> None:
    async with Exchange(app, method="POST", path=CHAT_PATH, json=STREAM) as ex:
        await ex.start()
        await ex.body()
        await ex.disconnect()


async def cut_stream(app: Any) -> None:
    assert b"error" in (await request(app, "POST", CHAT_PATH, json=STREAM)).body


@pytest.mark.parametrize(
    ("keys", "ask"),
    [
        pytest.param(["sk-ok"], good_json, id="good answer"),
        pytest.param(["sk-ok"], stream, id="stream"),
        pytest.param(["sk-ok"], denied, id="refused by a rule"),
        pytest.param(["sk-ok"], broken_rule, id="refused by a failed expression"),
        pytest.param(["sk-ok"], bad_body, id="bad body"),
        pytest.param(["sk-ok"], address_refused, id="address refused"),
        pytest.param(["sk-ok"], unknown_path, id="unknown path"),
        pytest.param(["sk-429", "sk-ok"], good_json, id="failover after a 429"),
        pytest.param(["sk-close", "sk-ok"], stream, id="failover after a closed connection"),
        pytest.param(["sk-500", "sk-close-b"], exhausted, id="nobody left"),
        pytest.param(["sk-hang"], client_gone_before_the_answer, id="client gone before the answer"),
        pytest.param(["sk-stall-after-3"], client_gone_in_the_stream, id="client gone in the stream"),
        pytest.param(["sk-cut-after-3"], cut_stream, id="stream cut"),
    ],
)
@pytest.mark.parametrize("report", [False, True], ids=["", "result read"])
async def test_an_exchange_leaves_nothing_to_the_cycle_collector(
    upstream: Upstream, keys: list[str], ask: Callable[[Any], Awaitable[None]], report: bool
) -> None:
    made = gateway(upstream, *keys, report=report)
    async with made.lifespan():
        await ask(made.app)  # what is made once is no garbage of an exchange
        with no_garbage():
            for _ in range(3):
                await ask(made.app)


BROKEN = "${[''][req.content_length]}"
EDITS = {
    "on_http_response": [
        {
            "actions": [
                {"type": "response-body-find-replace", "config": {"replacements": [{"from": "fake", "to": "real"}]}},
                {"type": "redact"},
            ]
        },
        {
            "expressions": ["hasReqHeader('x-unreadable')"],
            "actions": [
                {
                    "type": "response-body-find-replace",
                    "config": {"replacements": [{"from": "${[''][req.content_length]}"}]},
                }
            ],
        },
    ],
    "on_event_stream_message": [
        {"actions": [{"type": "redact"}, {"type": "log", "config": {"metadata": {"t": "${ai.response.text}"}}}]},
        {"expressions": ["hasReqHeader('x-end') && sse.data == '[DONE]'"], "actions": [{"type": "deny"}]},
        {"expressions": ["hasReqHeader('x-fail') && sse.json.nothing == 1"], "actions": [{"type": "deny"}]},
    ],
}


@pytest.mark.parametrize(
    ("key", "ask"),
    [
        pytest.param("sk-ok", good_json, id="edited answer"),
        pytest.param("sk-ok", stream, id="edited stream"),
        pytest.param("sk-ok", unreadable, id="an edit that fails"),
        pytest.param("sk-ok", stream_ended_by_a_rule, id="stream ended by a rule"),
        pytest.param("sk-ok", stream_ended_by_a_failed_expression, id="stream ended by a failed expression"),
        pytest.param("sk-stall-after-3", client_gone_in_the_stream, id="client gone in the stream"),
        pytest.param("sk-hang", client_gone_while_its_answer_is_held, id="client gone before the answer"),
        pytest.param("sk-cut-after-3", cut_stream, id="stream cut"),
    ],
)
async def test_edited_bodies_and_streams_leave_nothing_to_the_cycle_collector(
    upstream: Upstream, key: str, ask: Callable[[Any], Awaitable[None]]
) -> None:
    provider = {"id": "openai", "base_url": f"{upstream.url}/v1", "api_keys": [{"value": key}]}
    request_rules = [{"type": "redact"}, {"type": "ai-gateway", "config": {"providers": [provider]}}]
    policy = {"on_http_request": [{"actions": request_rules}], **EDITS}
    made = Gateway.from_policy(policy, secrets=SecretStore([MemorySource({})]))
    async with made.lifespan():
        await ask(made.app)
        with no_garbage():
            for _ in range(3):
                await ask(made.app)


async def test_a_body_that_is_cut_leaves_nothing_to_the_cycle_collector(upstream: Upstream) -> None:
    """The error goes on to the server; its traceback knows every frame that it went through."""
    upstream.on(ok("word " * 60_000, cut_at=200_000))
    made = gateway(upstream, "sk-any")

    async def send(message: Any) -> None:
        pass

    async def cut() -> None:
        receive = replaying(
            json.dumps(CHAT).encode(), asyncio.Event().wait
        )  # no harness: its task would keep the error
        with suppress(GatewayError):
            await made.app(http_scope("POST", CHAT_PATH), receive, send)

    async with made.lifespan():
        await cut()
        with no_garbage():
            for _ in range(3):
                await cut()


async def test_single_layers_leave_nothing_to_the_cycle_collector(upstream: Upstream) -> None:
    config = {"providers": [{"id": "openai", "base_url": f"{upstream.url}/v1", "api_keys": [{"value": "sk-ok"}]}]}
    inner = FailoverMiddleware(PassthroughMiddleware(Host(), **config), **config)
    app = AuthMiddleware(KeySelectionMiddleware(inner, **config), keys=[KEY])
    assert (await request(app, "POST", CHAT_PATH, json=CHAT, headers=bearer(KEY))).status == 200
    with no_garbage():
        for headers, status in ((bearer(KEY), 200), ({}, 401)):
            assert (await request(app, "POST", CHAT_PATH, json=CHAT, headers=headers)).status == status
    await app.stores.aclose()


@pytest.mark.parametrize("audit", ["off", "strict"])
@pytest.mark.parametrize(
    ("keys", "ask", "status"),
    [
        pytest.param(["sk-ok"], CHAT, 200, id="good answer"),
        pytest.param(["sk-ok"], STREAM, 200, id="stream"),
        pytest.param(["sk-500", "sk-ok"], CHAT, 200, id="failover"),
        pytest.param(["sk-500", "sk-close-b"], CHAT, 503, id="nobody left"),
        pytest.param(["sk-cut-after-3"], STREAM, 200, id="stream cut"),
        pytest.param(["sk-ok"], {**CHAT, "max_tokens": 10**12}, 402, id="over a limit"),
        pytest.param(["sk-ok"], {**CHAT, "model": "openai:unknown"}, 403, id="uncounted"),
    ],
)
async def test_an_exchange_under_a_stored_key_leaves_nothing_to_the_cycle_collector(
    tmp_path: Path, upstream: Upstream, keys: list[str], ask: Any, status: int, audit: Any
) -> None:
    text = await stored(tmp_path)
    provider = {"id": "openai", "base_url": f"{upstream.url}/v1", "api_keys": [{"value": key} for key in keys]}
    policy = actions("gateway-auth", ("ai-gateway", {"providers": [provider]}))
    made = Gateway.from_policy(policy, secrets=secret_store(), data_dir=tmp_path, audit_requests=audit)

    async def once() -> None:
        assert (await request(made.app, "POST", CHAT_PATH, json=ask, headers=bearer(text))).status == status

    async with made.lifespan():
        await once()
        with no_garbage():
            for _ in range(3):
                await once()


async def test_a_client_with_a_stored_key_that_leaves_leaves_nothing_to_the_cycle_collector(
    tmp_path: Path, upstream: Upstream
) -> None:
    text = await stored(tmp_path)
    provider = {"id": "openai", "base_url": f"{upstream.url}/v1", "api_keys": [{"value": "sk-stall-after-3"}]}
    policy = actions("gateway-auth", ("ai-gateway", {"providers": [provider]}))
    made = Gateway.from_policy(policy, secrets=secret_store(), data_dir=tmp_path)

    async def once() -> None:
        asking = Exchange(made.app, method="POST", path=CHAT_PATH, json=STREAM, headers=bearer(text))
        async with asking as ex:
            await ex.start()
            await ex.body()
            await ex.disconnect()

    async with made.lifespan():
        await once()
        with no_garbage():
            for _ in range(3):
                await once()


async def stored(folder: Path) -> str:
    """The text of a new key with limits of every kind."""
    limits = LimitsDocument(
        requests_per_minute=1000, tokens_per_day=10**9, usd_per_month=10_000, concurrent_requests=10
    )
    async with await Services.open(Settings(data_dir=folder)) as services:
        return (await services.keys.create(NewKey(name="a", limits=limits), Actor("cli:alice"))).text
