from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import permutations
from math import factorial
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from ai_gateway_mw.cel import STANDARD_FUNCTIONS, Environment, EvaluationError, ExpressionError, Variable
from ai_gateway_mw.providers import Catalog, Provider, ProviderDocument, configured
from ai_gateway_mw.secrets import Secret
from ai_gateway_mw.state import MemoryProviderKeys, ModelMetrics, Result
from ai_gateway_mw.upstream.functions import AUTHORS, KEYS, MODELS, PROVIDERS, ai_functions, ai_types
from ai_gateway_mw.upstream.key_ring import ProviderKey

BOX: dict[str, Any] = {
    "id": "box",
    "id_aliases": ["my-box"],
    "base_url": "https://box.internal",
    "metadata": {"region": "eu", "config": {"gpu": "h100"}},
    "models": [
        {
            "id": "llama",
            "id_aliases": ["llama3.2:1b"],
            "author_id": "meta",
            "metadata": {"tier": "budget"},
            "datacenters": [{"country_code": "DE", "region": "eu-central-1"}],
            "supported_features": ["tool-calling"],
            "parameter_count": 1_000_000_000,
            "data_retention_days": 0,
            "pricing": {"text": {"input": 0.0, "output": 0.5}, "tools": {"web_search": {"per_search_call": 0.01}}},
        },
        {"id": "unpriced"},
    ],
}
KEY_NAMES = ("k1", "k2", "k3")


@pytest.fixture(scope="module")
def providers() -> Sequence[Provider]:
    catalog = Catalog.load()
    chosen = [{"id": "openai"}, {"id": "anthropic"}, {"id": "groq"}, BOX]
    documents = [ProviderDocument.model_validate(document) for document in chosen]
    return configured(catalog, documents, metrics=ModelMetrics().of)


@pytest.fixture(scope="module")
def environment(providers: Sequence[Provider]) -> Environment:
    return Environment(
        variables=(
            Variable("ai.models", MODELS, lambda ctx: ctx.models),
            Variable("ai.keys", KEYS, lambda ctx: ctx.keys),
            Variable("ai.providers", PROVIDERS, lambda ctx: ctx.providers),
            Variable("ai.authors", AUTHORS, lambda ctx: ctx.authors),
        ),
        functions=(*STANDARD_FUNCTIONS, *ai_functions(Random(7))),
        types=ai_types(),
        lenient=True,
    )


@pytest.fixture
def ctx(providers: Sequence[Provider]) -> SimpleNamespace:
    wanted = ["gpt-4o", "gpt-4o-mini", "claude-opus-4-1", "llama-3.1-8b-instant", "llama", "unpriced"]
    models = [model for provider in providers for model in provider.models if model.id in wanted]
    states = MemoryProviderKeys()
    keys = [ProviderKey(name, Secret(f"sk-{name}", name), states.state(name), None) for name in KEY_NAMES]  # type: ignore[arg-type]
    authors = list({model.author.id: model.author for model in models if model.author}.values())
    return SimpleNamespace(models=models, keys=keys, providers=providers, authors=authors)


def ids(value: Any) -> Any:
    return [item.id for item in value] if isinstance(value, list | tuple) else value.id


CHEAPEST_FIRST = ["llama", "llama-3.1-8b-instant", "gpt-4o-mini", "gpt-4o", "claude-opus-4-1", "unpriced"]
ALL = ["gpt-4o", "gpt-4o-mini", "claude-opus-4-1", "llama-3.1-8b-instant", "llama", "unpriced"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ai.models", ALL),
        ("ai.models.only(['gpt-4o', 'LLAMA3.2:1b'])", ["gpt-4o", "llama"]),
        ("ai.models.ignore(['gpt-4-omni', 'gpt-4o-mini', 'llama', 'claude-opus-4.1'])[1]", "unpriced"),
        ("ai.models.onlyProviders(['OpenAI', 'my-box'])", ["gpt-4o", "gpt-4o-mini", "llama", "unpriced"]),
        ("ai.models.ignoreProviders(['open-ai', 'groqcloud'])", ["claude-opus-4-1", "llama", "unpriced"]),
        ("ai.models.onlyAuthors(['claude', 'meta'])", ["claude-opus-4-1", "llama-3.1-8b-instant", "llama"]),
        ("ai.models.ignoreAuthors(['openai', 'meta-llama'])", ["claude-opus-4-1", "unpriced"]),
        ("ai.models.inRegion('EU-central-1')", ["llama"]),
        ("ai.models.inCountryCode('de')", ["llama"]),
        ("ai.models.inCountryCode('US')", []),
        ("ai.models.underCost('text.input', 0.15)", ["llama-3.1-8b-instant", "llama"]),
        ("ai.models.underCost('text.input', 1)", ["gpt-4o-mini", "llama-3.1-8b-instant", "llama"]),
        ("ai.models.underCost('text.output', 0.5)", ["llama-3.1-8b-instant"]),
        ("ai.models.onlyProviders(['box']).underCost('tools.web_search.per_search_call', 0.02)", ["llama"]),
        ("ai.models.underCost('text.input', 0.5).sortBy('price')", ["llama", "llama-3.1-8b-instant", "gpt-4o-mini"]),
        ("ai.models.sortBy('price')", CHEAPEST_FIRST),
        ("ai.models.sortBy(m, m.pricing.input)[0]", "llama"),
        ("ai.models.sortBy(m, m.pricing.text.input)[1]", "llama-3.1-8b-instant"),
        ("ai.models.get('openai', 'GPT-4o')", "gpt-4o"),
        ("ai.models.get('my-box', 'llama3.2:1b')", "llama"),
        ("ai.models[2]", "claude-opus-4-1"),
        ("ai.models.filter(m, m.provider_id == 'openai')", ["gpt-4o", "gpt-4o-mini"]),
        ("ai.models.filter(m, m.metadata.tier == 'budget')", ["llama"]),
        ("ai.models.filter(m, m.metadata.region == 'eu')", ["llama", "unpriced"]),
        ("ai.models.filter(m, m.getMetadata('config.gpu') == 'h100')", ["llama", "unpriced"]),
        ("ai.models.filter(m, m.getMetadata('config.nothing.here') == null)", ALL),
        ("ai.models.filter(m, 'tool-calling' in m.supported_features && m.custom)", ["llama"]),
        ("ai.models.filter(m, 'image' in m.input_modalities)", ["gpt-4o", "gpt-4o-mini", "claude-opus-4-1"]),
        ("ai.models.filter(m, m.max_context_window >= 200000)", ["claude-opus-4-1"]),
        ("ai.models.filter(m, m.parameter_count == 1000000000)", ["llama"]),
        ("ai.models.filter(m, m.data_retention_days == 0)", ["llama"]),
        ("ai.models.filter(m, m.datacenters.exists(d, d.region.startsWith('eu-')))", ["llama"]),
        ("ai.models.filter(m, m.author_id == 'meta-llama' && 'llama' in m.author_id_aliases)[1]", "llama"),
        ("ai.models.filter(m, 'my-box' in m.provider_id_aliases).filter(m, m.id.contains('priced'))", ["unpriced"]),
        ("ai.models.filter(m, m.known)", ALL),
        ("ai.models.filter(m, m.metrics.global.latency.upstream_ms_avg < 1500)", ALL),
        ("ai.models.filter(m, m.metrics.endpoint.request_count > 0)", []),
        ("ai.models.filter(m, m.metrics.global.latency.time_to_first_token_ms_avg < 100)", []),
        ("ai.models.filter(m, 'k' in m.metrics.api_keys && m.metrics.api_keys['k'].error_rate.total < 0.1)", []),
        ("ai.models.filter(m, m.metrics.api_keys['k'].error_rate.total < 0.1)", []),
        ("ai.providers.get('my-box')", "box"),
        ("ai.providers.get('my-box').getModel('llama3.2:1b')", "llama"),
        ("ai.providers.only(['box', 'OpenAI'])", ["openai", "box"]),
        ("ai.providers.only(['box'])[0].models", ["llama", "unpriced"]),
        ("ai.providers.filter(p, p.getMetadata('region') == 'eu')", ["box"]),
        ("ai.authors.get('claude')", "anthropic"),
        ("ai.authors.ignore(['openai', 'llama'])", ["anthropic"]),
        ("ai.keys", list(KEY_NAMES)),
        ("ai.keys.only(['k2', 'k3'])", ["k2", "k3"]),
        ("ai.keys.filter(k, k.value == ai.keys[1].value)", ["k2"]),
        ("ai.keys.filter(k, k.state == 'ok' && !k.cooling && k.in_flight == 0 && k.samples == 0)", list(KEY_NAMES)),
        ("ai.keys.filter(k, k.error_rate.total < 0.2 && k.error_rate.rate_limit < 0.05)", list(KEY_NAMES)),
        ("ai.keys.filter(k, k.latency.upstream_ms_p95 < 2000)", list(KEY_NAMES)),
        ("ai.keys.filter(k, k.latency.time_to_first_token_ms_avg < 500)", []),
        ("ai.keys.filter(k, k.quota.remaining_requests > 100)", []),
    ],
)  # fmt: skip
def test_what_strategies_select(environment: Environment, ctx: SimpleNamespace, text: str, expected: Any) -> None:
    assert ids(environment.expression(text)(ctx)) == expected


def test_keys_are_told_apart_by_their_live_state(environment: Environment, ctx: SimpleNamespace) -> None:
    plenty = environment.expression("ai.keys.filter(k, k.quota.remaining_requests > 100)")
    healthy = environment.expression("ai.keys.filter(k, k.error_rate.rate_limit < 0.05 && !k.cooling)")
    ctx.keys[0].quota.learn([(b"x-ratelimit-remaining-requests", b"101")])
    ctx.keys[1].quota.learn([(b"x-ratelimit-remaining-requests", b"100")])
    for _ in range(10):
        ctx.keys[2].live.record(Result.RATE_LIMITED)
    assert ids(plenty(ctx)) == ["k1"]
    assert ids(healthy(ctx)) == ["k1", "k2"]


@pytest.mark.parametrize("items", ["models", "providers", "authors", "keys"])
def test_chance_picks_one_or_shuffles(environment: Environment, ctx: SimpleNamespace, items: str) -> None:
    every = ids(getattr(ctx, items))
    one, shuffled = (environment.expression(f"ai.{items}.{how}()") for how in ("random", "randomize"))
    assert {one(ctx).id for _ in range(400)} == set(every)
    orders = {tuple(ids(shuffled(ctx))) for _ in range(50)}
    assert len(orders) > 1
    assert all(sorted(order) == sorted(every) for order in orders)
    assert ids(getattr(ctx, items)) == every


@pytest.mark.parametrize("many", range(6))
def test_every_order_is_as_likely(many: int) -> None:
    """Few things and many are put in order in two ways."""
    shuffled = next(row for row in ai_functions(Random(1)) if row.name == "randomize").call
    drawn = Counter(tuple(shuffled(list(range(many)))) for _ in range(200 * factorial(many)))
    assert set(drawn) == set(permutations(range(many)))
    assert all(140 < times < 260 for times in drawn.values())


@pytest.mark.parametrize(
    "text",
    [
        "ai.models.filter(m, false).random()",
        "ai.models.get('openai', 'nothing')",
        "ai.models.get('anthropic', 'gpt-4o')",
        "ai.providers.get('nobody')",
        "ai.models.sortBy('name')",
        "ai.models.underCost('text.imput', 1.0)",
        "ai.models.filter(m, false)[0]",
    ],
)
def test_what_fails_at_run_time(environment: Environment, ctx: SimpleNamespace, text: str) -> None:
    with pytest.raises(EvaluationError):
        environment.expression(text)(ctx)


@pytest.mark.parametrize(
    "text",
    [
        "ai.models.filter(m, m.capabilities.contains('chat'))",
        "ai.models.filter(m, m.provider.id == 'openai')",
        "ai.keys.onlyProviders(['openai'])",
        "ai.models.only('gpt-4o')",
        "ai.keys.filter(k, k.value == 'sk-k1')",
        "ai.keys.filter(k, k.value.startsWith('sk'))",
        "ai.keys.filter(k, string(k.value) == 'sk-k1')",
        "ai.keys.filter(k, k.value.name == 'k1')",
        "ai.keys.filter(k, size(k.value) > 1)",
    ],
)
def test_what_is_refused_at_load(environment: Environment, text: str) -> None:
    with pytest.raises(ExpressionError):
        environment.expression(text)
