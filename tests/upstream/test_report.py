from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway
from tests.asgi import request
from tests.upstream.scripted import Providers, chat, failing, gateway, gateway_of, hang

pytestmark = pytest.mark.anyio

SECRET_KEYS = {"openai": {"first": "sk-proj-first-0123456789", "second": "sk-proj-second-0123456789"}}
CONFIG: dict[str, Any] = {
    "on_error": "continue",
    "only_allow_configured_providers": True,
    "providers": [
        {
            "id": "openai",
            "api_keys": [
                {"value": "${secrets.get('openai', 'first')}"},
                {"value": "${secrets.get('openai', 'second')}"},
            ],
        },
        {"id": "anthropic", "api_keys": [{"value": "sk-ant-0123456789"}]},
    ],
    "model_selection": {"strategy": ["ai.models[9]", "ai.models.filter(m, m.known)"]},
    "api_key_selection": {"strategy": ["ai.keys.filter(k, k.quota.remaining_requests > 100)", "ai.keys"]},
}
TELL = {
    "type": "custom-response",
    "config": {
        "status_code": 503,
        "headers": {"content-type": "application/json"},
        "body": "${actions.ngrok.ai_gateway}",
    },
}


@pytest.fixture
def providers() -> Providers:
    return Providers()


def reporting(providers: Providers, **config: Any) -> Gateway:
    """A gateway that answers a failure with the result of its action."""
    return gateway({**CONFIG, **config}, providers, secrets=SECRET_KEYS, after=[TELL])


async def test_a_failure_is_told_in_full(providers: Providers) -> None:
    providers.on(SECRET_KEYS["openai"]["first"], failing(429, "rate_limit_exceeded", "Slow down.", retry_after="2"))
    providers.on(SECRET_KEYS["openai"]["second"], failing(401, "invalid_api_key", "Who are you?"))
    providers.on("sk-ant-0123456789", 500)
    answer = await request(
        reporting(providers).app,
        "POST",
        "/v1/chat/completions",
        headers={"user-agent": "sdk/1", "authorization": "Bearer sk-of-the-client-0123", "x-trace": "7"},
        json={"model": "gpt-4o", "models": ["claude-opus-4-8", "nonsense", "groq:llama"]},
    )
    assert answer.status == 503
    result = answer.json()
    assert result["status"] == "error"
    assert result["error"]["code"] == "ERR_NGROK_3807"
    assert result["error"]["message"].startswith("ERR_NGROK_3807: All providers failed: [429] openai/gpt-4o")
    assert "success" not in result
    client = result["client"]
    assert (client["method"], client["path"], client["user_agent"]) == ("POST", "/v1/chat/completions", "sdk/1")
    assert (client["model"], client["models"]) == ("gpt-4o", ["claude-opus-4-8", "nonsense", "groq:llama"])
    assert client["request_headers"]["x-trace"] == ["7"]
    assert client["api_key_hash"].startswith("sha256:")
    assert [rejected["model"] for rejected in client["rejected_models"]] == ["nonsense", "llama"]
    assert [type(result[name]) for name in ("input_ngrok_tokens", "output_ngrok_tokens", "gateway_latency_ms")] == [
        int,
        int,
        int,
    ]


@pytest.mark.parametrize(
    ("content", "tokens"),
    [
        pytest.param({"model": "nonsense", "messages": [{"role": "user", "content": "hello, you"}]}, 3, id="a-prompt"),
        pytest.param([], 0, id="unreadable"),
    ],
)
async def test_the_prompt_is_measured_where_no_limit_asks_for_it(
    providers: Providers, content: Any, tokens: int
) -> None:
    answer = await request(reporting(providers).app, "POST", "/v1/chat/completions", json=content)
    assert answer.json()["input_ngrok_tokens"] == tokens


async def test_selections_are_told_one_by_one(providers: Providers) -> None:
    for key in (*SECRET_KEYS["openai"].values(), "sk-ant-0123456789"):
        providers.on(key, 500)
    result = (await chat(reporting(providers), "gpt-4o", models=["openai:made-up"])).json()
    failed, worked = result["model_selection"]
    assert failed["strategy"] == "ai.models[9]"
    assert failed["error"]
    assert failed["models_to_try"] == []
    assert worked == {
        "strategy": "ai.models.filter(m, m.known)",
        "error": "",
        "candidates_returned": ["gpt-4o"],
        "candidates_after_allowed_filter": ["gpt-4o"],
        "candidates_after_client_filter": ["gpt-4o"],
        "models_to_try": ["gpt-4o"],
    }
    keys = result["models_tried"][0]["api_key_selection"]
    assert [(one["strategy"], len(one["keys_to_try"])) for one in keys] == [
        ("ai.keys.filter(k, k.quota.remaining_requests > 100)", 0),
        ("ai.keys", 2),
    ]


async def test_what_a_strategy_returned_and_may_not_be_used_is_told(providers: Providers) -> None:
    openai = {"id": "openai", "api_keys": [{"value": "k"}], "models": [{"id": "gpt-4o", "disabled": True}]}
    strategy = "ai.providers.get('openai').models.only(['gpt-4o', 'gpt-4o-mini'])"
    config = {"providers": [openai], "model_selection": {"strategy": [strategy]}, "on_error": "continue"}
    providers.on("k", 500)
    (selection,) = (await chat(gateway(config, providers, after=[TELL]), None)).json()["model_selection"]
    assert selection["candidates_returned"] == ["gpt-4o", "gpt-4o-mini"]
    assert selection["candidates_after_allowed_filter"] == selection["models_to_try"] == ["gpt-4o-mini"]


async def test_attempts_are_told_by_model_in_their_order(providers: Providers) -> None:
    providers.on(SECRET_KEYS["openai"]["first"], failing(429, message="Slow down.", retry_after="2"))
    providers.on(SECRET_KEYS["openai"]["second"], 503)
    providers.on("sk-ant-0123456789", 500)
    result = (await chat(reporting(providers), "gpt-4o", models=["claude-opus-4-8"])).json()
    tried = result["models_tried"]
    assert [(one["model"], one["provider"], one["author"]) for one in tried] == [
        ("gpt-4o", "openai", "openai"),
        ("claude-opus-4-8", "anthropic", "anthropic"),
    ]
    first, second = tried[0]["requests_made"]
    assert (first["status"], first["error"], first["response"]["status_code"]) == ("error", "rate_limited", 429)
    assert first["request"]["url"] == "https://api.openai.com/v1/chat/completions"
    assert first["response"]["headers"]["retry-after"] == ["2"]
    assert json.loads(first["response"]["body_on_error"])["error"]["message"] == "Slow down."
    assert set(first["upstream_latency"]) == {"time_to_first_byte_ms", "total_ms"}
    assert {"upstream_input_tokens", "upstream_output_tokens"} <= set(first)
    assert second["response"]["status_code"] == 503
    assert first["request"]["api_key"] != second["request"]["api_key"]
    assert len(tried[1]["requests_made"]) == 1


async def test_a_model_for_which_no_key_was_selected_says_why(providers: Providers) -> None:
    strategy = {"strategy": ["ai.keys[9]", "1", "[]"]}
    result = (await chat(reporting(providers, api_key_selection=strategy))).json()
    assert result["error"]["code"] == "ERR_NGROK_3808"
    (tried,) = result["models_tried"]
    assert (tried["model"], tried["requests_made"]) == ("gpt-4o", [])
    assert [bool(one["error"]) for one in tried["api_key_selection"]] == [True, True, False]


async def test_an_attempt_without_an_answer_has_status_0(providers: Providers) -> None:
    providers.on(SECRET_KEYS["openai"]["first"], hang)
    providers.on(SECRET_KEYS["openai"]["second"], hang)
    result = (await chat(reporting(providers, per_request_timeout="20ms"))).json()
    made = result["models_tried"][0]["requests_made"]
    assert [(one["response"]["status_code"], one["error"]) for one in made] == [(0, "timed_out"), (0, "timed_out")]


async def test_the_bodies_of_errors_are_kept_short(providers: Providers) -> None:
    for key in SECRET_KEYS["openai"].values():
        providers.on(key, failing(500, message="x" * 10_000))
    result = (await chat(reporting(providers))).json()
    assert len(result["models_tried"][0]["requests_made"][0]["response"]["body_on_error"]) <= 1024


async def test_no_key_of_anybody_is_in_it(providers: Providers) -> None:
    keys = SECRET_KEYS["openai"]
    for key in keys.values():
        providers.on(key, failing(401, message=f"Wrong key {key}"))
    for fields in ({"authorization": "Bearer sk-of-the-client-0123"}, {"x-api-key": "sk-of-the-client-0123"}):
        app = reporting(providers).app
        answer = await request(app, "POST", "/v1/chat/completions", headers=fields, json={"model": "gpt-4o"})
        assert answer.status == 503
        assert not [key for key in (*keys.values(), "sk-of-the-client-0123") if key in answer.text]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b'{"model": "brand-new"}', "ERR_NGROK_3804", id="unknown-model"),
        pytest.param(b'{"model": "gpt-4o"', "ERR_NGROK_3801", id="broken-body"),
        pytest.param(b"", "ERR_NGROK_3801", id="no-body"),
        pytest.param(b'{"model": 7}', "ERR_NGROK_3801", id="model-is-no-string"),
    ],
)
async def test_a_request_that_was_never_sent_is_told_as_well(providers: Providers, body: bytes, code: str) -> None:
    answer = await request(reporting(providers).app, "POST", "/v1/chat/completions", body=body)
    assert answer.status == 503
    assert answer.json()["error"]["code"] == code
    assert answer.json()["models_tried"] == []


RESULT_AS_FIELDS = {
    "on_http_response": [
        {
            "type": "add-headers",
            "config": {
                "headers": {
                    "x-status": "${actions.ngrok.ai_gateway.status}",
                    "x-error": "${actions.ngrok.ai_gateway.error}",
                    "x-made": "${actions.ngrok.ai_gateway.models_tried[0].requests_made[0]}",
                    "x-of-client": "${actions.ngrok.ai_gateway.client.api_key_hash}",
                }
            },
        }
    ]
}


async def test_an_error_that_is_passed_on_is_no_success(providers: Providers) -> None:
    providers.on(SECRET_KEYS["openai"]["first"], 422)
    policy = {"on_http_request": [{"type": "ai-gateway", "config": CONFIG}], **RESULT_AS_FIELDS}
    answer = await chat(gateway_of(policy, providers, secrets=SECRET_KEYS))
    assert (answer.status, answer.headers["x-status"]) == (422, "error")
    assert json.loads(answer.headers["x-error"]) == {
        "code": "client_fault",
        "message": "[422] openai/gpt-4o: client_fault",
    }


async def test_an_attempt_with_the_clients_own_key_names_it_by_its_id(providers: Providers) -> None:
    policy = {"on_http_request": [{"type": "ai-gateway"}], **RESULT_AS_FIELDS}
    answer = await chat(gateway_of(policy, providers), key="sk-of-the-client-0123")
    made = json.loads(answer.headers["x-made"])
    assert made["request"]["api_key"] == answer.headers["x-of-client"] != ""


async def test_a_success_points_at_the_attempt_that_succeeded(
    providers: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    providers.on(SECRET_KEYS["openai"]["first"], 503)
    providers.on(SECRET_KEYS["openai"]["second"], 429)
    policy = {
        "on_http_request": [{"type": "ai-gateway", "config": CONFIG}],
        "on_http_response": [{"type": "log", "config": {"metadata": {"result": "${actions.ngrok.ai_gateway}"}}}],
    }
    with caplog.at_level(logging.INFO, "ai_gateway_mw.log"):
        await chat(gateway_of(policy, providers, secrets=SECRET_KEYS), "gpt-4o", models=["claude-opus-4-8"])
    logged = [record for record in caplog.records if record.name == "ai_gateway_mw.log"]
    result = json.loads(logged[0].getMessage())["metadata"]["result"]
    assert result["status"] == "success"
    assert result["success"] == {
        "model_index": 1,
        "request_index": 0,
        "model": "claude-opus-4-8",
        "provider": "anthropic",
        "author": "anthropic",
    }
    made = result["models_tried"][1]["requests_made"][0]
    assert (made["status"], made["error"], made["response"]["status_code"]) == ("success", "", 200)
    assert "error" not in result


async def test_a_model_whose_turn_came_twice_is_told_once(providers: Providers) -> None:
    """A failing provider stands back for the others, and then its other keys are tried."""
    providers.on(SECRET_KEYS["openai"]["first"], 503)
    providers.on("sk-ant-0123456789", 429)
    policy = {
        "on_http_request": [{"type": "ai-gateway", "config": CONFIG}],
        "on_http_response": [
            {
                "type": "add-headers",
                "config": {
                    "headers": {
                        "x-success": "${actions.ngrok.ai_gateway.success}",
                        "x-tried": "${actions.ngrok.ai_gateway.models_tried.map(m, m.model)}",
                    }
                },
            }
        ],
    }
    answer = await chat(gateway_of(policy, providers, secrets=SECRET_KEYS), "gpt-4o", models=["claude-opus-4-8"])
    assert json.loads(answer.headers["x-tried"]) == ["gpt-4o", "claude-opus-4-8"]
    success = json.loads(answer.headers["x-success"])
    assert (success["model_index"], success["request_index"], success["provider"]) == (0, 1, "openai")


async def test_the_fields_of_the_result_can_be_used_in_expressions(providers: Providers) -> None:
    for key in SECRET_KEYS["openai"].values():
        providers.on(key, 429)
    policy = {
        "on_http_request": [
            {"type": "ai-gateway", "config": CONFIG},
            {
                "expressions": ["actions.ngrok.ai_gateway.error.code == 'ERR_NGROK_3807'"],
                "actions": [{"type": "deny", "config": {"status_code": 451}}],
            },
            {"type": "custom-response", "config": {"body": "${actions.ngrok.ai_gateway.error.code}"}},
        ]
    }
    answer = await chat(gateway_of(policy, providers, secrets=SECRET_KEYS))
    assert (answer.status, answer.text) == (200, "rate_limit_exceeded")


async def test_what_is_kept_of_one_that_failed_is_not_what_the_next_one_did(providers: Providers) -> None:
    providers.on("sk-ant-0123456789", 500)
    tried = "models_tried.map(m, m.model)"
    policy = {
        "on_http_request": [
            {"type": "ai-gateway", "config": {**CONFIG, "providers": CONFIG["providers"][:1]}},
            {"type": "set-vars", "config": {"vars": [{"before": "${actions.ngrok}"}]}},
            {"type": "ai-gateway", "config": CONFIG},
            {
                "type": "custom-response",
                "config": {"body": f"${{vars.before.ai_gateway.{tried}}} ${{actions.ngrok.ai_gateway.{tried}}}"},
            },
        ]
    }
    answer = await chat(gateway_of(policy, providers, secrets=SECRET_KEYS), "claude-opus-4-8")
    assert answer.text == '[] ["claude-opus-4-8"]'


async def test_the_time_of_an_answer_that_has_begun_is_the_upstreams(
    providers: Providers, caplog: pytest.LogCaptureFixture
) -> None:
    async def slow(sent: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.05)
        return httpx.Response(200, json={})

    providers.on(SECRET_KEYS["openai"]["first"], slow)
    policy = {
        "on_http_request": [{"type": "ai-gateway", "config": CONFIG}],
        "on_http_response": [{"type": "log", "config": {"metadata": {"result": "${actions.ngrok.ai_gateway}"}}}],
    }
    with caplog.at_level(logging.INFO, "ai_gateway_mw.log"):
        await chat(gateway_of(policy, providers, secrets=SECRET_KEYS))
    logged = [record for record in caplog.records if record.name == "ai_gateway_mw.log"]
    result = json.loads(logged[0].getMessage())["metadata"]["result"]
    assert result["models_tried"][0]["requests_made"][0]["upstream_latency"]["total_ms"] >= 50
