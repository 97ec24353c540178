"""What a gateway key may be used for: models and providers, by whatever name and on whatever way they are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.keys import GatewayKey
from tests.asgi import Response, request
from tests.gateways import KEY, bearer
from tests.upstream.scripted import Providers, chat, gateway, gateway_of

pytestmark = pytest.mark.anyio

PROVIDERS = [
    {
        "id": "box",
        "id_aliases": ["local"],
        "base_url": "http://localhost:1/v1",
        "models": [{"id": "llama", "id_aliases": ["small"]}, {"id": "big"}],
    },
    {
        "id": "farm",
        "base_url": "http://localhost:2/v1",
        "models": [{"id": "llama"}, {"id": "llama-guard", "id_aliases": ["small"]}],
    },
]
ONLY = {"only_allow_configured_providers": True, "only_allow_configured_models": True}


def restricted(providers: Providers, *, config: Any = None, **rules: Any) -> Gateway:
    """A gateway of these two providers for a key with these rules."""
    declared = {"name": "k", "value": KEY, **rules}
    policy = {
        "on_http_request": [
            {
                "actions": [
                    {"type": "gateway-auth", "config": {"keys": [declared], "required": False}},
                    {"type": "ai-gateway", "config": {"providers": PROVIDERS, **(config or {})}},
                ]
            }
        ]
    }
    return gateway_of(policy, providers)


async def asked(model: str | None, *, config: Any = None, **rules: Any) -> tuple[Response, list[str]]:
    """The answer, and whom it was asked of: `host port/model` in order."""
    providers = Providers()
    providers.on(None, 503)
    answer = await chat(restricted(providers, config=config, **rules), model, key=KEY)
    ports = [sent.url.port for sent in providers.requests]
    return answer, [f"{port}/{body.get('model')}" for port, body in zip(ports, providers.bodies, strict=True)]


@pytest.mark.parametrize(
    ("model", "rules", "tried"),
    [
        ("llama", {}, ["1/llama", "2/llama"]),
        ("llama", {"allowed_models": ["llama"]}, ["1/llama", "2/llama"]),
        ("llama", {"allowed_models": ["LLA*"]}, ["1/llama", "2/llama"]),
        ("llama", {"allowed_models": ["farm:llama"]}, ["2/llama"]),
        ("llama", {"allowed_models": ["*", "!box:*"]}, ["2/llama"]),
        ("llama", {"allowed_models": ["!box:llama"]}, ["2/llama"]),
        ("llama", {"allowed_providers": ["farm"]}, ["2/llama"]),
        ("llama", {"allowed_providers": ["!farm"]}, ["1/llama"]),
        ("small", {"allowed_models": ["llama"]}, ["1/llama"]),
        ("small", {"allowed_models": ["llama-*"]}, ["2/llama-guard"]),
        ("farm:llama", {"allowed_models": ["llama"]}, ["2/llama"]),
        ("local:llama", {"allowed_providers": ["box"]}, ["1/llama"]),
        ("box:new", {"allowed_models": ["new"]}, ["1/new"]),
    ],
)
async def test_a_key_is_used_for_what_it_may_be_used_for(model: str, rules: Any, tried: list[str]) -> None:
    assert (await asked(model, **rules))[1] == tried


@pytest.mark.parametrize(
    ("model", "rules"),
    [
        ("llama", {"allowed_models": []}),
        ("llama", {"allowed_providers": []}),
        ("llama", {"allowed_models": ["big"]}),
        ("llama", {"allowed_models": ["llama", "!llama"]}),
        ("small", {"allowed_models": ["small"]}),  # an alias is not what a model is called
        ("small", {"allowed_models": ["*", "!llama*"]}),
        ("SMALL", {"allowed_models": ["*", "!LLAMA*"]}),
        ("local:big", {"allowed_providers": ["*", "!box"]}),
        ("box:llama ", {"allowed_models": ["!llama"]}),
        ("box:meta/llama", {"allowed_models": ["!llama"]}),
        ("box:models/llama", {"allowed_models": ["*", "!lla*"]}),
        ("openai:gpt-4o-2024-11-20", {"allowed_models": ["!gpt-4o"]}),
        ("openrouter:openai/gpt-4o", {"allowed_models": ["!gpt-4o"]}),
        (None, {"allowed_models": ["nothing"]}),
    ],
)
async def test_a_key_is_not_used_for_what_it_may_not(model: str | None, rules: Any) -> None:
    answer, tried = await asked(model, **rules)
    assert (answer.status, answer.json()["error"]["code"], tried) == (403, "model_not_allowed", [])


async def test_what_nobody_has_is_not_found_whatever_the_key_may() -> None:
    answer, _ = await asked("nonsense", allowed_models=["llama"])
    assert (answer.status, answer.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("rules", "tried"),
    [({"allowed_models": ["big"]}, ["1/big"]), ({"allowed_providers": ["farm"]}, ["2/llama", "2/llama-guard"])],
)
async def test_without_a_name_it_is_any_of_the_allowed(rules: Any, tried: list[str]) -> None:
    assert (await asked(None, config=ONLY, **rules))[1] == tried


@pytest.mark.parametrize("model", [None, "llama"])
async def test_a_strategy_cannot_widen_what_a_key_may_use(model: str | None) -> None:
    config = {
        "model_selection": {"strategy": ["ai.models.filter(m, m.id == 'llama' && m.provider_id == 'box')"]},
        **ONLY,
    }
    answer, tried = await asked(model, config=config, allowed_providers=["farm"])
    assert answer.status >= 400
    assert tried == []


async def test_the_next_strategy_counts_where_the_first_leaves_nothing_for_the_key() -> None:
    strategies = [f"ai.models.filter(m, m.provider_id == '{name}')" for name in ("box", "farm")]
    config = {"model_selection": {"strategy": strategies}, **ONLY}
    assert (await asked("llama", config=config, allowed_providers=["farm"]))[1] == ["2/llama"]


@pytest.mark.parametrize(
    ("rules", "status", "port"),
    [
        ({}, 503, 1),
        ({"allowed_providers": ["farm"]}, 503, 2),
        ({"allowed_providers": []}, 403, None),
        ({"allowed_models": ["llama"]}, 403, None),
        ({"allowed_models": []}, 403, None),
    ],
    ids=["free", "one provider", "no provider", "one model", "no model"],
)
async def test_files_belong_to_a_provider_and_to_no_model(rules: Any, status: int, port: int | None) -> None:
    providers = Providers()
    providers.on(None, 503)
    app = restricted(providers, config=ONLY, **rules).app
    answer = await request(app, "GET", "/v1/files", headers=bearer(KEY))
    assert ([sent.url.port for sent in providers.requests] or [None])[0] == port
    assert answer.status == status


async def names_listed(path: str = "/v1/models", key: str = KEY, **rules: Any) -> list[str]:
    app = restricted(Providers(), config=ONLY, **rules).app
    return [model["id"] for model in (await request(app, "GET", path, headers=bearer(key))).json()["data"]]


@pytest.mark.parametrize(
    ("rules", "listed"),
    [
        ({}, ["llama", "big", "llama-guard"]),
        ({"allowed_models": ["l*"]}, ["llama", "llama-guard"]),
        ({"allowed_providers": ["farm"]}, ["llama", "llama-guard"]),
        ({"allowed_models": ["!box:*"]}, ["llama", "llama-guard"]),
        ({"allowed_models": []}, []),
    ],
    ids=["all", "models", "providers", "all but", "none"],
)
async def test_a_list_has_what_the_key_may_be_used_for(rules: Any, listed: list[str]) -> None:
    assert await names_listed(**rules) == listed


@pytest.mark.parametrize(
    ("name", "rules", "shown"),
    [
        ("llama", {"allowed_models": ["llama"]}, "llama"),
        ("big", {"allowed_models": ["llama"]}, None),
        ("small", {"allowed_providers": ["farm"]}, "llama-guard"),
        ("small", {"allowed_models": ["big"]}, None),
        ("box:llama", {"allowed_providers": ["farm"]}, None),
    ],
)
async def test_a_model_is_shown_where_the_key_may_be_used_for_it(name: str, rules: Any, shown: str | None) -> None:
    answer = await request(
        restricted(Providers(), config=ONLY, **rules).app, "GET", f"/v1/models/{name}", headers=bearer(KEY)
    )
    assert (answer.status, answer.json().get("id")) == ((200, shown) if shown else (404, None))


async def test_what_one_key_may_is_not_remembered_for_another() -> None:
    providers = Providers()
    gate = restricted(providers, allowed_models=["big"])
    for _ in range(2):
        assert (await chat(gate, "llama", key=KEY)).status == 403
        assert (await chat(gate, "llama", key="sk-own")).status == 200
        assert (await chat(gate, "big", key=KEY)).status == 200


async def test_the_own_key_of_a_client_has_no_rules_of_ours() -> None:
    providers = Providers()
    answer = await chat(gateway({"providers": PROVIDERS}, providers), "llama", key="sk-own")
    assert (answer.status, providers.keys) == (200, ["sk-own"])


@pytest.mark.parametrize(
    ("patterns", "model", "allowed"),
    [
        (("!gpt-4o",), "gpt-4o", False),
        (("!gpt-4o",), "openai/gpt-4o", False),
        (("!gpt-4o",), "gpt-4o-mini", True),
        (("openai/*", "!gpt-4o"), "openai/gpt-4o", False),
        (("gpt-4o",), "openai/gpt-4o", False),
        (("!openai/*",), "openai/gpt-4o", False),
    ],
)
def test_what_is_forbidden_is_so_under_every_spelling(patterns: tuple[str, ...], model: str, allowed: bool) -> None:
    assert GatewayKey("", "", b"", allowed_models=patterns).allows_model("p", model) is allowed
