from __future__ import annotations

import logging
import random
from collections import Counter
from typing import Any

import pytest

from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.state import KeyState, Result
from tests.asgi import request
from tests.upstream.scripted import Providers, chat, failing, gateway, with_keys

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
MINE = {"authorization": "Bearer mine"}


@pytest.fixture
def providers() -> Providers:
    """All keys fail, so that the order of all of them shows."""
    made = Providers()
    for key in ("k1", "k2", "k3"):
        made.on(key, 500)
    return made


def selecting(*strategy: str, **more: Any) -> dict[str, Any]:
    return with_keys("k1", "k2", "k3", api_key_selection={"strategy": list(strategy)}, **more)


def record_of(gateway_: Any, key: str) -> KeyState:
    state: KeyState = gateway_.stores.provider_keys.state(Secret(key, "test/key").fingerprint)
    return state


@pytest.mark.parametrize(
    ("strategy", "keys"),
    [
        pytest.param(["ai.keys"], "k1 k2 k3", id="all"),
        pytest.param(["ai.keys[1]"], "k2", id="one-key"),
        pytest.param(["[ai.keys[2], ai.keys[0]]"], "k3 k1", id="an-order-of-its-own"),
        pytest.param(["ai.keys.filter(k, k.quota.remaining_requests > 0)", "ai.keys"], "k1 k2 k3", id="unknown-quota"),
        pytest.param(["[]", "ai.keys.filter(k, false)", "ai.keys[0]", "ai.keys"], "k1", id="first-that-returns-any"),
        pytest.param(["ai.keys[7]", "ai.keys[0]"], "k1", id="a-strategy-that-fails-is-passed-over"),
        pytest.param(["1", "'k1'", "[1]", "ai.models", "ai.keys[2]"], "k3", id="of-the-wrong-type-as-well"),
        pytest.param(["ai.keys.filter(k, k.error_rate.total < 0.5)"], "k1 k2 k3", id="unused-keys-have-no-errors"),
        pytest.param(["ai.keys.filter(k, k.value == ai.keys[1].value)"], "k2", id="a-value-can-be-compared"),
        pytest.param(["req.body.model == 'gpt-4o' ? [ai.keys[0]] : ai.keys"], "k1", id="by-the-request"),
        pytest.param(["ai.keys.sortBy(k, k.id == ai.keys[2].id ? 0 : 1)"], "k3 k1 k2", id="sorted"),
        pytest.param(["ordered"], "k1 k2 k3", id="a-word-that-is-no-expression"),
    ],
)
async def test_the_first_strategy_that_returns_a_key_decides(
    providers: Providers, strategy: list[str], keys: str
) -> None:
    await chat(gateway(selecting(*strategy), providers))
    assert providers.keys == keys.split()


async def test_without_strategies_keys_are_tried_in_the_order_of_the_file(providers: Providers) -> None:
    await chat(gateway(with_keys("k2", "k3", "k1"), providers))
    assert providers.keys == ["k2", "k3", "k1"]


@pytest.mark.parametrize("strategy", [["[]"], ["ai.keys[9]"], ["1"]], ids=["empty", "failed", "wrong-type"])
async def test_no_key_selected_is_told(providers: Providers, strategy: list[str]) -> None:
    answer = await chat(gateway(selecting(*strategy), providers))
    assert (answer.status, answer.json()["error"]["code"]) == (503, "no_eligible_key")
    assert answer.json()["error"]["message"].startswith("ERR_NGROK_3808: ")
    assert providers.keys == []


async def test_keys_are_selected_when_their_models_turn_comes(providers: Providers) -> None:
    """What the first model's attempts taught counts for the second model."""
    providers.on("k1", failing(429, retry_after="60"))
    strategy = ["ai.keys.filter(k, !k.cooling)"]
    await chat(gateway(selecting(*strategy), providers), "gpt-4o", models=["gpt-4.1"])
    tried = list(zip(providers.keys, [body["model"] for body in providers.bodies], strict=True))
    assert tried == [("k1", "gpt-4o"), ("k2", "gpt-4o"), ("k3", "gpt-4o"), ("k2", "gpt-4.1"), ("k3", "gpt-4.1")]


async def test_a_strategy_sees_what_is_known_of_a_key(providers: Providers) -> None:
    gateway_ = gateway(selecting("ai.keys.filter(k, k.samples == 12 && k.error_rate.timeout == 0.25)"), providers)
    for result in [Result.TIMEOUT] * 3 + [Result.OK] * 9:
        record_of(gateway_, "k2").record(result)
    await chat(gateway_)
    assert providers.keys == ["k2"]


async def test_the_same_key_is_one_key_wherever_it_is_configured(providers: Providers) -> None:
    two = [
        {"id": name, "base_url": f"https://{name}.test/v1", "api_keys": [{"value": "k1"}], "models": [{"id": name}]}
        for name in ("east", "west")
    ]
    gateway_ = gateway({"providers": two}, providers)
    await chat(gateway_, "east")
    await chat(gateway_, "west")
    assert record_of(gateway_, "k1").samples == 2


async def test_a_secret_may_change_as_often_as_it_likes(providers: Providers) -> None:
    vaults = {"o": {"k": ""}}
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('o', 'k')}"}]}]}
    gateway_ = gateway(config, providers, secrets=vaults, secrets_ttl=0)
    for number in range(10):
        vaults["o"]["k"] = f"sk-{number}"
        await chat(gateway_)
    assert providers.keys == [f"sk-{number}" for number in range(10)]


async def test_a_changed_secret_is_seen_as_soon_as_the_store_knows_it(providers: Providers) -> None:
    vaults = {"o": {"k": "sk-0", "other": "x"}}
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('o', 'k')}"}]}]}
    gateway_ = gateway(config, providers, secrets=vaults)
    await chat(gateway_)
    vaults["o"]["k"] = "sk-1"
    await chat(gateway_)
    gateway_.stores.secrets.refresh("o", "other")
    await chat(gateway_)
    gateway_.stores.secrets.refresh("o", "k")
    await chat(gateway_)
    vaults["o"]["k"] = "sk-2"
    gateway_.stores.secrets.forget()
    await chat(gateway_)
    assert providers.keys == ["sk-0", "sk-0", "sk-0", "sk-1", "sk-2"]


async def test_a_key_may_depend_on_the_request(providers: Providers) -> None:
    vaults = {"o": {"a": "sk-a", "b": "sk-b"}}
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('o', req.body.user)}"}]}]}
    gateway_ = gateway(config, providers, secrets=vaults)
    for user in "aba":
        await chat(gateway_, user=user)
    assert providers.keys == ["sk-a", "sk-b", "sk-a"]


async def test_a_key_that_was_missing_is_there_once_its_secret_is(providers: Providers) -> None:
    vaults: dict[str, dict[str, str]] = {"o": {"k": "sk-0"}}
    keys = [{"value": "${secrets.get('o', 'late')}"}, {"value": "${secrets.get('o', 'k')}"}]
    gateway_ = gateway({"providers": [{"id": "openai", "api_keys": keys}]}, providers, secrets=vaults)
    await chat(gateway_)
    vaults["o"]["late"] = "sk-1"
    await chat(gateway_)
    assert providers.keys == ["sk-0", "sk-1"]


async def test_a_key_without_its_secret_is_left_out_and_named_in_the_log(
    providers: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('o', 'gone')}"}, {"value": "k2"}]}]}
    with caplog.at_level(logging.WARNING, "ai_gateway_mw.upstream"):
        await chat(gateway(config, providers))
    assert providers.keys == ["k2"]
    assert "key 1 of provider openai is left out: no secret o/gone" in caplog.text


async def test_a_provider_all_of_whose_secrets_are_missing_is_not_asked_with_the_clients_key(
    providers: Providers,
) -> None:
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('o', 'gone')}"}]}]}
    answer = await chat(gateway(config, providers), key="sk-own")
    assert (answer.status, answer.json()["error"]["code"]) == (503, "no_eligible_key")
    assert providers.requests == []


async def test_the_next_model_is_tried_where_one_has_no_key(providers: Providers) -> None:
    config = {"providers": [{"id": "openai"}, {"id": "anthropic", "api_keys": [{"value": "a1"}]}]}
    answer = await chat(gateway(config, providers), "gpt-4o", models=["claude-opus-4-8"])
    assert answer.status == 200
    assert providers.keys == ["a1"]


async def test_a_provider_of_ones_own_needs_no_key(providers: Providers) -> None:
    config = {"providers": [{"id": "box", "base_url": "http://localhost:11434/v1"}]}
    answer = await chat(gateway(config, providers), "box:llama")
    assert answer.status == 200
    assert providers.keys == [None]


@pytest.mark.parametrize("strategy", ["ai.keys.randomize()", "ai.keys.filter(k, true).randomize()", "ai.keys.random()"])
async def test_chance_spreads_requests(strategy: str) -> None:
    """A key that fewer than 60 of 300 requests meet is a one in ten million chance."""
    providers = Providers()
    gateway_ = gateway(selecting(strategy), providers)
    gateway_.stores.random.seed(random.Random(7).random())
    for _ in range(300):
        await chat(gateway_)
    met = Counter(providers.keys)
    assert set(met) == {"k1", "k2", "k3"}
    assert min(met.values()) >= 60


async def test_one_key_by_chance_has_no_failover(providers: Providers) -> None:
    await chat(gateway(selecting("ai.keys.random()"), providers))
    assert len(providers.keys) == 1


async def test_automatic_choice_sends_a_clients_key_to_no_provider_that_nobody_named(providers: Providers) -> None:
    answer = await request(gateway({}, providers).app, "POST", CHAT, headers=MINE, json={})
    assert (answer.status, answer.json()["error"]["code"]) == (401, "no_provider_key")
    assert providers.requests == []


async def test_automatic_choice_among_configured_providers_takes_the_clients_key(providers: Providers) -> None:
    app = gateway({"providers": [{"id": "openai"}]}, providers).app
    await request(app, "POST", CHAT, headers=MINE, json={})
    assert providers.keys == ["mine"]


async def test_a_clients_placeholder_goes_to_nobody_unnamed_once_the_operators_keys_were_tried(
    providers: Providers,
) -> None:
    """Its refusal would take the place of the real error."""
    providers.on("k1", 429)
    answer = await chat(gateway(with_keys("k1"), providers), "gpt-4o", models=["groq:any"], key="placeholder")
    assert (answer.status, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert providers.keys == ["k1"]


async def test_a_provider_that_the_policy_names_may_still_get_the_clients_key(providers: Providers) -> None:
    config = {"providers": [{"id": "openai", "api_keys": [{"value": "k1"}]}, {"id": "groq"}]}
    await chat(gateway(config, providers), "gpt-4o", models=["groq:any"], key="mine")
    assert providers.keys == ["k1", "mine"]
