from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Exchange, request
from tests.gateways import CHAT, CHAT_PATH, Host, Pieces, Provider, actions, bearer, gateway

pytestmark = pytest.mark.anyio

KEYS = {"providers": [{"id": "openai", "api_keys": [{"value": "sk-operator"}]}]}
DEAD = {"status": 500, "body": {"error": {"message": "boom"}}}


async def test_it_answers_with_what_the_provider_says() -> None:
    provider = Provider(body={"ok": True})
    response = await request(
        gateway(actions(("ai-gateway", KEYS)), provider=provider).app, "POST", CHAT_PATH, json=CHAT
    )
    assert (response.status, response.json()) == (200, {"ok": True})
    assert response.headers["x-gateway-provider"] == "openai"
    assert response.headers["x-request-id"].startswith("req_")


async def test_on_a_path_of_the_host_it_answers_404() -> None:
    app = GatewayMiddleware(Host(), gateway=gateway(actions("ai-gateway")), intercept="all")
    response = await request(app, path="/orders")
    assert (response.status, response.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        (CHAT_PATH, {}, lambda body: body["error"]["code"] == "no_provider_key"),
        ("/v1/messages", {}, lambda body: body["error"]["type"] == "authentication_error"),
        ("/v1beta/models/gemini-2.5-flash:embedContent", {}, lambda body: body["error"]["status"] == "UNAUTHENTICATED"),
    ],
)
async def test_its_errors_are_in_the_callers_format(path: str, headers: Any, expected: Any) -> None:
    model = {"/v1/messages": "claude-sonnet-4-5"}.get(path, "gpt-4o")
    response = await request(gateway(actions("ai-gateway")).app, "POST", path, headers=headers, json={"model": model})
    assert response.status == 401
    assert expected(response.json()), response.text


async def test_after_a_failure_the_next_action_may_have_its_turn() -> None:
    policy = actions(
        ("ai-gateway", {**KEYS, "on_error": "continue"}),
        ("custom-response", {"body": "${actions.ngrok.ai_gateway.status}: ${actions.ngrok.ai_gateway.error.code}"}),
    )
    response = await request(gateway(policy, provider=Provider(**DEAD)).app, "POST", CHAT_PATH, json=CHAT)
    assert (response.status, response.text) == (200, "error: upstream_error")


async def test_its_result_is_read_in_the_response_phase_and_listed_among_the_others() -> None:
    policy = actions(("ai-gateway", KEYS)) | actions(
        ("add-headers", {"headers": {
            "x-model": "${actions.ngrok.ai_gateway.success.model}",
            "x-seen": "${has(actions.ngrok.ai_gateway)} ${actions.ngrok.exists(n, n == 'ai_gateway')}",
        }}),
        phase="on_http_response",
    )  # fmt: skip
    response = await request(gateway(policy).app, "POST", CHAT_PATH, json=CHAT)
    assert (response.headers["x-model"], response.headers["x-seen"]) == ("gpt-4o", "true true")


async def test_a_response_rule_that_answers_gives_the_stream_up() -> None:
    stream = Pieces(b"data: {}\n\n", b"data: [DONE]\n\n")
    provider = Provider(stream=stream, headers=[("content-type", "text/event-stream")])
    policy = actions(("ai-gateway", KEYS)) | actions(
        ("custom-response", {"status_code": 451, "body": "no"}), phase="on_http_response"
    )
    response = await request(gateway(policy, provider=provider).app, "POST", CHAT_PATH, json=CHAT | {"stream": True})
    assert (response.status, response.text) == (451, "no")
    assert stream.closed


@pytest.mark.parametrize(
    "action", [("restrict-ips", {"allow": ["10.0.0.0/8"]}), ("add-headers", {"headers": {"x": "${vars.nope}"}})]
)
async def test_a_response_rule_that_refuses_gives_the_stream_up(action: Any) -> None:
    stream = Pieces(b"data: {}\n\n", b"data: [DONE]\n\n")
    provider = Provider(stream=stream, headers=[("content-type", "text/event-stream")])
    policy = actions(("ai-gateway", KEYS)) | actions(action, phase="on_http_response")
    response = await request(gateway(policy, provider=provider).app, "POST", CHAT_PATH, json=CHAT | {"stream": True})
    assert response.status == 403
    assert stream.closed


async def test_an_upstream_error_passes_with_the_response_rules() -> None:
    policy = actions(("ai-gateway", KEYS)) | actions(
        ("add-headers", {"headers": {"x-was": "${res.status_code}"}}), phase="on_http_response"
    )
    provider = Provider(400, {"error": {"message": "bad"}})
    response = await request(gateway(policy, provider=provider).app, "POST", CHAT_PATH, json=CHAT)
    assert (response.status, response.headers["x-was"]) == (400, "400")


async def test_its_own_errors_pass_without() -> None:
    policy = actions(("ai-gateway", KEYS)) | actions(
        ("custom-response", {"body": "replaced"}), phase="on_http_response"
    )
    response = await request(gateway(policy).app, "POST", CHAT_PATH, json={"model": "no-such-model"})
    assert (response.status, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_client_that_leaves_ends_the_upstream_stream() -> None:
    stream = Pieces(*[b"data: {}\n\n"] * 1_000_000)
    provider = Provider(stream=stream, headers=[("content-type", "text/event-stream")])
    app = gateway(actions("ai-gateway"), provider=provider).app
    async with Exchange(app, method="POST", path=CHAT_PATH, headers=bearer("sk-x"), json=CHAT, window=1) as ex:
        await ex.start()
        await ex.body()
    assert stream.closed
    assert stream.read < 1_000_000


@pytest.mark.parametrize("name", ["no \ud800 model", "a\x00b", "a\r\nb", "é" * 5000])
async def test_a_model_of_any_name_is_answered(name: str) -> None:
    for model in (name, f"openai:{name}"):
        response = await request(
            gateway(actions("ai-gateway")).app, "POST", CHAT_PATH, headers=bearer("sk-x"), json={"model": model}
        )
        assert response.status in (200, 400, 404), response.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "\x7f"])
async def test_another_method_is_refused_with_what_is_allowed(method: str) -> None:
    response = await request(gateway(actions("ai-gateway")).app, method, CHAT_PATH, json=CHAT)
    assert response.status == (401 if method == "post" else 405)
    assert method == "post" or response.headers["allow"] == "POST"
    assert (response.body == b"") is (method == "HEAD")


GOOD: list[dict[str, Any]] = [
    {},
    {
        "providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('openai', 'primary')}"}]}],
        "only_allow_configured_providers": True,
    },
    {"providers": [{"id": "box", "base_url": "https://box.example.com/v1", "models": [{"id": "llama"}]}]},
    {"model_selection": {"strategy": ["ai.models.filter(m, m.provider_id == 'openai')", "ai.models"]}},
    {"api_key_selection": {"strategy": "ai.keys.randomize()"}},
    {"model_selection": {"strategy": []}, "api_key_selection": {"strategy": []}},
    {"max_input_tokens": 1, "max_output_tokens": 500_000},
    {"headers": {"x-a": "${req.method}"}, "query_params": {"a": "b"}, "body": {"user": "${conn.client_ip}"}},
    {"total_timeout": "1m30s", "per_request_timeout": "250ms", "wait_for_capacity": "0s"},
    {"on_error": "continue", "failover_on": "any"},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    (
        {"model_selection": {"strategy": ["ai.models.filter(m, m.provider == 1)"]}},
        "provider",
        "AIModel has no field `provider`; did you mean `provider_id`?",
    ),
    ({"api_key_selection": {"strategy": ["ai.key"]}}, "ai.key", "unknown name `ai.key`; did you mean `ai.keys`?"),
    (
        {"model_selection": {"strategy": ["ai.models", "ai.models.onlyProvider([])"]}},
        "onlyProvider([])",
        "unknown function `onlyProvider`; did you mean `onlyProviders`?",
    ),
    ({"headers": {"x y": "a"}}, '"x y"', "`x y` is not a header field name"),
    ({"headers": {"host": "a"}}, '"host"', "`host` belongs to the connection"),
    ({"headers": {"Accept-Encoding": "br"}}, '"Accept-Encoding"', "`Accept-Encoding` belongs"),
    ({"headers": {"Connection": "close"}}, '"Connection"', "`Connection` belongs"),
    ({"providers": [{"id": "openia"}]}, '"openia"', "provider `openia` is not in the catalogue"),
    ({"total_timeout": "5 minutes"}, '"5 minutes"', "`total_timeout` must be a duration"),
    ({"on_error": "stop"}, '"stop"', "`on_error` must be `halt` or `continue`"),
    ({"max_output_tokens": 500001}, "500001", "`max_output_tokens` must be at most 500000"),
    ({"query_params": {"a": "${nonsense}"}}, "nonsense}", "unknown name `nonsense`"),
    ({"body": {"a": [{"b": "${1 +}"}]}}, "}", "the expression ends too early"),
    ({"provider_keys": {"openai": "x"}}, '"provider_keys"', "unknown field `provider_keys`"),
    ({"model_selection": {"strategy": [5]}}, "5", "`model_selection.strategy[0]` must be a CEL expression, not 5"),
    (
        {"model_selection": {"strategy": ["ai.models.filter(m, m.id)"]}},
        "id)",
        "the test of `filter` must be bool, but this is string",
    ),
    ({"max_input_tokens": 0}, "0", "`max_input_tokens` must be at least 1, not 0"),
    ({"total_timeout": "0s"}, '"0s"', "`total_timeout` must be more than 0s, not the text `0s`"),
    ({"providers": [{"id": "openai"}, {"id": "openai"}]}, '"openai"', "provider `openai` is configured twice"),
    (
        {"providers": [{"id": "openai", "api_keys": ["sk-operator"]}]},
        '"sk-operator"',
        "`providers[0].api_keys[0]` must be a mapping, not the text",
    ),
    (
        {"only_allow_configured_models": "yes"},
        '"yes"',
        "`only_allow_configured_models` must be true or false, not the text",
    ),
    ({"headers": {"x-a": "a\r\nb"}}, "a\\r\\nb", "a header field value must not hold line breaks or other control"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("ai-gateway", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("ai-gateway", config, at, says)
