from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.asgi import Response, request
from tests.upstream.scripted import Providers, chat, gateway, with_keys

pytestmark = pytest.mark.anyio

BOX = {
    "id": "box",
    "id_aliases": ["my-box"],
    "base_url": "https://box.test/v1",
    "metadata": {"region": "eu"},
    "models": [
        {"id": "llama", "id_aliases": ["llama3.2:1b"], "metadata": {"tier": "budget"}},
        {"id": "mistral"},
        {"id": "withdrawn", "disabled": True},
    ],
}
KEYED = [
    {"id": name, "api_keys": [{"value": f"key-of-{name}"}]} for name in ("openai", "anthropic", "google", "deepseek")
]


@pytest.fixture
def providers() -> Providers:
    return Providers()


async def tried(
    providers: Providers, asked: Mapping[str, Any], *strategy: str, listed: Sequence[Any] = (BOX, *KEYED), **config: Any
) -> tuple[list[str], Response]:
    """The models that are asked, one after the other, when all of them fail; and the answer."""
    for each in listed:
        for key in each.get("api_keys", [{"value": None}]):
            providers.on(key["value"], 500)
    if strategy:
        config["model_selection"] = {"strategy": list(strategy)}
    gateway_ = gateway({"providers": list(listed), "only_allow_configured_providers": True, **config}, providers)
    answer = await request(gateway_.app, "POST", "/v1/chat/completions", json=asked)
    hosts = {"box.test": "box", "api.openai.com": "openai", "api.anthropic.com": "anthropic"}
    hosts |= {"generativelanguage.googleapis.com": "google", "api.deepseek.com": "deepseek"}
    names = [
        f"{hosts[sent.url.host]}/{body['model']}"
        for sent, body in zip(providers.requests, providers.bodies, strict=True)
    ]
    return names, answer


@pytest.mark.parametrize(
    ("asked", "models"),
    [
        pytest.param({"model": "gpt-4o"}, ["openai/gpt-4o"], id="id"),
        pytest.param({"model": "GPT-4O"}, ["openai/gpt-4o"], id="case"),
        pytest.param({"model": "openai:gpt-4o"}, ["openai/gpt-4o"], id="prefix"),
        pytest.param({"model": "openai:gpt-5-preview"}, ["openai/gpt-5-preview"], id="only-the-provider-knows"),
        pytest.param({"model": "my-box:llama"}, ["box/llama"], id="provider-alias"),
        pytest.param({"model": "llama3.2:1b"}, ["box/llama"], id="alias-with-a-colon"),
        pytest.param({"model": "box:llama3.2:1b"}, ["box/llama"], id="prefix-and-alias-with-a-colon"),
        pytest.param({"model": "box:some/thing:latest"}, ["box/some/thing:latest"], id="verbatim"),
        pytest.param({"models": ["llama", "gpt-4o"]}, ["box/llama", "openai/gpt-4o"], id="models-alone"),
        pytest.param(
            {"model": "gpt-4o", "models": ["claude-opus-4-8", "llama"]},
            ["openai/gpt-4o", "anthropic/claude-opus-4-8", "box/llama"],
            id="model-then-models",
        ),
        pytest.param({"model": "llama", "models": ["box:llama", "LLAMA"]}, ["box/llama"], id="once-each"),
        pytest.param({"model": "llama", "models": ["nonsense"]}, ["box/llama"], id="unknown-ones-are-passed-over"),
        pytest.param({"model": "ngrok/auto", "models": ["llama"]}, ["box/llama"], id="auto-beside-a-name"),
    ],
)
async def test_a_name_means_these_models_in_this_order(
    providers: Providers, asked: dict[str, Any], models: list[str]
) -> None:
    assert (await tried(providers, asked))[0] == models


@pytest.mark.parametrize(
    ("asked", "status", "code", "message"),
    [
        pytest.param(
            {"model": "brand-new"}, 404, "model_not_found", "ERR_NGROK_3804: No matching models", id="unknown"
        ),
        pytest.param(
            {"model": "groq:llama"}, 403, "provider_not_allowed", "ERR_NGROK_3804: Provider 'groq'", id="provider"
        ),
        pytest.param(
            {"model": "withdrawn"}, 403, "model_not_allowed", "ERR_NGROK_3804: Model 'withdrawn'", id="disabled"
        ),
        pytest.param({"model": 7}, 400, "invalid_request", "ERR_NGROK_3801: Invalid request body", id="no-string"),
        pytest.param(
            {"models": "gpt-4o"}, 400, "invalid_request", "ERR_NGROK_3801: Invalid request body", id="no-list"
        ),
        pytest.param({"models": [1]}, 400, "invalid_request", "ERR_NGROK_3801: Invalid request body", id="no-strings"),
        pytest.param(
            {"models": ["x"] * 17}, 400, "invalid_request", "ERR_NGROK_3801: Invalid request body", id="too-many"
        ),
    ],
)
async def test_a_request_for_no_model_is_refused(
    providers: Providers, asked: dict[str, Any], status: int, code: str, message: str
) -> None:
    names, answer = await tried(providers, asked)
    assert (answer.status, answer.json()["error"]["code"]) == (status, code)
    assert answer.json()["error"]["message"].startswith(message)
    assert names == []


async def test_without_restrictions_the_whole_catalogue_is_open(providers: Providers) -> None:
    await chat(gateway({"providers": [BOX]}, providers), "groq:llama-3.1-8b-instant", key="mine")
    assert providers.requests[0].url.host == "api.groq.com"


@pytest.mark.parametrize(
    ("model", "status"),
    [("approved", 502), ("gpt-4o", 403), ("openai:unheard-of", 403), ("openai:approved", 502)],
)
async def test_only_listed_models_may_be_allowed(providers: Providers, model: str, status: int) -> None:
    listed = [{**KEYED[0], "models": [{"id": "approved"}]}]
    _, answer = await tried(providers, {"model": model}, listed=listed, only_allow_configured_models=True)
    assert answer.status == status


async def test_a_disabled_provider_is_not_asked_for_what_names_no_model(providers: Providers) -> None:
    listed = [{**BOX, "disabled": True}, KEYED[0]]
    await request(gateway({"providers": listed}, providers).app, "GET", "/v1/files")
    assert providers.urls == ["https://api.openai.com/v1/files"]


async def test_a_disabled_provider_is_out_of_every_selection(providers: Providers) -> None:
    listed = [{**BOX, "disabled": True}, *KEYED]
    names, answer = await tried(providers, {"model": "box:llama", "models": ["gpt-4o"]}, listed=listed)
    assert names == ["openai/gpt-4o"]
    _, answer = await tried(providers, {"model": "box:llama"}, listed=listed)
    assert answer.status == 403


async def test_a_model_of_several_providers_is_tried_in_the_order_of_the_policy(providers: Providers) -> None:
    names = ("b-box", "a-box")
    listed = [{**BOX, "id": name, "id_aliases": [], "base_url": f"https://box.test/{name[0]}"} for name in names]
    _, answer = await tried(providers, {"model": "llama"}, listed=listed)
    assert answer.json()["error"]["message"].endswith("[500] b-box/llama: erred; [500] a-box/llama: erred")


@pytest.mark.parametrize(
    ("model", "path"),
    [("gpt-4o", "/v1/messages"), (None, "/v1/messages"), (None, "/v1/messages/batches")],
    ids=["named", "auto", "no-model"],
)
async def test_a_format_that_nobody_serves_is_told(providers: Providers, model: str | None, path: str) -> None:
    gateway_ = gateway({"providers": KEYED[:1], "only_allow_configured_providers": True}, providers)
    answer = await chat(gateway_, model, path=path)
    assert answer.status == 422
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["message"].startswith("ERR_NGROK_3813: ")


@pytest.mark.parametrize(
    ("asked", "strategy", "models"),
    [
        pytest.param(
            {"models": ["gpt-4o", "llama", "claude-opus-4-8"]},
            [
                "ai.models.filter(m, m.provider_id == 'nobody')",
                "ai.models.onlyProviders(['openai', 'box'])",
                "ai.models",
            ],
            ["openai/gpt-4o", "box/llama"],
            id="the-first-that-is-not-empty-wins",
        ),
        pytest.param(
            {"models": ["gpt-4o", "llama"]},
            ["ai.models.filter(m, m.id == 'llama') + ai.models"],
            ["openai/gpt-4o", "box/llama"],
            id="the-clients-order-stands",
        ),
        pytest.param(
            {"model": "llama"},
            ["ai.models.filter(m, m.provider_id == 'openai')", "ai.models"],
            ["box/llama"],
            id="a-strategy-cannot-add-a-model",
        ),
        pytest.param({"model": "mistral"}, ["ai.models[0]"], ["box/mistral"], id="strategies-see-what-was-asked-for"),
        pytest.param({"model": "mistral"}, ["ai.models.random()"], ["box/mistral"], id="one-model-is-enough"),
        pytest.param({}, ["ai.models.only(['mistral', 'llama'])"], ["box/llama", "box/mistral"], id="auto"),
        pytest.param(
            {"model": "ngrok/auto"},
            ["ai.models.only(['mistral', 'llama']).sortBy(m, 0 - size(m.id))"],
            ["box/mistral", "box/llama"],
            id="auto-in-the-strategys-order",
        ),
        pytest.param(
            {}, ["ai.models.filter(m, m.metadata.tier == 'budget')"], ["box/llama"], id="missing-metadata-is-no-match"
        ),
        pytest.param(
            {},
            ["ai.models.filter(m, m.metadata.region == 'eu')"],
            ["box/llama", "box/mistral"],
            id="inherited-metadata",
        ),
        pytest.param(
            {"model": "openai:new", "models": ["llama"]},
            ["ai.models.filter(m, m.known)"],
            ["box/llama"],
            id="known-models-only",
        ),
        pytest.param(
            {"model": "llama"}, ["ai.models[99]", "ai.models"], ["box/llama"], id="a-strategy-that-fails-is-passed-over"
        ),
        pytest.param(
            {"model": "llama"}, ["'llama'", "1", "[1]", "ai.models"], ["box/llama"], id="of-the-wrong-type-as-well"
        ),
        pytest.param(
            {"model": "llama", "temperature": 0},
            ["req.body.temperature > 1 ? ai.models : []", "ai.models.filter(m, req.method == 'POST')"],
            ["box/llama"],
            id="strategies-may-read-the-request",
        ),
    ],
)
async def test_strategies_select(
    providers: Providers, asked: dict[str, Any], strategy: list[str], models: list[str]
) -> None:
    assert (await tried(providers, asked, *strategy))[0] == models


@pytest.mark.parametrize(
    ("strategy", "code", "number"),
    [
        pytest.param(["[]", "ai.models.filter(m, false)"], "no_model_selected", 3805, id="all-empty"),
        pytest.param(["ai.models[99]", "[]"], "model_selection_failed", 3803, id="one-failed"),
        pytest.param(["'llama'", "[]"], "model_selection_failed", 3806, id="wrong-type"),
    ],
)
async def test_nothing_selected_is_told(providers: Providers, strategy: list[str], code: str, number: int) -> None:
    names, answer = await tried(providers, {"model": "llama"}, *strategy)
    assert (answer.status, answer.json()["error"]["code"]) == (422, code)
    assert answer.json()["error"]["message"].startswith(f"ERR_NGROK_{number}: ")
    assert names == []


async def test_a_selection_is_no_cascade(providers: Providers) -> None:
    """When the models of the strategy that won all fail, the next strategy is not asked."""
    names, answer = await tried(
        providers, {"models": ["gpt-4o", "llama"]}, "ai.models.onlyProviders(['openai'])", "ai.models"
    )
    assert names == ["openai/gpt-4o"]
    assert answer.status == 502


@pytest.mark.parametrize(
    ("strategy", "config"),
    [
        pytest.param("ai.providers.get('box').getModel('withdrawn')", {}, id="a-disabled-model"),
        pytest.param("ai.providers.get('shut').models", {}, id="of-a-disabled-provider"),
        pytest.param("ai.providers.get('groq').models", {}, id="of-another-provider"),
        pytest.param(
            "ai.providers.get('openai').getModel('gpt-4o')", {"only_allow_configured_models": True}, id="another-model"
        ),
        pytest.param("ai.providers.get('spoken').models", {}, id="of-another-format"),
    ],
)
async def test_a_strategy_brings_in_nothing_that_may_not_be_used(
    providers: Providers, strategy: str, config: dict[str, Any]
) -> None:
    shut = {"id": "shut", "base_url": "https://shut.test", "disabled": True, "models": [{"id": "any"}]}
    spoken = {"id": "spoken", "base_url": "https://spoken.test", "models": [{"id": "any"}]}
    spoken["supported_api_surfaces"] = [{"format": "anthropic"}]
    listed = (BOX, shut, spoken, *KEYED)
    names, _ = await tried(providers, {}, strategy, "ai.models.only(['mistral'])", listed=listed, **config)
    assert names == ["box/mistral"]


async def test_automatic_choice_offers_models_for_the_task(providers: Providers) -> None:
    gateway_ = gateway({"providers": KEYED, "model_selection": {"strategy": ["ai.models"]}}, providers)
    await request(gateway_.app, "POST", "/v1/embeddings", json={"input": "x"})
    assert providers.bodies[0]["model"].startswith("text-embedding")


@pytest.mark.parametrize("strategy", ["ai.models", "ordered"])
async def test_one_strategy_may_stand_alone(providers: Providers, strategy: str) -> None:
    config = {"providers": [BOX], "model_selection": {"strategy": strategy}}
    gateway_ = gateway(config, providers)
    assert (await chat(gateway_, "mistral")).status == 200
    assert [str(warning.message) for warning in gateway_.warnings] == (
        ["`ordered` is no expression; it is read as `ai.models`"] if strategy == "ordered" else []
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/v1/chat/completions", {"model": "m" * 257}, id="model"),
        pytest.param("/v1/chat/completions", {"models": ["gpt-4o", "m" * 257]}, id="models"),
        pytest.param(f"/v1beta/models/{'m' * 257}:generateContent", {}, id="path"),
    ],
)
async def test_a_name_of_endless_length_is_refused(providers: Providers, path: str, body: dict[str, Any]) -> None:
    answer = await request(gateway({}, providers).app, "POST", path, json=body)
    assert answer.status == 400
    assert "at most 256 characters" in answer.text


async def test_a_strategy_that_reads_the_catalogue_keeps_a_model_asked_for_by_its_dated_name(
    providers: Providers,
) -> None:
    config = with_keys("k", model_selection={"strategy": ["ai.providers.filter(p, p.id == 'openai')[0].models"]})
    answer = await chat(gateway(config, providers), "gpt-4o-2024-11-20")
    assert answer.status == 200
    assert providers.bodies[0]["model"] == "gpt-4o-2024-11-20"


async def test_what_a_name_meant_to_one_request_it_means_to_the_next(providers: Providers) -> None:
    gateway_ = gateway(with_keys("k1"), providers)
    answers = [await chat(gateway_, "gpt-4o", path=path) for path in ("/v1/chat/completions", "/v1/messages") * 2]
    assert [answer.status for answer in answers] == [200, 422, 200, 422]
    refusals = [(await chat(gateway_, "nonsense")).json()["error"]["message"] for _ in range(2)]
    assert refusals[0] == refusals[1]
    assert "No matching models found: nonsense." in refusals[0]
