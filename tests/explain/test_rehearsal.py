"""A rehearsal: what it tells of rules, choices and requests, that it shows no secret, and that it leaves no trace."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.cel import Expression
from ai_gateway_mw.explain import Asked, Course, Providers, Rehearsal
from ai_gateway_mw.policy import Phase, load_policy
from ai_gateway_mw.settings import Settings
from tests.gateways import KEY, actions, bearer
from tests.gateways import gateway as gateway_of

pytestmark = pytest.mark.anyio

CHAT = Asked(body=b'{"model": "gpt-4o", "messages": []}')
SECRET = "sk-operator-0123456789"
GIVEN = {"openai": {"primary": SECRET, "backup": "sk-backup-0123456789"}}
KEYS = [{"value": "${secrets.get('openai', 'primary')}"}, {"value": "${secrets.get('openai', 'backup')}"}]
OPENAI: dict[str, Any] = {"only_allow_configured_providers": True, "providers": [{"id": "openai", "api_keys": KEYS}]}


async def course(policy: dict[str, Any], asked: Asked = CHAT, *, key: str | None = None, **options: Any) -> Course:
    given = {"given": GIVEN, "own_secrets": False} | options
    async with Rehearsal(load_policy(policy), Settings(), Gateway, **given) as rehearsal:
        return await rehearsal.ask(asked, key)


def phases(**rules: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(rules)


def rule(*types: tuple[str, dict[str, Any]], name: str = "", when: str = "") -> dict[str, Any]:
    expressions = {"expressions": [when]} if when else {}
    return {"name": name, **expressions, "actions": [{"type": type_, "config": config} for type_, config in types]}


async def test_each_rule_says_whether_it_matched_and_why() -> None:
    told = await course(
        phases(
            on_http_request=[
                rule(("deny", {}), name="no", when="req.method == 'GET'"),
                rule(("set-vars", {"vars": {"who": "${conn.client_ip}"}}), name="yes", when="req.method == 'POST'"),
                rule(("ai-gateway", OPENAI), name="gateway"),
                rule(("deny", {}), name="late"),
            ]
        )
    )
    assert {one.name: one.verdict for one in told.rules} == {
        "no": "not matched",
        "yes": "matched",
        "gateway": "matched",
        "late": "not reached",
    }
    assert told.rules[0].why == [
        {"source": "req.method == 'GET'", "value": False, "parts": [{"source": "req.method", "value": "POST"}]}
    ]
    assert told.rules[1].actions[0].vars == told.vars == {"who": "127.0.0.1"}


async def test_what_would_be_sent_is_told_with_the_names_of_secrets() -> None:
    told = await course(actions(("ai-gateway", OPENAI)))
    assert told.tried == ["openai/gpt-4o with openai/primary"]
    assert ("authorization", "Bearer Secret('openai/primary')") in told.sent[0].fields
    assert told.sent[0].url == "https://api.openai.com/v1/chat/completions"
    assert json.loads(told.sent[0].body) == {"model": "gpt-4o", "messages": []}
    assert told.status == 200


async def test_no_secret_is_told_in_whatever_disguise() -> None:
    told = await course(
        phases(
            on_http_request=[
                rule(
                    (
                        "set-vars",
                        {
                            "vars": [
                                {"key": "${secrets.get('openai', 'primary')}"},
                                {"b": "${base64.encode(bytes(vars.key))}"},
                            ]
                        },
                    ),
                    when="secrets.get('openai', 'primary') != req.method && secrets.get('openai', 'backup').size() > 3",
                ),
                rule(("add-headers", {"headers": {"x-copy": "${vars.key}"}})),
                rule(("ai-gateway", OPENAI)),
            ]
        )
    )
    text = json.dumps(told.as_json())
    assert told.status == 200
    assert SECRET not in text
    assert "sk-backup" not in text
    assert "c2stb3BlcmF0b3It" not in text
    assert told.vars["key"] == "Secret('openai/primary')"


@pytest.mark.parametrize(
    "asked",
    [
        Asked(fields=[("authorization", "Bearer sk-of-the-client-01")], body=CHAT.body),
        Asked(fields=[("cookie", "session=sk-of-the-client-01; theme=dark")], body=CHAT.body),
        Asked(target="/v1/chat/completions?api_key=sk-of-the-client-01", body=CHAT.body),
    ],
    ids=["field", "cookie", "query"],
)
async def test_what_the_client_authenticates_with_is_told_neither(asked: Asked) -> None:
    told = await course(actions("ai-gateway"), asked)
    assert "sk-of-the-client-01" not in json.dumps(told.as_json())


async def test_the_clients_own_key_goes_on_as_it_does_in_a_gateway() -> None:
    asked = Asked(fields=[("authorization", "Bearer sk-of-the-client-01")], body=CHAT.body)
    providers = Providers()
    told = await course(actions("ai-gateway"), asked, providers=providers)
    assert told.tried == ["openai/gpt-4o with the client's own key"]
    assert [sent.headers["authorization"] for sent in providers.sent] == ["Bearer sk-of-the-client-01"]


async def test_models_and_keys_say_why_they_are_where_they_are() -> None:
    config = {
        **OPENAI,
        "model_selection": {"strategy": ["ai.models.filter(m, m.id != 'gpt-4o-mini')"]},
        "api_key_selection": {"strategy": ["ai.keys.filter(k, k.quota.remaining_requests > 5)", "[ai.keys[1]]"]},
    }
    asked = Asked(body=b'{"model": "gpt-4o", "models": ["gpt-4o-mini", "no-such-model"], "messages": []}')
    told = await course(actions(("ai-gateway", config)), asked)
    assert [(one.name, one.order, one.reason) for one in told.models[:2]] == [
        ("openai:gpt-4o", 1, "chosen by strategy 1"),
        ("openai:gpt-4o-mini", None, "strategy 1 left it out"),
    ]
    assert [one.name for one in told.models[2:]] == ["no-such-model"]
    assert [(one.name, one.order, one.reason) for one in told.keys] == [
        ("openai: openai/backup", 1, "chosen by strategy 2"),
        ("openai: openai/primary", None, "no strategy chose it"),
    ]


async def test_keys_whose_turn_never_came_are_told_in_their_order() -> None:
    told = await course(actions(("ai-gateway", OPENAI)))
    assert [(one.name, one.order) for one in told.keys] == [("openai: openai/primary", 1), ("openai: openai/backup", 2)]
    assert len(told.sent) == 1


async def test_whose_turn_would_come_is_told_model_by_model() -> None:
    asked = Asked(body=b'{"model": "gpt-4o", "models": ["o3"], "messages": []}')
    told = await course(actions(("ai-gateway", OPENAI)), asked)
    assert [(one.order, one.name) for one in told.then] == [
        (2, "openai/gpt-4o with openai/backup"),
        (3, "openai/o3 with openai/primary"),
        (4, "openai/o3 with openai/backup"),
    ]


async def test_whose_turn_would_come_is_told_as_if_the_first_attempt_were_over() -> None:
    asked = Asked(body=b'{"model": "gpt-4o", "models": ["o3"], "messages": []}')
    idle_first = {"api_key_selection": {"strategy": ["ai.keys.sortBy(k, k.in_flight)"]}}
    told = await course(actions(("ai-gateway", OPENAI | idle_first)), asked)
    assert [one.name for one in told.then[1:]] == ["openai/o3 with openai/primary", "openai/o3 with openai/backup"]


async def test_no_more_turns_are_told_than_there_are() -> None:
    told = await course(actions(("ai-gateway", OPENAI)), Asked(body=b'{"messages": []}'))
    assert len(told.then) == 15
    assert "no more than 16 attempts are made for one request" in told.notes


@pytest.mark.parametrize(
    ("name", "model", "reason"),
    [
        ("gpt-4o", "openai:gpt-4o", "asked for"),
        ("OpenAI:GPT-4o", "openai:gpt-4o", "asked for"),
        ("gpt-4o-2024-08-06", "openai:gpt-4o", "asked for as `gpt-4o-2024-08-06`"),
        ("openai:gpt-4o-2024-08-06", "openai:gpt-4o", "asked for as `openai:gpt-4o-2024-08-06`"),
        ("openai:no-such-model", "openai:no-such-model", "asked for"),
    ],
)
async def test_a_model_says_by_which_name_it_was_asked_for(name: str, model: str, reason: str) -> None:
    told = await course(actions(("ai-gateway", OPENAI)), Asked(body=json.dumps({"model": name}).encode()))
    assert [(one.name, one.reason) for one in told.models] == [(model, reason)]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (OPENAI, "not allowed: anthropic is no provider of the policy"),
        ({"only_allow_configured_models": True}, "not allowed: it is no model of the policy"),
    ],
    ids=["provider", "model"],
)
async def test_a_model_that_is_not_allowed_says_why(config: dict[str, Any], reason: str) -> None:
    told = await course(actions(("ai-gateway", config)), Asked(body=b'{"model": "claude-sonnet-4-5"}'))
    assert [(one.name, one.order, one.reason) for one in told.models] == [("claude-sonnet-4-5", None, reason)]


async def test_a_model_that_the_format_leaves_out_is_told() -> None:
    config = {**OPENAI, "providers": [*OPENAI["providers"], {"id": "anthropic", "api_keys": KEYS}]}
    asked = Asked(target="/v1/messages", body=b'{"model": "gpt-4o", "models": ["claude-sonnet-4-5"], "messages": []}')
    told = await course(actions(("ai-gateway", config)), asked)
    assert [(one.name, one.order, one.reason) for one in told.models] == [
        ("anthropic:claude-sonnet-4-5", 1, "asked for"),
        ("gpt-4o", None, "not served in the anthropic format"),
    ]


@pytest.mark.parametrize(
    ("config", "fields", "keys"),
    [
        (OPENAI, True, [(1, "openai/primary"), (2, "openai/backup"), (None, "the client's own key")]),
        ({}, True, [(1, "the client's own key")]),
        ({}, False, [(None, "no key")]),
    ],
    ids=["the policy has keys", "it has none", "nobody has one"],
)
async def test_what_becomes_of_the_clients_own_key_is_told(
    config: dict[str, Any], fields: bool, keys: list[tuple[int | None, str]]
) -> None:
    asked = replace(CHAT, fields=(("authorization", "Bearer sk-of-the-client-01"),) if fields else ())
    told = await course(actions(("ai-gateway", config)), asked)
    assert [(one.order, one.name.removeprefix("openai: ")) for one in told.keys] == keys


async def test_strategies_for_keys_say_for_which_models_they_were_asked() -> None:
    config = {**OPENAI, "api_key_selection": {"strategy": ["ai.keys.filter(k, k.samples >= 0)"]}}
    asked = Asked(body=b'{"model": "gpt-4o", "models": ["o3"], "messages": []}')
    told = await course(actions(("ai-gateway", config)), asked)
    strategies = [each for each in told.rules[0].actions[0].expressions if "ai.keys" in each["source"]]
    assert [each["for"] for each in strategies] == [["openai:gpt-4o", "openai:o3"]]


NOTE_OF_KEYS = "nothing is known of provider keys here: until they have answered, quotas are null and rates 0"
NOTE_OF_CHANCE = "chance is fixed here (rand, random, randomize): a gateway draws anew for each request"


@pytest.mark.parametrize(
    ("strategy", "notes"),
    [
        ("ai.keys.filter(k, k.error_rate.total < 0.5)", [NOTE_OF_KEYS]),
        ("ai.keys.randomize()", [NOTE_OF_CHANCE, NOTE_OF_KEYS]),
    ],
    ids=["state", "chance"],
)
async def test_what_is_otherwise_than_in_a_gateway_is_noted(strategy: str, notes: list[str]) -> None:
    policy = load_policy(actions(("ai-gateway", {**OPENAI, "api_key_selection": {"strategy": [strategy]}})))
    async with Rehearsal(policy, Settings(), Gateway, given=GIVEN, own_secrets=False) as rehearsal:
        assert (await rehearsal.ask(CHAT)).notes == notes
        assert NOTE_OF_KEYS not in (await rehearsal.ask(CHAT)).notes


async def test_a_field_of_proxies_that_does_not_count_is_noted() -> None:
    asked = replace(CHAT, fields=(("X-Forwarded-For", "10.0.0.1"),), ip="203.0.113.7")
    policy = actions(("restrict-ips", {"allow": ["10.0.0.0/8"]}), ("ai-gateway", OPENAI))
    told = await course(policy, asked)
    assert told.notes == ["x-forwarded-for does not count: 203.0.113.7 is none of TRUSTED_PROXIES"]
    async with Rehearsal(load_policy(policy), Settings(trusted_proxies=["203.0.113.0/24"]), Gateway) as rehearsal:
        believed = await rehearsal.ask(asked)
    assert (believed.status, [note for note in believed.notes if "x-forwarded" in note]) == (200, [])


async def test_a_path_that_is_not_under_the_policy_is_noted() -> None:
    told = await course(actions(("ai-gateway", OPENAI)), Asked("GET", "/app"))
    assert told.status == 404
    assert told.notes == [
        'only AI paths are under the policy here; `intercept="all"` around an app puts all of them there'
    ]


async def test_that_no_issuer_is_asked_is_noted() -> None:
    told = await course(
        actions(
            (
                "openid-connect",
                {"issuer_url": "https://a.test", "client_id": "a", "client_secret": "a-secret-that-nobody-guesses"},
            )
        ),
        Asked("GET", "/v1/models", (("accept", "text/html"),)),
    )
    assert (told.status, told.notes) == (
        503,
        ["no issuer is asked here, and a canned answer has none of its keys: an exchange can give them"],
    )


async def test_a_clients_own_key_is_tried_once() -> None:
    asked = Asked(
        fields=(("authorization", "Bearer sk-of-the-client-01"),),
        body=b'{"model": "gpt-4o", "models": ["claude-sonnet-4-5"], "messages": []}',
    )
    told = await course(actions("ai-gateway"), asked)
    assert told.then == []
    assert [(one.order, one.name) for one in told.keys] == [
        (1, "openai: the client's own key"),
        (None, "anthropic: the client's own key"),
    ]


async def test_the_response_phase_sees_a_canned_answer() -> None:
    told = await course(
        phases(
            on_http_request=[rule(("ai-gateway", OPENAI))],
            on_http_response=[
                rule(
                    ("add-headers", {"headers": {"x-seen": "${res.status_code}"}}),
                    name="ok",
                    when="res.status_code == 200",
                )
            ],
        )
    )
    assert told.rules[-1].verdict == "matched"
    assert ("x-seen", "200") in told.fields


@pytest.mark.parametrize(
    ("target", "body", "text"),
    [
        ("/v1/chat/completions", {"model": "gpt-4o", "stream": True}, "data: [DONE]"),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "a"}, '"object":"embedding"'),
        ("/v1/responses", {"model": "gpt-4o", "input": "a"}, '"object":"response"'),
        ("/v1/responses", {"model": "gpt-4o", "input": "a", "stream": True}, "event: response.completed"),
        ("/v1/messages", {"model": "claude-sonnet-4-5", "max_tokens": 9}, '"type":"message"'),
        ("/v1/messages", {"model": "claude-sonnet-4-5", "max_tokens": 9, "stream": True}, "event: message_stop"),
        ("/v1beta/models/gemini-2.5-pro:generateContent", {"contents": []}, "candidates"),
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse", {"contents": []}, "data: {"),
    ],
)
async def test_canned_answers_have_the_format_of_the_api(target: str, body: dict[str, Any], text: str) -> None:
    fields = [("authorization", "Bearer sk-of-the-client-01")]
    told = await course(actions("ai-gateway"), Asked(target=target, fields=fields, body=json.dumps(body).encode()))
    assert told.status == 200
    assert text in told.answer


async def test_an_expression_that_fails_is_told_with_its_reason() -> None:
    told = await course(
        phases(on_http_request=[rule(("deny", {}), name="strict", when="req.headers['x-no'][0] == 'a'")])
    )
    assert told.status == 403
    assert told.rules[0].verdict == "failed"
    assert "x-no" in told.rules[0].why[0]["error"]


async def test_a_refusal_is_told_with_what_the_client_is_not_told() -> None:
    told = await course(actions(("restrict-ips", {"allow": ["10.0.0.0/8"]}), "ai-gateway"))
    assert told.refused is not None
    assert (told.status, told.refused["code"]) == (403, "ip_not_allowed")
    assert told.rules[0].actions[0].outcome == "refused"
    assert told.rules[0].actions[0].result["action"] == "deny"


async def test_stored_keys_are_not_looked_up_but_told_of() -> None:
    policy = actions("gateway-auth", ("ai-gateway", OPENAI))
    pretended = await course(policy, key="production-web-chat")
    assert pretended.status == 200
    assert pretended.rules[0].actions[0].result["key"]["environment"] == "production"
    assert "a key would be looked up in the database here; `production-web-chat` is pretended" in pretended.notes[0]

    presented = await course(policy, Asked(fields=tuple(bearer(KEY).items()), body=CHAT.body))
    assert presented.status == 503
    assert "`--key NAME` pretends one" in presented.notes[0]
    assert KEY not in json.dumps(presented.as_json())
    assert (await course(policy)).status == 401


async def test_a_declared_key_is_known_by_its_name() -> None:
    keys = [{"name": "web", "value": "${secrets.get('gateway', 'web')}", "scopes": ["read"]}]
    policy = actions(("gateway-auth", {"keys": keys}), ("ai-gateway", OPENAI))
    told = await course(policy, key="web")
    assert told.refused is not None
    assert told.status == 403
    assert "web" in told.refused["message"]


@pytest.mark.parametrize(
    ("asked", "key", "reason"),
    [
        (CHAT, None, "the request presents no key"),
        (Asked(fields=(("x-api-key", "sk-1"),), body=CHAT.body), None, "what the request presents is no gateway key"),
        (
            Asked(fields=tuple(bearer(KEY).items()), body=CHAT.body),
            None,
            "it is none of the keys that are declared: web",
        ),
        (CHAT, "other", "it is none of the keys that are declared: web"),
    ],
    ids=["none", "malformed", "another", "pretended"],
)
async def test_why_a_gateway_key_is_refused_is_told_here_and_not_in_the_answer(
    asked: Asked, key: str | None, reason: str
) -> None:
    keys = [{"name": "web", "value": "${secrets.get('gateway', 'web')}"}]
    told = await course(actions(("gateway-auth", {"keys": keys}), ("ai-gateway", OPENAI)), asked, key=key)
    assert told.refused is not None
    assert told.refused["reason"].startswith(reason)
    assert "Invalid or missing API key." in told.answer
    assert reason not in told.answer


async def test_why_an_address_is_refused_is_told() -> None:
    allow = {"allow": ["10.0.0.0/8"], "deny": ["10.0.0.66/32"]}
    told = await course(actions(("restrict-ips", allow), ("ai-gateway", OPENAI)))
    assert told.refused is not None
    assert told.refused["reason"] == "127.0.0.1: it is in no `allow` range"
    denied = await course(actions(("restrict-ips", allow), ("ai-gateway", OPENAI)), replace(CHAT, ip="10.0.0.66"))
    assert denied.refused is not None
    assert "`deny` 10.0.0.66/32 at " in denied.refused["reason"]


async def test_missing_secrets_have_placeholders_and_own_ones_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_GATEWAY_SECRET__OPENAI__PRIMARY", "sk-from-the-environment")
    told = await course(actions(("ai-gateway", OPENAI)), given=None, own_secrets=True)
    assert told.notes == ["placeholders stand for secrets: openai/backup"]
    assert "sk-from-the-environment" not in json.dumps(told.as_json())


def _files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


async def test_nothing_is_written_where_the_gateway_would_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    limit = {"name": "a", "algorithm": "sliding_window", "capacity": 1, "rate": "60s", "bucket_key": ["conn.client_ip"]}
    policy = actions("gateway-auth", ("rate-limit", limit), ("ai-gateway", OPENAI))
    settings = Settings(audit_requests="strict", data_dir=tmp_path / "data")
    async with Rehearsal(load_policy(policy), settings, Gateway, own_secrets=False) as rehearsal:
        assert (await rehearsal.ask(CHAT, "a")).status == 200
        assert (await rehearsal.ask(CHAT, "a")).status == 429
    assert _files(tmp_path) == []


async def test_a_gateway_itself_observes_nothing() -> None:
    made = gateway_of(actions("ai-gateway", expressions=["req.method == 'POST'"]))
    assert made.stores.observer is None
    assert isinstance(made.program.rules[Phase.ON_HTTP_REQUEST][0].when, Expression)


async def test_what_was_learned_stays_for_the_next_request() -> None:
    async def limited(request: httpx.Request) -> httpx.Response:
        bad = request.headers["authorization"].endswith(SECRET)
        return httpx.Response(429 if bad else 200, json={})

    policy = load_policy(actions(("ai-gateway", OPENAI)))
    async with Rehearsal(
        policy, Settings(), Gateway, providers=Providers(limited), given=GIVEN, own_secrets=False
    ) as rehearsal:
        assert len((await rehearsal.ask(CHAT)).tried) == 2
        second = await rehearsal.ask(CHAT)
    assert second.tried == ["openai/gpt-4o with openai/backup"]
    last = second.keys[-1]
    assert (last.name, last.order) == ("openai: openai/primary", 2)
    assert re.fullmatch(r"in the order of the policy; last, since it is cooling for another \d+ s", last.reason)
    assert [(one.name, one.order) for one in second.then] == [("openai/gpt-4o with openai/primary", 2)]
    assert re.fullmatch(r"stands back since it is cooling for another \d+ s", second.then[0].reason)


async def test_keys_that_all_stand_back_say_for_how_long() -> None:
    async def limited(request: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"retry-after": "100"}, json={})

    policy = load_policy(actions(("ai-gateway", OPENAI)))
    async with Rehearsal(
        policy, Settings(), Gateway, providers=Providers(limited), given=GIVEN, own_secrets=False
    ) as rehearsal:
        await rehearsal.ask(CHAT)
        second = await rehearsal.ask(CHAT)
    assert (second.tried, second.then) == ([], [])
    assert [one.name for one in second.keys if one.order is None] == [
        "openai: openai/primary",
        "openai: openai/backup",
    ]
    for one in second.keys:
        assert re.fullmatch(r"stands back: it is cooling for another \d+ s", one.reason)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Asked(body=b"{"), "invalid_request"),
        (Asked(target="/v1/%2e%2e/v1/models"), "ambiguous_path"),
        (Asked(target="/nowhere"), "not_found"),
    ],
    ids=["no JSON", "an ambiguous path", "no AI path"],
)
async def test_what_no_action_refuses_is_told_too(asked: Asked, code: str) -> None:
    told = await course(actions(("ai-gateway", OPENAI), expressions=["req.body.model != ''"]), asked)
    assert told.status in (400, 404)
    assert told.refused is not None
    assert told.refused["code"] == code


async def test_a_stream_that_breaks_off_ends_as_it_does_in_a_gateway() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
            raise httpx.ReadError("gone")

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Broken())

    asked = Asked(body=b'{"model": "gpt-4o", "stream": true, "messages": []}')
    told = await course(actions(("ai-gateway", OPENAI)), asked, providers=Providers(answer))
    assert told.status == 200
    assert "hi" in told.answer
    assert "error" in told.answer


async def test_what_actions_call_is_told_apart_from_what_providers_get() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"ok": True})

    call = ("http-request", {"url": "https://hook.test/a", "method": "GET"})
    told = await course(actions(call, ("ai-gateway", OPENAI)), providers=Providers(answer))
    assert [(one.candidate, one.url) for one in told.called] == [("http-request", "https://hook.test/a")]
    assert [(one.candidate, one.outcome) for one in told.sent] == [("openai/gpt-4o", "accepted")]


async def test_rules_for_messages_are_told_of_a_few_times() -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'

    async def answer(request: httpx.Request) -> httpx.Response:
        content = chunk * 50 + b"data: [DONE]\n\n"
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)

    asked = Asked(body=b'{"model": "gpt-4o", "stream": true, "messages": []}')
    policy = phases(
        on_http_request=[rule(("ai-gateway", OPENAI))],
        on_event_stream_message=[rule(("set-vars", {"vars": {"a": "1"}}), name="each", when="conn.client_ip != ''")],
    )
    told = await course(policy, asked, providers=Providers(answer))
    each = told.rules[-1]
    assert (told.status, each.verdict) == (200, "matched")
    assert each.times > 40
    assert 0 < len(each.why) <= 9
    assert 0 < len(each.actions) <= 9


async def test_what_a_program_asks_of_its_actions_it_asks_of_watched_ones() -> None:
    policy = phases(
        on_http_request=[rule(("ai-gateway", OPENAI))],
        on_http_response=[rule(("response-body-find-replace", {"replacements": [{"from": "canned", "to": "tinned"}]}))],
    )
    told = await course(policy)
    assert "tinned answer" in told.answer


async def test_what_is_made_from_a_secret_is_hidden_wherever_it_turns_up() -> None:
    told = await course(
        phases(
            on_http_request=[
                rule(("set-vars", {"vars": {"loud": "${secrets.get('openai', 'primary').upperAscii()}"}})),
                rule(("set-vars", {"vars": {"copy": "${vars.loud + '!'}"}})),
                rule(("ai-gateway", OPENAI)),
            ]
        )
    )
    assert SECRET.upper() not in json.dumps(told.as_json())
    assert told.vars["copy"] == "Secret('made from a secret')!"


async def test_what_takes_too_long_is_given_up() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError

    policy = load_policy(actions(("ai-gateway", OPENAI)))
    async with Rehearsal(policy, Settings(), Gateway, providers=Providers(never), own_secrets=False) as rehearsal:
        course = await rehearsal.ask(CHAT, patience=0.05)
    assert (course.status, len(course.sent)) == (0, 1)
    assert course.notes[0] == "this takes its time, and was given up: there is no answer here"
