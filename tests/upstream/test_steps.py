"""What is worked out when the policy loads: problems with their place, and what runs in which order."""

from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import PolicyError
from tests.asgi import request
from tests.upstream.scripted import Providers, chat, gateway, gateway_of, with_keys


def policy(config: str) -> str:
    return "on_http_request:\n  - type: ai-gateway\n    config:\n" + config


@pytest.mark.anyio
@pytest.mark.parametrize("selection", ["model_selection", "api_key_selection"])
async def test_an_empty_list_of_strategies_chooses_nothing(selection: str) -> None:
    providers = Providers()
    providers.on("k1", 500)
    made = gateway(with_keys("k1", "k2", **{selection: {"strategy": []}}), providers)
    assert (await chat(made)).status == 200
    assert providers.keys == ["k1", "k2"]


def test_all_problems_are_told_at_once() -> None:
    config = (
        "      headers: {host: a}\n"
        "      model_selection: {strategy: ['ai.model', 'm']}\n"
        "      providers: [{id: openai}, {id: openai, api_keys: [{value: '${k}'}]}]\n"
    )
    with pytest.raises(PolicyError) as refusal:
        gateway_of(policy(config), Providers())
    assert [problem.headline for problem in refusal.value.problems] == [
        "`host` belongs to the connection and cannot be set",
        "unknown name `ai.model`; did you mean `ai.models`?",
        "unknown name `m`",
        "provider `openai` is configured twice",
        "unknown name `k`",
    ]


@pytest.mark.parametrize(
    ("base_url", "warned"),
    [
        ("http://api.example.com/v1", True),
        ("http://localhost:11434/v1", False),
        ("http://10.0.0.7:8000", False),
        ("https://api.example.com/v1", False),
    ],
)
def test_a_key_that_would_travel_in_the_clear_is_a_warning(base_url: str, warned: bool) -> None:
    made = gateway({"providers": [{"id": "box", "base_url": base_url}]}, Providers())
    assert [warning.message for warning in made.warnings] == (
        ["keys and prompts travel unencrypted to api.example.com"] if warned else []
    )


def test_an_internal_name_that_nothing_maps_is_a_warning() -> None:
    """ngrok knew such names by itself; here they are hosts like any other."""
    providers: dict[str, Any] = {"providers": [{"id": "box", "base_url": "http://box.internal/v1"}]}
    (warning,) = gateway(providers, Providers()).warnings
    assert "`box.internal` is asked of DNS" in warning.message
    assert "AI_GATEWAY_HOSTS=box.internal=ADDRESS" in warning.message
    assert gateway(providers, Providers(), hosts="box.internal=10.0.0.7").warnings == ()


def test_what_follows_a_gateway_that_halts_is_never_reached() -> None:
    deny = {"type": "deny", "config": {}}
    with pytest.raises(PolicyError, match="never reached"):
        gateway({}, Providers(), after=[deny])
    assert gateway({"on_error": "continue"}, Providers(), after=[deny]).warnings == ()


@pytest.mark.parametrize("phase", ["on_http_response", "on_event_stream_message", "on_tcp_connect"])
def test_a_gateway_belongs_to_the_request(phase: str) -> None:
    with pytest.raises(PolicyError, match="cannot run in"):
        gateway_of({phase: [{"type": "ai-gateway", "config": {}}]}, Providers())


@pytest.mark.anyio
async def test_several_gateways_in_rules_that_exclude_each_other() -> None:
    providers = Providers()
    rules: list[dict[str, Any]] = [
        {
            "expressions": ["hasReqHeader('x-priority') && req.headers['x-priority'][0] == 'high'"],
            "actions": [{"type": "ai-gateway", "config": with_keys("k-high")}],
        },
        {"actions": [{"type": "ai-gateway", "config": with_keys("k-low")}]},
    ]
    app = gateway_of({"on_http_request": rules}, providers).app
    for headers in ({"x-priority": "high"}, {}):
        await request(app, "POST", "/v1/embeddings", headers=headers, json={"model": "gpt-4o"})
    assert providers.keys == ["k-high", "k-low"]


@pytest.mark.anyio
async def test_a_second_gateway_takes_over_where_the_first_gave_up() -> None:
    providers = Providers()
    providers.on("k1", 500)
    second = {"type": "ai-gateway", "config": with_keys("k2")}
    answer = await chat(gateway(with_keys("k1", on_error="continue"), providers, after=[second]))
    assert answer.status == 200
    assert providers.keys == ["k1", "k2"]
    assert answer.headers["x-gateway-attempts"] == "2"


@pytest.mark.anyio
async def test_a_secret_may_stand_in_the_fields_that_are_sent() -> None:
    providers = Providers()
    config = with_keys("k", headers={"X-Custom-Auth": "${secrets.get('box', 'token')}"})
    await chat(gateway(config, providers, secrets={"box": {"token": "s3cret-token"}}))
    assert providers.requests[0].headers["x-custom-auth"] == "s3cret-token"


@pytest.mark.anyio
@pytest.mark.parametrize("config", [{}, None], ids=["empty", "missing"])
async def test_a_gateway_without_config_reaches_every_provider(config: Any) -> None:
    providers = Providers()
    action = {"type": "ai-gateway"} | ({"config": config} if config is not None else {})
    app = gateway_of({"on_http_request": {"actions": [action]}}, providers)
    await chat(app, "groq:llama-3.1-8b-instant", key="gsk_mine")
    assert [(sent.url.host, sent.headers["authorization"]) for sent in providers.requests] == [
        ("api.groq.com", "Bearer gsk_mine")
    ]


@pytest.mark.anyio
async def test_a_second_gateway_counts_and_tells_of_its_own_attempts() -> None:
    providers = Providers()
    keys = [f"a{number}" for number in range(16)]
    for key in (*keys, "b1", "b2"):
        providers.on(key, 429)
    second = {"type": "ai-gateway", "config": with_keys("b1", "b2")}
    answer = await chat(gateway(with_keys(*keys, on_error="continue"), providers, after=[second]))
    assert providers.keys == [*keys, "b1", "b2"]
    assert answer.headers["x-gateway-attempts"] == "2"
    assert answer.json()["error"]["message"].count("rate_limited") == 2
