from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.secrets import MemorySource, SecretStore
from ai_gateway_mw.upstream import steps
from ai_gateway_mw.upstream.key_ring import ShownKey
from ai_gateway_mw.upstream.request import UpstreamRequests, joined
from tests.asgi import request
from tests.upstream.scripted import Arrived, Providers, chat, failing, gateway, with_keys

pytestmark = pytest.mark.anyio


@pytest.fixture
def providers() -> Providers:
    return Providers()


def box(**more: Any) -> dict[str, Any]:
    """The config of a gateway to one provider of its own."""
    return {"providers": [{"id": "box", "base_url": "https://box.test/v1", "api_keys": [{"value": "k"}], **more}]}


@pytest.mark.parametrize(
    ("base_url", "path", "url"),
    [
        ("https://api.openai.com/v1/", "/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "/v1/chat/completions",
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        ),
        ("https://api.groq.com/openai/v1", "/v1/chat/completions", "https://api.groq.com/openai/v1/chat/completions"),
        ("https://api.deepseek.com", "/v1/chat/completions", "https://api.deepseek.com/v1/chat/completions"),
        ("https://ollama.internal", "/v1/embeddings", "https://ollama.internal/v1/embeddings"),
        ("https://ollama.internal/", "/v1/embeddings", "https://ollama.internal/v1/embeddings"),
        ("http://localhost:11434/v1", "/v1/models", "http://localhost:11434/v1/models"),
        ("https://eu.api.openai.com", "/v1/responses", "https://eu.api.openai.com/v1/responses"),
        (
            "https://x.openai.azure.com/openai/deployments/D",
            "/v1/chat/completions",
            "https://x.openai.azure.com/openai/deployments/D/chat/completions",
        ),
        ("https://api.anthropic.com/v1/", "/v1/messages", "https://api.anthropic.com/v1/messages"),
        ("https://dmr.internal/engines/v1", "/v1/completions", "https://dmr.internal/engines/v1/completions"),
        (
            "https://generativelanguage.googleapis.com",
            "/v1beta/models/m:generateContent",
            "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
        ),
        *(
            ("https://box.test/google/v1beta", path, "https://box.test/google/v1beta/models/m:generateContent")
            for path in ("/v1beta/models/m:generateContent", "/v1/models/m:generateContent")
        ),
    ],
)
def test_a_base_url_and_a_clients_path_are_joined(base_url: str, path: str, url: str) -> None:
    assert joined(base_url, path) == url


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/chat/completions?trace=1&empty=", "/v1/chat/completions?trace=1&empty="),
        ("/v1/chat/completions?q=a%20b%26c", "/v1/chat/completions?q=a%20b%26c"),
        ("/v1/chat/completions?q=a+b&flag&e=%E9&e=%c3%a9", "/v1/chat/completions?q=a+b&flag&e=%E9&e=%c3%a9"),
        ("/v1/chat/completions?q=\xe9", "/v1/chat/completions?q=%E9"),
        ("/v1/chat/completions?%6Bey=a&API_key=b&x=1", "/v1/chat/completions?x=1"),
        ("/v1/chat/completions?key=sk-own&api_key=b&access_token=c&x=1", "/v1/chat/completions?x=1"),
        ("/v1/images/edits", "/v1/images/edits"),
    ],
)
async def test_paths_and_queries_go_on_without_credentials(providers: Providers, path: str, target: str) -> None:
    await chat(gateway(box(), providers), "box:any", path=path)
    assert providers.requests[0].url.raw_path == target.encode()


async def test_a_path_that_names_no_model_goes_to_the_first_provider(providers: Providers) -> None:
    config = {"providers": [{"id": name, "api_keys": [{"value": name}]} for name in ("openai", "deepseek")]}
    await request(gateway(config, providers).app, "GET", "/v1/files/file-1/content?after=x")
    assert providers.urls == ["https://api.openai.com/v1/files/file-1/content?after=x"]


# Bodies ---------------------------------------------------------------------------------------------------------------


async def sent_body(providers: Providers, config: dict[str, Any], content: bytes, path: str = "") -> bytes:
    path = path or "/v1/chat/completions"
    await request(gateway(config, providers).app, "POST", path, body=content)
    return providers.requests[-1].content


@pytest.mark.parametrize(
    "content",
    [
        b'{"model":"gpt-4o"}',
        b'\n{ "messages" : [ ] , "model" : "gpt-4o" }\n',
        '{"model":"gpt-4o","user":"Zo\u00eb \U0001f600 \\ud83d\\ude00 \\/"}'.encode(),
        b'{"temperature":1.00,"seed":9007199254740993,"model":"gpt-4o","n":1E0,"x":-0}',
        b'{"m\\u006fdel":"gpt-4o"}',
        b'{"model":"\\u0067pt-4o"}',
    ],
)
async def test_a_body_that_needs_no_change_keeps_its_bytes(providers: Providers, content: bytes) -> None:
    assert await sent_body(providers, with_keys("k"), content) == content


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b'{"model":"openai:gpt-4o"}', b'{"model":"gpt-4o"}'),
        (b'{ "a" : 1.0 , "model" : "GPT-4o", "b": [ 1 ] }', b'{ "a" : 1.0 , "model" : "gpt-4o", "b": [ 1 ] }'),
        (b'{"model":"gpt-4o","models":["o3"],"n":1}', b'{"model":"gpt-4o","n":1}'),
        (b'{"models":["gpt-4o"],"n":1}', b'{"n":1,"model":"gpt-4o"}'),
        (b'{"model":"gpt-4o-2024-11-20"}', b'{"model":"gpt-4o-2024-11-20"}'),
        (b'{"model":"openai:gpt-99-preview"}', b'{"model":"gpt-99-preview"}'),
        (b'{"model":"openai/gpt-4o"}', b'{"model":"gpt-4o"}'),
        ('{"model":"openai:gpt-4o","user":"Zoë"}'.encode(), '{"model":"gpt-4o","user":"Zoë"}'.encode()),
    ],
)
async def test_only_the_model_is_rewritten(providers: Providers, content: bytes, sent: bytes) -> None:
    assert await sent_body(providers, with_keys("k"), content) == sent


async def test_a_model_is_sent_by_the_name_that_its_provider_knows(providers: Providers) -> None:
    config = box(models=[{"id": "llama", "id_aliases": ["small"], "upstream_id": "meta-llama/Llama-3.2-1B"}])
    for asked in ("llama", "small", "box:small", "Small"):
        assert json.loads(await sent_body(providers, config, json.dumps({"model": asked}).encode())) == {
            "model": "meta-llama/Llama-3.2-1B"
        }


async def test_each_provider_gets_its_own_name_of_the_model(providers: Providers) -> None:
    east = {"id": "east", "base_url": "https://e.test", "models": [{"id": "llama", "upstream_id": "llama-east"}]}
    west = {"id": "west", "base_url": "https://w.test", "models": [{"id": "llama", "upstream_id": "llama-west"}]}
    providers.on(None, 500)
    await chat(gateway({"providers": [east, west]}, providers), "llama")
    assert [body["model"] for body in providers.bodies] == ["llama-east", "llama-west"]


CHAT_PARAMS = [{"name": name} for name in ("model", "messages", "temperature", "stream")]


def allowing(*params: Any) -> dict[str, Any]:
    return {"format": "openai", "surface": "chat-completions", "supported_params": params}


@pytest.mark.parametrize(
    ("config", "path", "kept"),
    [
        pytest.param(box(), "/v1/chat/completions", "model messages temperature top_k tools", id="no-lists"),
        pytest.param(
            box(supported_api_surfaces=[allowing(*CHAT_PARAMS)]),
            "/v1/chat/completions",
            "model messages temperature",
            id="surface-allows",
        ),
        pytest.param(
            box(supported_api_surfaces=[allowing("model", "messages")]),
            "/v1/chat/completions",
            "model messages",
            id="surface-allows-by-plain-names",
        ),
        pytest.param(
            box(supported_api_surfaces=[allowing(*CHAT_PARAMS)]),
            "/v1/responses",
            "model messages temperature top_k tools",
            id="another-surface-has-no-list",
        ),
        pytest.param(
            box(supported_api_surfaces=[allowing(*CHAT_PARAMS)]),
            "/v1/embeddings",
            "model messages temperature top_k tools",
            id="no-list-for-paths-without-a-surface",
        ),
        pytest.param(
            box(
                supported_api_surfaces=[{"format": "openai", "surface": "chat-completions", "supported_params": ["n"]}]
            ),
            "/v1/chat/completions",
            "",
            id="a-list-may-forget-the-model",
        ),
        pytest.param(
            box(models=[{"id": "any", "unsupported_params": [{"name": "temperature"}, {"name": "top_k"}]}]),
            "/v1/responses",
            "model messages tools",
            id="model-denies-on-every-surface",
        ),
        pytest.param(
            box(
                supported_api_surfaces=[allowing(*CHAT_PARAMS)],
                models=[{"id": "any", "unsupported_params": ["temperature"]}],
            ),
            "/v1/chat/completions",
            "model messages",
            id="both",
        ),
    ],
)
async def test_members_that_are_not_supported_are_dropped(
    providers: Providers, config: dict[str, Any], path: str, kept: str
) -> None:
    nested = [{"type": "function", "function": {"temperature": 1}}]
    await chat(gateway(config, providers), "box:any", path=path, temperature=1, top_k=5, tools=nested)
    assert list(providers.bodies[0]) == kept.split()
    assert providers.bodies[0].get("tools", nested) == nested


async def test_the_policys_members_win_over_the_clients(providers: Providers) -> None:
    added = {"temperature": 0.7, "user": "${req.method}", "metadata": {"ip": "${conn.client_ip}", "n": "${1 + 1}"}}
    await chat(gateway(with_keys("k", body=added), providers), temperature=2, metadata={"mine": 1}, n=1)
    body = providers.bodies[0]
    assert body["temperature"] == 0.7
    assert body["user"] == "POST"
    assert body["metadata"] == {"ip": "127.0.0.1", "n": 2}
    assert body["n"] == 1


@pytest.mark.parametrize(
    ("path", "asked", "sent"),
    [
        ("/v1/chat/completions", {}, {"max_completion_tokens": 100}),
        ("/v1/chat/completions", {"max_completion_tokens": 50}, {"max_completion_tokens": 50}),
        ("/v1/chat/completions", {"max_completion_tokens": 500}, {"max_completion_tokens": 100}),
        ("/v1/chat/completions", {"max_tokens": 500}, {"max_tokens": 100}),
        ("/v1/chat/completions", {"max_tokens": 0}, {"max_tokens": 100}),
        ("/v1/chat/completions", {"max_tokens": -1}, {"max_tokens": 100}),
        ("/v1/chat/completions", {"max_tokens": None}, {"max_tokens": None, "max_completion_tokens": 100}),
        ("/v1/responses", {"max_output_tokens": 101}, {"max_output_tokens": 100}),
        ("/v1/responses", {}, {"max_output_tokens": 100}),
        ("/v1/completions", {"max_tokens": "many"}, {"max_tokens": 100}),
        ("/v1/completions", {"max_tokens": True}, {"max_tokens": 100}),
        ("/v1/embeddings", {}, {}),
    ],
)
async def test_the_output_is_capped_in_the_member_that_counts(
    providers: Providers, path: str, asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    await chat(gateway(with_keys("k", max_output_tokens=100), providers), path=path, **asked)
    assert {name: value for name, value in providers.bodies[0].items() if name.startswith("max_")} == sent


@pytest.mark.parametrize(
    ("params", "denied", "asked", "sent"),
    [
        pytest.param(["max_tokens"], [], {"max_completion_tokens": 500}, {"max_tokens": 100}, id="not-listed"),
        pytest.param(["max_tokens"], [], {"max_completion_tokens": 50}, {"max_tokens": 50}, id="a-smaller-one-stays"),
        pytest.param(["max_completion_tokens"], [], {}, {"max_completion_tokens": 100}, id="the-other-spelling"),
        pytest.param([], ["max_tokens"], {"max_tokens": 100}, {"max_completion_tokens": 100}, id="denied-by-the-model"),
        pytest.param([], ["max_completion_tokens"], {"max_tokens": 100}, {"max_tokens": 100}, id="held-already"),
        pytest.param(["temperature"], [], {"max_tokens": 7}, {"max_tokens": 7}, id="neither-is-listed"),
    ],
)
async def test_the_cap_stands_in_a_member_that_is_not_dropped(
    providers: Providers, params: list[str], denied: list[str], asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    allowed = [allowing("model", "messages", *params)] if params else []
    config = box(supported_api_surfaces=allowed, models=[{"id": "any", "unsupported_params": denied}])
    await chat(gateway({**config, "max_output_tokens": 100}, providers), "box:any", **asked)
    assert {name: value for name, value in providers.bodies[0].items() if name.startswith("max_")} == sent


@pytest.mark.parametrize(
    ("config", "asked"),
    [
        pytest.param({"max_output_tokens": 100}, {"max_tokens": 5, "Max_Tokens": 9999}, id="a limit"),
        pytest.param({"body": {"user": "us"}}, {"USER": "them"}, id="a member of the policy"),
    ],
)
async def test_another_spelling_of_what_the_policy_decides_is_refused(
    providers: Providers, config: dict[str, Any], asked: dict[str, Any]
) -> None:
    """Some providers do not tell upper case from lower."""
    answer = await chat(gateway(with_keys("k", **config), providers), **asked)
    assert (answer.status, answer.headers["x-gateway-error"]) == (400, "invalid_request")
    assert not providers.keys


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, {"generationConfig": {"maxOutputTokens": 100}}),
        (
            {"generation_config": {"max_output_tokens": 900, "temperature": 1}},
            {"generation_config": {"max_output_tokens": 100, "temperature": 1}},
        ),
        ({"generation_config": {}}, {"generation_config": {"maxOutputTokens": 100}}),
        (
            {"generationConfig": {"max_output_tokens": 7}, "generation_config": 3},
            {"generationConfig": {"max_output_tokens": 7}, "generation_config": {"maxOutputTokens": 100}},
        ),
    ],
)
async def test_gemini_takes_two_spellings_and_both_are_capped(
    providers: Providers, asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    app = gateway({"providers": [GOOGLE], "max_output_tokens": 100}, providers).app
    await request(app, "POST", "/v1beta/models/gemini-2.5-pro:generateContent", json=asked)
    assert providers.bodies[0] == sent


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("${timestamp('2024-01-02T03:04:05Z')}", "2024-01-02T03:04:05Z"),
        ("${duration('90s')}", "1m30s"),
        ("${b'ab'}", "YWI="),
        ("${{'a': [1, 2.5, null]}}", {"a": [1, 2.5, None]}),
    ],
)
async def test_a_value_of_the_body_may_be_of_any_type(providers: Providers, value: str, sent: Any) -> None:
    await chat(gateway(with_keys("k", body={"x": value}), providers))
    assert providers.bodies[0]["x"] == sent


@pytest.mark.parametrize("value", ["${double('NaN')}", "${[{'a': double('Infinity')}]}"])
async def test_a_value_that_json_cannot_say_is_refused(providers: Providers, value: str) -> None:
    answer = await chat(gateway(with_keys("k", body={"x": value}), providers))
    assert (answer.status, answer.json()["error"]["code"]) == (403, "policy_denied")
    assert providers.requests == []


async def test_the_output_of_the_other_formats_is_capped_as_well(providers: Providers) -> None:
    config = {
        "providers": [
            {"id": "anthropic", "api_keys": [{"value": "a"}]},
            {"id": "google", "api_keys": [{"value": "g"}]},
        ],
        "max_output_tokens": 100,
    }
    gateway_ = gateway(config, providers)
    await chat(gateway_, "claude-sonnet-4-5", path="/v1/messages", max_tokens=4096)
    asked = {"contents": [], "generationConfig": {"temperature": 1, "maxOutputTokens": 200}}
    await request(gateway_.app, "POST", "/v1beta/models/gemini-2.5-pro:generateContent", json=asked)
    assert providers.bodies[0]["max_tokens"] == 100
    assert providers.bodies[1]["generationConfig"] == {"temperature": 1, "maxOutputTokens": 100}


async def test_a_form_keeps_its_files_and_gets_its_models_own_name(providers: Providers) -> None:
    parts = [
        b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n\x00\xff openai:whisper-1',
        b'Content-Disposition: form-data; name="model"\r\n\r\nopenai:whisper-1',
        b'content-disposition: form-data; name="language"\r\n\r\nen',
    ]
    form = b"--x\r\n" + b"\r\n--x\r\n".join(parts) + b"\r\n--x--\r\n"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    gateway_ = gateway(with_keys("k"), providers)
    await request(gateway_.app, "POST", "/v1/audio/transcriptions", headers=headers, body=form)
    assert b'name="model"\r\n\r\nwhisper-1\r\n' in providers.requests[0].content
    assert b"\x00\xff openai:whisper-1\r\n" in providers.requests[0].content
    assert b'name="language"\r\n\r\nen\r\n' in providers.requests[0].content
    assert providers.requests[0].headers["content-type"] == headers["content-type"]


# Fields and credentials -----------------------------------------------------------------------------------------------


async def test_only_fields_that_concern_the_provider_go_on(providers: Providers) -> None:
    fields = {
        "accept": "application/json",
        "user-agent": "sdk/1",
        "openai-organization": "org-1",
        "x-stainless-lang": "python",
        "idempotency-key": "abc",
        "authorization": "Bearer sk-own",
        "cookie": "session=1",
        "x-forwarded-for": "10.0.0.1",
        "x-internal": "1",
        "connection": "keep-alive, x-stainless-os",
        "x-stainless-os": "Linux",
        "te": "trailers",
        "accept-encoding": "gzip, br",
        "host": "gateway.test",
    }
    await request(
        gateway(with_keys("k"), providers).app, "POST", "/v1/embeddings", headers=fields, json={"model": "gpt-4o"}
    )
    assert dict(providers.requests[0].headers) == {
        "host": "api.openai.com",
        "accept": "application/json",
        "user-agent": "sdk/1",
        "x-stainless-lang": "python",
        "idempotency-key": "abc",
        "content-type": "application/json",
        "content-length": "19",
        "accept-encoding": "identity",
        "authorization": "Bearer k",
    }


async def test_the_policys_fields_and_parameters_are_added(providers: Providers) -> None:
    config = with_keys(
        "k",
        headers={"X-Request-ID": "${req.id}", "User-Agent": "gateway", "X-Team": "${getReqHeader('x-team')[0]}"},
        query_params={"version": "2", "method": "${req.method}"},
    )
    headers = {"x-team": "red", "user-agent": "sdk"}
    path = "/v1/embeddings?version=1&other=1"
    await request(gateway(config, providers).app, "POST", path, headers=headers, json={"model": "gpt-4o"})
    sent = providers.requests[0]
    assert sent.headers["x-request-id"].startswith("req_")
    assert sent.headers.get_list("user-agent") == ["gateway"]
    assert sent.headers["x-team"] == "red"
    assert sent.url.query == b"other=1&version=2&method=POST"


async def test_a_field_that_would_break_the_head_is_refused(providers: Providers) -> None:
    config = with_keys("k", headers={"x-model": "${req.body.model}"})
    answer = await chat(gateway(config, providers), "openai:a\r\nx-evil: 1")
    assert answer.status == 403
    assert providers.requests == []


OPENAI = {"id": "openai", "api_keys": [{"value": "k"}]}
ANTHROPIC = {"id": "anthropic", "api_keys": [{"value": "k"}]}
GOOGLE = {"id": "google", "api_keys": [{"value": "k"}]}
AZURE = {"id": "azure", "base_url": "https://x.openai.azure.com/openai/deployments/D", "api_keys": [{"value": "k"}]}
OWN_FIELD = {
    "id": "own",
    "base_url": "https://own.test",
    "credential": {"field": "X-Token", "scheme": "Token"},
    "api_keys": [{"value": "k"}],
}


@pytest.mark.parametrize(
    ("provider", "path", "model", "field", "value"),
    [
        pytest.param(
            with_keys("k")["providers"][0], "/v1/responses", "gpt-4o", "authorization", "Bearer k", id="openai"
        ),
        pytest.param(ANTHROPIC, "/v1/messages", "claude-opus-4-8", "x-api-key", "k", id="anthropic"),
        pytest.param(
            ANTHROPIC,
            "/v1/chat/completions",
            "claude-opus-4-8",
            "authorization",
            "Bearer k",
            id="anthropic-in-openai-format",
        ),
        pytest.param(GOOGLE, "/v1beta/models/gemini-2.5-pro:generateContent", None, "x-goog-api-key", "k", id="gemini"),
        pytest.param(
            GOOGLE, "/v1/chat/completions", "gemini-2.5-pro", "authorization", "Bearer k", id="gemini-in-openai-format"
        ),
        pytest.param(AZURE, "/v1/chat/completions", "azure:gpt-4o", "api-key", "k", id="azure"),
        pytest.param(OWN_FIELD, "/v1/chat/completions", "own:any", "x-token", "Token k", id="a-field-of-its-own"),
    ],
)
@pytest.mark.parametrize("presented", ["authorization", "x-api-key", "x-goog-api-key", "api-key", ""])
async def test_the_key_stands_where_the_provider_wants_it_and_nowhere_else(
    providers: Providers, provider: dict[str, Any], path: str, model: str | None, field: str, value: str, presented: str
) -> None:
    """Whichever way the client presented a key of its own."""
    headers = {presented: "Bearer mine" if presented == "authorization" else "mine"} if presented else {}
    body = {"model": model} if model else {}
    await request(gateway({"providers": [provider]}, providers).app, "POST", path, headers=headers, json=body)
    sent = providers.requests[0].headers
    places = {"authorization", "x-api-key", "x-goog-api-key", "api-key", "x-token"}
    assert {name: text for name, text in sent.items() if name in places} == {field: value}


async def test_anthropics_version_is_sent_unless_the_client_chose_one(providers: Providers) -> None:
    gateway_ = gateway({"providers": [ANTHROPIC]}, providers)
    for headers in ({}, {"anthropic-version": "2099-01-01"}):
        await request(gateway_.app, "POST", "/v1/messages", headers=headers, json={"model": "claude-opus-4-8"})
    assert [sent.headers["anthropic-version"] for sent in providers.requests] == ["2023-06-01", "2099-01-01"]


@pytest.mark.parametrize("query", ["", "?api-version=2020-01-01"], ids=["", "the-clients-own-too"])
async def test_azure_gets_the_version_as_a_parameter(providers: Providers, query: str) -> None:
    """Policies for ngrok's gateway set it as a field, which Azure does not read."""
    config = {"providers": [AZURE], "headers": {"api-version": "2024-02-15-preview"}}
    await chat(gateway(config, providers), "azure:gpt-4o", path=f"/v1/chat/completions{query}")
    assert providers.urls == [
        "https://x.openai.azure.com/openai/deployments/D/chat/completions?api-version=2024-02-15-preview"
    ]


async def test_a_providers_own_parameters_are_sent_once(providers: Providers) -> None:
    config = box(supported_api_surfaces=[{"format": "openai", "query": {"v": "2"}}])
    await chat(gateway(config, providers), "box:any", path="/v1/chat/completions?v=1&w=1")
    assert providers.requests[0].url.query == b"w=1&v=2"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("gemini-2.5-pro:generateContent", "gemini-2.5-pro:generateContent"),
        ("Gemini-2.5-Pro:countTokens", "gemini-2.5-pro:countTokens"),
        ("gemini-3-pro:streamGenerateContent?alt=sse", "gemini-3-pro-preview:streamGenerateContent?alt=sse"),
        ("gemini-2.5-pro:generateContent?key=mine", "gemini-2.5-pro:generateContent"),
    ],
)
async def test_gemini_has_its_model_in_the_path(providers: Providers, asked: str, sent: str) -> None:
    content = b'{"contents": []}'
    app = gateway({"providers": [GOOGLE]}, providers).app
    await request(app, "POST", f"/v1beta/models/{asked}", body=content)
    assert providers.urls == [f"https://generativelanguage.googleapis.com/v1beta/models/{sent}"]
    assert providers.requests[0].content == content


@pytest.mark.parametrize(
    ("provider", "path"),
    [
        ("openai", "/v1/responses"),
        ("anthropic", "/v1/messages"),
        ("google", "/v1beta/models/gemini-2.5-pro:generateContent"),
    ],
)
@pytest.mark.parametrize("field", ["authorization", "x-api-key", "x-goog-api-key"])
async def test_a_clients_own_key_goes_on_in_the_field_that_the_client_chose(
    providers: Providers, provider: str, path: str, field: str
) -> None:
    value = "Bearer mine" if field == "authorization" else "mine"
    app = gateway({"providers": [{"id": provider}]}, providers).app
    await request(app, "POST", path, headers={field: value}, json={"model": f"{provider}:any"})
    sent = providers.requests[0].headers
    assert {name: sent[name] for name in ("authorization", "x-api-key", "x-goog-api-key") if name in sent} == {
        field: value
    }


async def test_a_clients_own_key_in_the_query_goes_on_in_the_providers_field(providers: Providers) -> None:
    app = gateway({"providers": [{"id": "google"}]}, providers).app
    await request(app, "POST", "/v1beta/models/gemini-2.5-pro:generateContent?key=mine", json={})
    assert providers.requests[0].headers["x-goog-api-key"] == "mine"
    assert "mine" not in providers.urls[0]


@pytest.mark.parametrize("field", ["authorization", "x-api-key"])
async def test_a_key_of_ngroks_gateways_is_no_provider_key(providers: Providers, field: str) -> None:
    key = "ng-2abcDEF-g1-3xyzUVW"
    app = gateway({"providers": [{"id": "openai"}]}, providers).app
    fields = {field: f"Bearer {key}" if field == "authorization" else key}
    answer = await request(app, "POST", "/v1/chat/completions", headers=fields, json={"model": "openai:any"})
    assert (answer.status, providers.requests) == (401, [])


@pytest.mark.parametrize("field", ["authorization", "x-api-key"])
async def test_a_credential_that_the_policy_sets_beats_the_clients(providers: Providers, field: str) -> None:
    config = {"providers": [{"id": "openai"}], "headers": {field: "of the policy"}}
    await chat(gateway(config, providers), key="sk-own")
    sent = providers.requests[0].headers
    assert {name: sent[name] for name in ("authorization", "x-api-key") if name in sent} == {field: "of the policy"}


async def test_an_address_that_is_too_long_is_refused(providers: Providers) -> None:
    answer = await chat(gateway(with_keys("k"), providers), path="/v1/chat/completions?q=" + "a" * 33_000)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert providers.requests == []


async def test_a_key_that_opens_this_gateway_is_never_passed_on(providers: Providers) -> None:
    answer = await chat(gateway({}, providers), key="gw_sk_" + "a" * 38)
    assert answer.status == 401
    assert answer.json()["error"]["code"] == "no_provider_key"
    assert providers.requests == []


async def test_a_secret_of_the_gateway_is_never_passed_on(providers: Providers) -> None:
    """As where a client presents the access token that a rule has just compared."""
    policy_key = "sk-operators-own-key"
    gateway_ = gateway(
        {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('o', 'k')}"}]}, {"id": "deepseek"}]},
        providers,
        secrets={"o": {"k": policy_key}},
    )
    await chat(gateway_)
    answer = await chat(gateway_, "deepseek:any", key=policy_key)
    assert answer.status == 401
    assert len(providers.requests) == 1


async def test_the_candidates_of_one_request_get_the_same_bytes(providers: Providers) -> None:
    providers.on("k1", failing(429))
    await chat(gateway(with_keys("k1", "k2"), providers), "openai:gpt-4o", user="Zoë")
    first, second = providers.requests
    assert first.content == second.content
    assert {name for name, value in first.headers.items() if second.headers[name] != value} == {"authorization"}


async def test_the_host_of_a_request_is_configured_and_never_the_clients(providers: Providers) -> None:
    headers = {"host": "evil.test", "x-forwarded-host": "evil.test"}
    await request(
        gateway(with_keys("k"), providers).app, "POST", "/v1/embeddings", headers=headers, json={"model": "gpt-4o"}
    )
    assert providers.requests[0].url.host == "api.openai.com"
    assert isinstance(providers.requests[0].stream, httpx.ByteStream)


async def test_whose_account_pays_is_for_the_client_to_say_only_with_its_own_key(providers: Providers) -> None:
    app = gateway({"providers": [{"id": "openai"}]}, providers).app
    headers = {"authorization": "Bearer mine", "openai-organization": "org-1"}
    await request(app, "POST", "/v1/embeddings", headers=headers, json={"model": "gpt-4o"})
    assert providers.requests[0].headers["openai-organization"] == "org-1"


@pytest.mark.parametrize("name", ["google:../tunedModels/x", "google:/x"])
async def test_a_models_name_does_not_lead_out_of_its_path(providers: Providers, name: str) -> None:
    app = gateway({"providers": [GOOGLE]}, providers).app
    answer = await request(app, "POST", f"/v1beta/models/{name}:generateContent", json={})
    assert answer.status == 400
    assert providers.requests == []


async def test_a_gateway_key_goes_upstream_in_no_field_and_no_parameter(providers: Providers) -> None:
    key = "gw_sk_" + "a" * 38
    headers = {"user-agent": key, "anthropic-x": key}
    app = gateway(with_keys("k"), providers).app
    path = f"/v1/embeddings?token={key}&encoded={key.replace('_', '%5f')}&a=1"
    await request(app, "POST", path, headers=headers, json={"model": "gpt-4o"})
    sent = providers.requests[0]
    assert sent.url.query == b"a=1"
    assert key not in str(sent.headers.raw)


# Heads that were written before ---------------------------------------------------------------------------------------

# What differs between two of these requests is the method, the target, or a field that goes on or takes another along.
REQUESTS: list[tuple[str, str, dict[str, str]]] = [
    ("POST", "/v1/embeddings", {}),
    ("POST", "/v1/embeddings", {"accept": "a"}),
    ("POST", "/v1/embeddings", {"accept": "b"}),
    ("POST", "/v1/embeddings", {"accept": "a", "connection": "keep-alive"}),
    ("POST", "/v1/embeddings", {"accept": "a", "connection": "accept"}),
    ("POST", "/v1/embeddings", {"accept": "\x01"}),
    ("POST", "/v1/embeddings", {"accept": "a", "user-agent": "gw_sk_" + "a" * 38}),
    ("POST", "/v1/embeddings", {"openai-organization": "org-1"}),
    ("POST", "/v1/embeddings", {"x-stainless-lang": "python", "x-stainless-os": "Linux"}),
    ("POST", "/v1/embeddings", {"x-stainless-os": "Linux", "x-stainless-lang": "python"}),
    ("POST", "/v1/embeddings", {"user-agent": "a" * 9000}),
    ("POST", "/v1/embeddings?a=1", {"accept": "a"}),
    ("POST", "/v1/embeddings?a=2", {"accept": "a"}),
    ("POST", "/v1/responses", {"accept": "a"}),
    ("GET", "/v1/files/f", {"accept": "a"}),
    ("DELETE", "/v1/files/f", {"accept": "a"}),
    ("POST", "/v1/messages", {"accept": "a"}),
    ("POST", "/v1/messages", {"anthropic-version": "2099-01-01"}),
    ("POST", "/v1/messages", {"authorization": "Bearer mine"}),
    ("POST", "/v1/messages", {"x-api-key": "other"}),
]


def heads_of(config: Mapping[str, Any], *before: Mapping[str, Any]) -> tuple[Gateway, list[bytes]]:
    """A gateway that runs some actions before `ai-gateway`, and the heads that it sends."""
    transport = Arrived(b"{}")
    actions = [*before, {"type": "ai-gateway", "config": config}]
    return Gateway.from_policy({"on_http_request": [{"actions": actions}]}, transport=transport), transport.heads


ACCEPTED = "${getReqHeader('accept')[?0].orValue('')}"
BOTH = ("openai", "anthropic")


@pytest.mark.parametrize(
    ("config", "before"),
    [
        ({"providers": [{"id": name, "api_keys": [{"value": "k1"}]} for name in BOTH]}, ()),
        ({"providers": [{"id": name} for name in BOTH]}, ()),
        ({"providers": [{"id": "box", "base_url": "http://box.test/v1"}]}, ()),
        (with_keys("k1", headers={"x-path": "${req.url.path}", "x-accept": ACCEPTED}), ()),
        (with_keys("k1", query_params={"accept": ACCEPTED}), ()),
        (with_keys("k1"), ({"type": "add-headers", "config": {"headers": {"x-id": ACCEPTED, "accept": "ours"}}},)),
    ],
    ids=["keys", "clients-keys", "no-keys", "headers", "parameters", "add-headers"],
)
async def test_a_head_depends_on_no_request_before(config: Mapping[str, Any], before: Any) -> None:
    async def sent(asked: tuple[Gateway, list[bytes]], number: int, text: str) -> list[list[bytes]]:
        method, path, headers = REQUESTS[number]
        model = "box:m" if "box" in str(config) else "claude-opus-4-8" if path == "/v1/messages" else "gpt-4o"
        content = {"model": model, "input": text} if method == "POST" else None
        await request(asked[0].app, method, path, headers=headers, json=content)
        lines = [head.split(b"\r\n") for head in asked[1]]
        asked[1].clear()
        return [[line for line in head if not line.startswith(b"content-length: ")] for head in lines]

    alone = [await sent(heads_of(config, *before), number, "a") for number in range(len(REQUESTS))]
    asked = heads_of(config, *before)
    for round_ in range(3):
        assert [await sent(asked, number, "a" * round_) for number in range(len(REQUESTS))] == alone


async def test_a_key_that_was_rotated_is_in_no_head_any_more() -> None:
    vault, transport = {"k": "sk-before"}, Arrived(b"{}")
    gateway_ = Gateway.from_policy(
        {"on_http_request": [{"type": "ai-gateway", "config": with_keys("${secrets.get('o', 'k')}")}]},
        transport=transport,
        secrets=SecretStore([MemorySource({"o": vault})], ttl=0.0),
    )
    for key in ("sk-before", "sk-after", "sk-before"):
        vault["k"] = key
        await chat(gateway_)
        assert f"\r\nauthorization: Bearer {key}\r\n".encode() in transport.heads[-1]


async def test_more_kinds_of_requests_than_are_remembered() -> None:
    gateway_, heads = heads_of(with_keys("k"))
    for number in range(600):
        await request(
            gateway_.app, "POST", "/v1/embeddings", headers={"x-title": str(number)}, json={"model": "gpt-4o"}
        )
        assert f"\r\nx-title: {number}\r\n".encode() in heads[-1]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/embeddings?sig=abc", {}),
        ("/v1/embeddings", {"http-referer": "https://app.example/?sig=abc"}),
        ("/v1/embeddings", {"traceparent": "00-abc-1-01"}),
        ("/v1/embeddings", {"user-agent": "gw_sk_" + "a" * 38}),
    ],
)
async def test_what_may_be_private_is_not_remembered(
    monkeypatch: pytest.MonkeyPatch, path: str, headers: dict[str, str]
) -> None:
    all_made: list[UpstreamRequests] = []

    class Noted(UpstreamRequests):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            all_made.append(self)

    monkeypatch.setattr(steps, "UpstreamRequests", Noted)
    gateway_, heads = heads_of(with_keys("k"))
    [made] = all_made
    await request(gateway_.app, "POST", path, headers=headers, json={"model": "gpt-4o"})
    assert (len(heads), len(made._common)) == (1, 0)
    await request(gateway_.app, "POST", "/v1/embeddings", json={"model": "gpt-4o"})
    assert len(made._common) == 1


def test_a_key_as_it_is_sent_does_not_show_itself() -> None:
    shown = ShownKey((b"x-api-key", b"sk-1"), b"x-api-key: sk-1\r\n")
    assert "sk-1" not in repr(shown) + str(shown)
    assert b"sk-1" not in pickle.dumps(shown)
