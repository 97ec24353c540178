from __future__ import annotations

import pytest

from ai_gateway_mw.providers import FieldProblem, Provider, ProviderDocument, ProvidersError, doubts
from ai_gateway_mw.state import ModelMetrics

BOX = {"id": "my-box", "base_url": "https://box.internal", "models": [{"id": "llama3-70b", "id_aliases": ["llama"]}]}


def named(providers: tuple[Provider, ...], name: str) -> Provider:
    return next(provider for provider in providers if provider.id == name)


def test_configured_providers_come_first_and_in_order(providers_of) -> None:
    ids = [provider.id for provider in providers_of(BOX, {"id": "openai"}, {"id": "anthropic"})]
    assert ids[:3] == ["my-box", "openai", "anthropic"]
    assert ids[3:] == sorted(ids[3:])
    assert ids.count("openai") == 1


def test_settings_lie_over_the_catalogue(providers_of) -> None:
    openai = providers_of({"id": "openai", "metadata": {"team": "ml"}, "api_keys": [{"value": "sk"}]})[0]
    assert (openai.configured, openai.custom, openai.base_url) == (True, False, "https://api.openai.com/v1/")
    assert openai.api_keys == ("sk",)
    model = openai.model("gpt-4o")
    assert model is not None
    assert (model.metadata, model.custom) == ({"team": "ml"}, False)


def test_a_field_left_empty_says_nothing(providers_of) -> None:
    openai = providers_of({"id": "openai", "base_url": None, "credential": None, "models": []})[0]
    assert openai.base_url == "https://api.openai.com/v1/"
    assert openai.model("gpt-4o") is not None


def test_models_are_annotated_and_the_others_stay(providers_of) -> None:
    listed = [{"id": "GPT-4o", "metadata": {"approved": True, "team": "a"}}, {"id": "ft:gpt-4o:acme"}]
    openai = providers_of({"id": "openai", "metadata": {"team": "ml"}, "models": listed})[0]
    model = openai.model("gpt-4o")
    assert model is not None
    assert (model.id, model.custom, model.max_context_window) == ("gpt-4o", True, 128_000)
    assert model.metadata == {"approved": True, "team": "a"}
    assert model.sent_as("gpt-4o-2024-08-06") == "gpt-4o-2024-08-06"
    assert [each.id for each in openai.models][:2] == ["gpt-4o", "ft:gpt-4o:acme"]
    assert openai.model("gpt-5") is not None


def test_a_listed_alias_becomes_a_model_of_its_own(providers_of) -> None:
    listed = [{"id": "gpt-4o-2024-11-20", "id_aliases": ["gpt-4o", "gpt-4-latest"]}]
    openai = providers_of({"id": "openai", "models": listed})[0]
    model = openai.model("gpt-4o")
    assert model is not None
    assert (model.id, model.upstream_id, model.max_output_tokens) == ("gpt-4o-2024-11-20", "gpt-4o-2024-11-20", 16_384)
    assert openai.model("gpt-4-latest") is model
    assert openai.model("gpt-4-omni") is model, "it stands in for the whole model, so it has its other names as well"
    assert "gpt-4o" not in [each.id for each in openai.models]


def test_a_listed_snapshot_leaves_the_model_alone(providers_of) -> None:
    openai = providers_of({"id": "openai", "models": [{"id": "gpt-4o-2024-08-06", "disabled": True}]})[0]
    snapshot, model = openai.model("gpt-4o-2024-08-06"), openai.model("gpt-4o")
    assert snapshot is not None
    assert model is not None
    assert (snapshot.disabled, model.disabled) == (True, False)
    assert "gpt-4o-2024-08-06" not in model.id_aliases


def test_a_listed_alias_that_is_no_snapshot_is_sent_as_the_model(providers_of) -> None:
    anthropic = providers_of({"id": "anthropic", "models": [{"id": "claude-3.5-sonnet"}]})[0]
    model = anthropic.model("claude-3.5-sonnet")
    assert model is not None
    assert (model.id, model.upstream_id) == ("claude-3.5-sonnet", "claude-3-5-sonnet-20241022")


def test_a_provider_of_ones_own(providers_of) -> None:
    box = providers_of({**BOX, "metadata": {"gpu": "h100", "tier": {"name": "a"}}})[0]
    assert (box.custom, box.configured, box.needs_key, box.display_name) == (True, True, False, "my-box")
    surface = box.surface("openai", "responses")
    assert surface is not None
    assert surface.base_url == "https://box.internal"
    assert surface.credential.header("k") == (b"authorization", b"Bearer k")
    assert not box.serves("anthropic")
    (model,) = box.models
    assert (model.known, model.custom, model.kind, model.author_id) == (True, True, None, "")
    assert model.metadata == {"gpu": "h100", "tier": {"name": "a"}}


def test_a_provider_of_ones_own_in_anthropics_format(providers_of) -> None:
    formats = [{"format": "openai"}, {"format": "anthropic"}]
    surface = providers_of({**BOX, "supported_api_surfaces": formats})[0].surface("anthropic", "messages")
    assert surface is not None
    assert surface.credential.header("k") == (b"x-api-key", b"k")
    assert surface.fields == {"anthropic-version": "2023-06-01"}


def test_a_credential_of_ones_own(providers_of) -> None:
    box = {**BOX, "credential": {"field": "X-Auth", "scheme": "Token"}}
    surface = providers_of(box)[0].surface("openai")
    assert surface is not None
    assert surface.credential.header("k") == (b"x-auth", b"Token k")


def test_parameters_are_listed_for_one_endpoint_only(providers_of) -> None:
    listed = [{"format": "openai", "surface": "chat-completions", "supported_params": [{"name": "model"}, "messages"]}]
    box = providers_of({**BOX, "supported_api_surfaces": listed})[0]
    params = {name: box.surface("openai", name).supported_params for name in ("chat-completions", "responses", None)}
    assert params == {
        "chat-completions": {"model", "messages"},
        "responses": frozenset(),
        None: frozenset(),
    }


def test_listed_surfaces_of_a_known_provider_keep_its_ways(providers_of) -> None:
    listed = [{"format": "anthropic", "surface": "messages", "supported_params": ["model"]}]
    anthropic = providers_of({"id": "anthropic", "supported_api_surfaces": listed})[0]
    surface = anthropic.surface("anthropic", "messages")
    assert surface is not None
    assert surface.credential.header("k") == (b"x-api-key", b"k")
    assert surface.supported_params == {"model"}
    assert not anthropic.serves("openai")


def test_ones_own_address_is_the_address_of_every_format(providers_of) -> None:
    google = providers_of({"id": "google", "base_url": "https://proxy.test/google"})[0]
    assert {surface.base_url for surface in google.surfaces} == {"https://proxy.test/google"}


@pytest.mark.parametrize("name", ["inference.net", "inference_net", "Inference-Net"])
def test_a_known_provider_may_go_by_its_alias(providers_of, name: str) -> None:
    found = providers_of({"id": name})
    assert found[0].base_url == "https://api.inference.net/v1/"
    assert found[0].id == ("inference-net" if name == "Inference-Net" else name), (
        "strategies read the policy's spelling"
    )
    assert {"inference-net", "inference.net", "inference_net"} == found[0].names
    assert not found[0].custom
    assert sum("inference-net" in provider.names for provider in found) == 1


def test_a_known_providers_name_as_alias_brings_its_catalogue(providers_of) -> None:
    region = {"id": "openai-eu", "id_aliases": ["openai"], "base_url": "https://eu.api.openai.com"}
    providers = providers_of({"id": "openai", "metadata": {"region": "us"}}, {**region, "metadata": {"region": "eu"}})
    eu = named(providers, "openai-eu")
    model = eu.model("gpt-4o")
    assert model is not None
    assert (eu.custom, eu.needs_key, eu.base_url) == (True, True, "https://eu.api.openai.com")
    assert (model.known, model.custom, model.metadata, model.provider) == (True, False, {"region": "eu"}, eu)
    assert eu.names == {"openai-eu", "openai"}


@pytest.mark.parametrize("host", ["x.openai.azure.com", "x.cognitiveservices.azure.com", "X.Services.AI.Azure.com"])
def test_a_known_host_brings_its_ways(providers_of, host: str) -> None:
    url = f"https://{host}/openai/deployments/D"
    azure = providers_of({"id": "azure-eastus", "base_url": url, "models": [{"id": "gpt-4o"}]})[0]
    surface = azure.surface("openai", "chat-completions")
    assert surface is not None
    assert surface.credential.header("k") == (b"api-key", b"k")
    assert (surface.query_from_fields, surface.base_url, azure.custom) == (("api-version",), url, True)
    assert (azure.display_name, [model.id for model in azure.models]) == ("azure-eastus", ["gpt-4o"])


def test_a_lookalike_host_brings_nothing(providers_of) -> None:
    azure = providers_of({"id": "a", "base_url": "https://x.openai.azure.com.evil.test"})[0]
    surface = azure.surface("openai")
    assert surface is not None
    assert surface.credential.header("k") == (b"authorization", b"Bearer k")


def test_what_is_disabled_says_so_down_to_its_models(providers_of) -> None:
    openai = providers_of({"id": "openai", "disabled": True})[0]
    assert openai.disabled
    assert all(model.disabled for model in openai.models)


def test_models_carry_their_live_metrics(providers_of) -> None:
    metrics = ModelMetrics()
    openai = providers_of({"id": "openai"}, metrics=metrics.of)[0]
    assert openai.models[0].metrics["global"]["model"] == openai.models[0].id


@pytest.mark.parametrize(
    ("documents", "problems"),
    [
        pytest.param(
            [{"id": "opnai"}],
            [((0, "id"), "provider `opnai` is not in the catalogue, so it needs a base_url", "openai")],
            id="no address, maybe misspelled",
        ),
        pytest.param(
            [BOX, {"id": "azure-openai"}],
            [((1, "id"), "provider `azure-openai` needs a base_url: it has no address of its own", "")],
            id="known, but without an address",
        ),
        pytest.param(
            [{"id": "openai"}, {"id": "OpenAI"}],
            [((1, "id"), "provider `OpenAI` is configured twice", "")],
            id="twice",
        ),
        pytest.param(
            [{"id": "google"}, {"id": "gemini"}],
            [((1, "id"), "provider `gemini` is configured twice", "")],
            id="twice, under two names",
        ),
        pytest.param(
            [BOX, {"id": "b", "base_url": "https://b.test", "id_aliases": ["c", "My-Box"]}],
            [((1, "id_aliases", 1), "alias `My-Box` already names provider `my-box`", "")],
            id="an alias that is another's id",
        ),
        pytest.param(
            [{**BOX, "models": [{"id": "a"}, {"id": "A"}, {"id": "b", "id_aliases": ["x", "a"]}]}],
            [
                ((0, "models", 1, "id"), "model `A` is listed twice", ""),
                ((0, "models", 2, "id_aliases", 1), "alias `a` already names model `a`", ""),
            ],
            id="models that share a name",
        ),
    ],
)
def test_what_cannot_be(providers_of, documents: list, problems: list[tuple]) -> None:
    with pytest.raises(ProvidersError) as caught:
        providers_of(*documents)
    assert caught.value.problems == tuple(FieldProblem(*problem) for problem in problems)


def test_several_providers_may_have_the_same_model(providers_of) -> None:
    providers_of({**BOX, "id": "gpu-1"}, {**BOX, "id": "gpu-2"})


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://api.example.com/v1", True),
        ("http://8.8.8.8", True),
        ("https://api.example.com/v1", False),
        ("http://localhost:11434/v1", False),
        ("http://127.0.0.1", False),
        ("http://192.168.1.7:8000", False),
        ("http://[::1]", False),
        ("http://ollama.internal", False),
        ("http://ollama:11434", False),
        ("http://vllm.models.svc.cluster.local", False),
    ],
)
def test_cleartext_over_public_networks_is_warned_about(url: str, warned: bool) -> None:
    found = list(doubts([ProviderDocument(id="x", base_url=url)], {"ollama.internal"}))
    assert [problem.path for problem in found] == ([(0, "base_url")] if warned else [])
