from __future__ import annotations

import pytest

from ai_gateway_mw.providers import ModelIndex, Rejection, kind_of

OWN = {"id": "my-provider", "base_url": "https://own.test/v1", "models": [{"id": "my-model"}]}
OLLAMA = {
    "id": "ollama",
    "id_aliases": ["box"],
    "base_url": "http://localhost:11434/v1",
    "models": [{"id": "llama3.2:1b"}, {"id": "Mistral", "id_aliases": ["mis"]}],
}


@pytest.fixture
def index(providers_of) -> ModelIndex:
    return ModelIndex(providers_of(OWN, OLLAMA))


def found(index: ModelIndex, *names: str) -> list[tuple[str, str, bool]]:
    return [(model.provider_id, model.upstream_id, model.known) for model in index.resolve(names).models]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("gpt-4o", [("openai", "gpt-4o", True)], id="id"),
        pytest.param("GPT-4o", [("openai", "gpt-4o", True)], id="id in another case"),
        pytest.param("openai:gpt-4o", [("openai", "gpt-4o", True)], id="prefix"),
        pytest.param("Open-AI:GPT-4O", [("openai", "gpt-4o", True)], id="prefix that is an alias"),
        pytest.param("openai:gpt-5-preview", [("openai", "gpt-5-preview", False)], id="unknown to a known provider"),
        pytest.param("openai:Ft:Acme:X", [("openai", "Ft:Acme:X", False)], id="split at the first colon, case kept"),
        pytest.param("brand-new-model", [], id="unknown"),
        pytest.param("my-provider:my-model", [("my-provider", "my-model", True)], id="own provider"),
        pytest.param("my-model", [("my-provider", "my-model", True)], id="own model"),
        pytest.param(
            "openrouter:anthropic/claude-3.5-sonnet",
            [("openrouter", "anthropic/claude-3.5-sonnet", False)],
            id="a provider without models",
        ),
        pytest.param(
            "inference-net:meta-llama/llama-3.1-8b-instruct/fp-8",
            [("inference-net", "meta-llama/llama-3.1-8b-instruct/fp-8", False)],
            id="slashes behind a prefix",
        ),
        pytest.param("llama3.2:1b", [("ollama", "llama3.2:1b", True)], id="an id that holds a colon"),
        pytest.param("ollama:llama3.2:1b", [("ollama", "llama3.2:1b", True)], id="a prefix before such an id"),
        pytest.param("box:mis", [("ollama", "Mistral", True)], id="aliases on both sides"),
        pytest.param("nobody:gpt-4o", [], id="unknown prefix"),
        pytest.param("openai:", [], id="nothing behind the prefix"),
        pytest.param(":gpt-4o", [], id="nothing before the colon"),
        pytest.param("", [], id="empty"),
        pytest.param("openai/gpt-4o", [("openai", "gpt-4o", True)], id="author/model"),
        pytest.param("claude/claude-opus-4-1", [("anthropic", "claude-opus-4-1", True)], id="author's alias"),
        pytest.param("openai:openai/gpt-4o", [("openai", "gpt-4o", True)], id="provider:author/model"),
        pytest.param("openai/gpt-9-preview", [("openai", "gpt-9-preview", False)], id="an author that is a provider"),
        pytest.param("qwen/qwen-9", [], id="an author that is none"),
        pytest.param("openai/gpt-oss-20b", [("groq", "openai/gpt-oss-20b", True)], id="an id that holds a slash"),
        pytest.param("groq:gpt-oss-20b", [("groq", "openai/gpt-oss-20b", True)], id="groq: bare, sent with its author"),
        pytest.param(
            "groq:meta-llama/llama-3.1-8b-instant",
            [("groq", "llama-3.1-8b-instant", True)],
            id="groq: with its author, sent bare",
        ),
    ],
)
def test_what_a_name_means(index: ModelIndex, name: str, expected: list[tuple[str, str, bool]]) -> None:
    assert found(index, name) == expected
    assert index.resolve([name]).rejected == (() if expected else ((name, Rejection.UNKNOWN),))


def test_every_provider_that_has_the_model_is_found_in_the_policys_order(providers_of) -> None:
    azure = [
        {"id": f"azure-{region}", "base_url": f"https://{region}.openai.azure.com", "models": [{"id": "gpt-4o"}]}
        for region in ("westus", "eastus")
    ]
    index = ModelIndex(providers_of(azure[0], {"id": "openai"}, azure[1]))
    assert [model.provider_id for model in index.resolve(["gpt-4o"]).models] == [
        "azure-westus",
        "openai",
        "azure-eastus",
    ]


def test_a_shared_prefix_means_every_provider_of_that_name(providers_of) -> None:
    eu = {"id": "openai-eu", "id_aliases": ["openai"], "base_url": "https://eu.test"}
    index = ModelIndex(providers_of({"id": "openai"}, eu))
    assert found(index, "openai:gpt-4o") == [("openai", "gpt-4o", True), ("openai-eu", "gpt-4o", True)]
    assert found(index, "openai-eu:gpt-4o") == [("openai-eu", "gpt-4o", True)]
    assert found(index, "openai:new") == [("openai", "new", False), ("openai-eu", "new", False)]


def test_names_keep_their_order_and_models_come_once(index: ModelIndex) -> None:
    resolution = index.resolve(["claude-opus-4-1", "nope", "gpt-4o", "openai:gpt-4o", "gpt-4-omni"])
    assert [model.id for model in resolution.models] == ["claude-opus-4-1", "gpt-4o"]
    assert resolution.rejected == (("nope", Rejection.UNKNOWN),)


@pytest.mark.parametrize(
    ("requested", "sent"),
    [
        ("gpt-4o", "gpt-4o"),
        ("GPT-4O", "gpt-4o"),
        ("gpt-4-omni", "gpt-4o"),
        ("chatgpt-4o-latest", "gpt-4o"),
        ("gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("GPT-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("openai:gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("openai/gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-20250514"),
        ("claude-sonnet-4", "claude-sonnet-4-0"),
        ("kimi-k2-instruct-0905", "moonshotai/kimi-k2-instruct-0905"),
    ],
)
def test_a_dated_build_is_sent_as_it_was_asked_for(index: ModelIndex, requested: str, sent: str) -> None:
    (model,) = index.resolve([requested]).models
    assert model.upstream_id == sent
    assert model.sent_as(requested) == sent
    assert model.sent_as(None) == model.sent_as("something else") == sent


@pytest.mark.parametrize(
    ("document", "name"),
    [
        pytest.param({"id": "openai", "disabled": True}, "gpt-4o", id="model of a disabled provider"),
        pytest.param({"id": "openai", "disabled": True}, "openai:gpt-4o", id="prefix of a disabled provider"),
        pytest.param({"id": "openai", "disabled": True}, "openai:gpt-9", id="unknown model of a disabled provider"),
        pytest.param({"id": "openai", "disabled": True}, "openai/gpt-9", id="author that is a disabled provider"),
        pytest.param({"id": "openai", "models": [{"id": "gpt-4o", "disabled": True}]}, "gpt-4o", id="model"),
        pytest.param({"id": "openai", "models": [{"id": "gpt-4o", "disabled": True}]}, "gpt-4-omni", id="its alias"),
        pytest.param({"id": "openai", "models": [{"id": "gpt-4o", "disabled": True}]}, "openai:GPT-4o", id="prefixed"),
        pytest.param({"id": "openai", "models": [{"id": "gpt-4o", "disabled": True}]}, "openai/gpt-4o", id="by author"),
    ],
)
def test_what_is_disabled_is_not_found(providers_of, document: dict, name: str) -> None:
    index = ModelIndex(providers_of(document))
    resolution = index.resolve([name])
    assert resolution.models == ()
    assert resolution.rejected == ((name, Rejection.DISABLED),)
    assert "gpt-4o" not in [model.id for model in index.all() if model.provider_id == "openai"]


def test_a_disabled_model_is_still_found_elsewhere(providers_of) -> None:
    other = {**OWN, "models": [{"id": "gpt-4o"}]}
    index = ModelIndex(providers_of({"id": "openai", "disabled": True}, other))
    assert found(index, "gpt-4o") == [("my-provider", "gpt-4o", True)]


def test_all_models_come_in_the_order_of_their_providers(index: ModelIndex) -> None:
    models = index.all()
    assert [model.id for model in models[:3]] == ["my-model", "llama3.2:1b", "Mistral"]
    assert {model.provider_id for model in index.all("anthropic")} == {"anthropic"}


@pytest.mark.parametrize(
    ("path", "wanted", "unwanted"),
    [
        ("/v1/chat/completions", "gpt-4o", "text-embedding-3-small"),
        ("/v1/responses", "gpt-5", "whisper-1"),
        ("/v1/messages", "claude-opus-5", "tts-1"),
        ("/v1/embeddings", "text-embedding-3-small", "gpt-4o"),
        ("/v1beta/models/x:embedContent", "gemini-embedding-001", "gemini-2.5-pro"),
        ("/v1/images/generations", "dall-e-3", "gpt-4o"),
        ("/v1/audio/speech", "tts-1", "whisper-1"),
        ("/v1/audio/transcriptions", "whisper-1", "tts-1"),
        ("/v1/moderations", "omni-moderation-latest", "gpt-4o"),
        ("/v1/completions", "gpt-3.5-turbo-instruct", "gpt-4o"),
    ],
)
def test_a_path_offers_models_of_its_kind(index: ModelIndex, path: str, wanted: str, unwanted: str) -> None:
    offered = [model.id for model in index.all(None, kind_of(path))]
    assert wanted in offered
    assert unwanted not in offered
    assert "my-model" in offered, "nothing is known of it, so it may be anything"
