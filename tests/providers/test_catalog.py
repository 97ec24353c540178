from __future__ import annotations

from pathlib import Path

import pytest

from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.providers import Catalog, ModelIndex, Provider, configured

URLS = {
    "openai": "https://api.openai.com/v1/",
    "anthropic": "https://api.anthropic.com/v1/",
    "google": "https://generativelanguage.googleapis.com/v1beta/openai/",
    "deepseek": "https://api.deepseek.com",
    "groq": "https://api.groq.com/openai/v1",
    "openrouter": "https://openrouter.ai/api/v1/",
    "hyperbolic": "https://api.hyperbolic.xyz/v1/",
    "inceptionlabs": "https://api.inceptionlabs.ai/v1",
    "inference-net": "https://api.inference.net/v1/",
    "moonshotai": "https://api.moonshot.ai/v1",
    "z-ai": "https://api.z.ai/api/paas/v4",
    "xai": "https://api.x.ai/v1",
}


@pytest.fixture(scope="module")
def providers(catalog: Catalog) -> dict[str, Provider]:
    return {provider.id: provider for provider in configured(catalog, ())}


def test_every_provider_with_an_address_is_there(providers: dict[str, Provider]) -> None:
    assert {name: provider.base_url for name, provider in providers.items()} == URLS


def test_catalogue_providers_need_a_key_and_are_nobodys_own(providers: dict[str, Provider]) -> None:
    assert all(provider.needs_key for provider in providers.values())
    assert not any(provider.custom or provider.configured or provider.disabled for provider in providers.values())


@pytest.mark.parametrize(
    ("provider", "alias"),
    [
        ("openai", "openAI"),
        ("openai", "open-ai"),
        ("anthropic", "Anthropic"),
        ("google", "gemini"),
        ("deepseek", "deep-seek"),
        ("groq", "groqcloud"),
        ("openrouter", "open-router"),
        ("inceptionlabs", "inception-labs"),
        ("inceptionlabs", "inception"),
        ("inference-net", "inference.net"),
        ("inference-net", "inference_net"),
    ],
)
def test_providers_have_their_aliases(catalog: Catalog, provider: str, alias: str) -> None:
    found = catalog.provider(alias)
    assert found is not None
    assert found.id == provider


@pytest.mark.parametrize(
    ("provider", "api_format", "url", "credential"),
    [
        ("openai", "openai", URLS["openai"], (b"authorization", b"Bearer sk")),
        ("anthropic", "openai", URLS["anthropic"], (b"authorization", b"Bearer sk")),
        ("anthropic", "anthropic", URLS["anthropic"], (b"x-api-key", b"sk")),
        ("google", "openai", URLS["google"], (b"authorization", b"Bearer sk")),
        ("google", "gemini", "https://generativelanguage.googleapis.com", (b"x-goog-api-key", b"sk")),
        ("groq", "openai", URLS["groq"], (b"authorization", b"Bearer sk")),
    ],
)
def test_each_format_has_its_address_and_its_credential(
    providers: dict[str, Provider], provider: str, api_format: str, url: str, credential: tuple[bytes, bytes]
) -> None:
    surface = providers[provider].surface(api_format)
    assert surface is not None
    assert surface.base_url == url
    assert surface.credential.header("sk") == credential


def test_formats_are_those_that_a_provider_serves(providers: dict[str, Provider]) -> None:
    formats = ("openai", "anthropic", "gemini")
    served = {name: {each for each in formats if provider.serves(each)} for name, provider in providers.items()}
    assert served.pop("anthropic") == {"openai", "anthropic"}
    assert served.pop("google") == {"openai", "gemini"}
    assert all(each == {"openai"} for each in served.values())


def test_anthropic_gets_its_version(providers: dict[str, Provider]) -> None:
    surface = providers["anthropic"].surface("anthropic", "messages")
    assert surface is not None
    assert surface.fields == {"anthropic-version": "2023-06-01"}


@pytest.mark.parametrize(
    ("provider", "model", "context", "output", "inputs"),
    [
        ("openai", "gpt-5", 400_000, 128_000, ("text", "image")),
        ("openai", "gpt-4.1", 1_047_576, 32_768, ("text", "image")),
        ("openai", "gpt-5.6-sol", 1_050_000, 128_000, ("text", "image")),
        ("openai", "gpt-3.5-turbo", 16_385, 4_096, ("text",)),
        ("anthropic", "claude-sonnet-4-5", 200_000, 64_000, ("text", "image", "file")),
        ("anthropic", "claude-opus-5", 1_000_000, 128_000, ("text", "image", "file")),
        ("google", "gemini-2.5-pro", 1_048_576, 65_536, ("text", "image", "audio", "video", "file")),
        ("deepseek", "deepseek-v4-pro", 1_000_000, 384_000, ("text",)),
        ("groq", "llama-3.3-70b-versatile", 131_072, 32_768, ("text",)),
        ("moonshotai", "kimi-k3", 1_048_576, 1_048_576, ("text", "image", "video")),
        ("z-ai", "glm-4-32b-0414-128k", 128_000, 16_000, ("text",)),
    ],
)
def test_models_have_their_limits(
    providers: dict[str, Provider], provider: str, model: str, context: int, output: int, inputs: tuple[str, ...]
) -> None:
    found = providers[provider].model(model)
    assert found is not None
    assert (found.max_context_window, found.max_output_tokens, found.input_modalities) == (context, output, inputs)
    assert (found.known, found.custom, found.kind) == (True, False, "chat")


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("claude-3-5-sonnet-20241022", "anthropic", "claude-3-5-sonnet-20241022"),
        ("claude-3-5-sonnet-latest", "anthropic", "claude-3-5-sonnet-20241022"),
        ("claude-3-5-sonnet", "anthropic", "claude-3-5-sonnet-20241022"),
        ("claude-3.5-sonnet", "anthropic", "claude-3-5-sonnet-20241022"),
        ("claude-sonnet-4-20250514", "anthropic", "claude-sonnet-4-0"),
        ("sonnet-3.7", "anthropic", "claude-3-7-sonnet-latest"),
        ("gpt-4-omni", "openai", "gpt-4o"),
        ("GPT-5 mini", "openai", "gpt-5-mini"),
        ("gpt-4.5", "openai", "gpt-4.5-preview"),
        ("gemini-3-pro", "google", "gemini-3-pro-preview"),
        ("meta-llama/llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
        ("llama-3.3-70b", "groq", "llama-3.3-70b-versatile"),
        ("llama-4-scout-17b-16e", "groq", "meta-llama/llama-4-scout-17b-16e-instruct"),
        ("gpt-oss-120b", "groq", "openai/gpt-oss-120b"),
        ("kimi-k2", "groq", "moonshotai/kimi-k2-instruct-0905"),
        ("qwen3-32b", "groq", "qwen/qwen3-32b"),
        ("text-embedding-3-small", "openai", "text-embedding-3-small"),
        ("whisper-1", "openai", "whisper-1"),
        ("tts-1", "openai", "tts-1"),
        ("gpt-image-1", "openai", "gpt-image-1"),
        ("dall-e-3", "openai", "dall-e-3"),
        ("omni-moderation-latest", "openai", "omni-moderation-latest"),
        ("gemini-embedding-001", "google", "gemini-embedding-001"),
        ("grok-4", "xai", "grok-4"),
    ],
)
def test_names_that_policies_and_clients_use(
    providers: dict[str, Provider], name: str, provider: str, model: str
) -> None:
    found = ModelIndex(list(providers.values())).resolve([name]).models
    assert [(each.provider_id, each.id) for each in found] == [(provider, model)]


def test_no_two_models_of_a_provider_share_a_name(catalog: Catalog) -> None:
    for provider in catalog.providers:
        names = [name.casefold() for model in provider.models for name in (model.id, *model.id_aliases)]
        assert len(names) == len(set(names)), provider.id


def test_models_know_their_author(providers: dict[str, Provider]) -> None:
    llama = providers["groq"].model("llama-3.1-8b-instant")
    assert llama is not None
    assert (llama.author_id, llama.author_id_aliases) == ("meta-llama", ("meta", "llama"))
    assert all(model.author is not None for provider in providers.values() for model in provider.models)


def test_prices_are_found_by_both_spellings(providers: dict[str, Provider]) -> None:
    model = providers["openai"].model("gpt-4o")
    assert model is not None
    assert model.pricing["text"]["input"] == model.pricing["input"] == 2.5


def test_users_data_lies_on_top(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        """
authors: [{id: acme}]
providers:
  - id: openai
    models: [{id: gpt-4o, pricing: {text: {input: 1}}, datacenters: [{country_code: US, region: us-east-1}]}]
  - id: acme
    base_url: https://api.acme.test/v1
    models: [{id: acme-1, author_id: acme}]
"""
    )
    for place in (file, tmp_path):
        providers = {each.id: each for each in configured(Catalog.load(place), ())}
        model = providers["openai"].model("gpt-4o")
        assert model is not None
        assert (model.pricing, model.max_context_window, model.custom) == (
            {"text": {"input": 1.0}, "input": 1.0},
            128_000,
            False,
        )
        assert providers["openai"].model("gpt-5") is not None
        assert providers["openai"].base_url == URLS["openai"]
        assert providers["acme"].model("acme-1") is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "providers: [{id: x, base_url: nowhere}]",
            "`providers[0].base_url`: a base_url begins with https:// or http://",
        ),
        ("provider: []", "unknown field `provider`; did you mean `providers`?"),
        ("providers: [", "mine.yaml:1:"),
        ("[]", "mine.yaml:1:1: expected a mapping, found an empty list"),
    ],
)
def test_users_data_that_cannot_be_used(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(PolicyError, match=r"mine\.yaml") as caught:
        Catalog.load(file)
    assert says in str(caught.value)


def test_users_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        Catalog.load(tmp_path / "none.yaml")
