from __future__ import annotations

import json
from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import request
from tests.gateways import CHAT, CHAT_PATH, Host, Provider, actions, gateway
from tests.middleware.test_event_stream_phase import Streaming, answer, chunk, events, rule

pytestmark = pytest.mark.anyio

UPSTREAM = ("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "k"}]}]})


async def sent(content: Any, config: dict[str, Any] | None = None) -> Any:
    provider = Provider()
    made = gateway(actions(("redact", config or {}), UPSTREAM), provider=provider)
    await request(made.app, "POST", CHAT_PATH, json={**CHAT, "messages": [{"role": "user", "content": content}]})
    return json.loads(provider.request.content)["messages"][0]["content"]


@pytest.mark.parametrize(
    ("config", "text", "made"),
    [
        ({}, "I am me@example.com, 415-555-2671", "I am [email], [phone]"),
        ({}, "pay 4111 1111 1111 1111 or DE89 3704 0044 0532 0130 00 now", "pay [card] or [iban] now"),
        ({}, "4111 1111 1111 1112 is no card", "4111 1111 1111 1112 is no card"),
        ({"presets": ["secrets"]}, "me@example.com AKIAIOSFODNN7EXAMPLE", "me@example.com [aws-key]"),
        ({"presets": ["email"], "replacement": "<x>"}, "a@b.co c@d.co", "<x> <x>"),
        ({"presets": ["email"], "replacement": ""}, "to a@b.co", "to "),
        ({}, 'quoted \\"a@b.co\\"\n"c@d.co"', 'quoted \\"[email]\\"\n"[email]"'),
        ({}, "caf\u00e9 a@b.co \U0001f600", "caf\u00e9 [email] \U0001f600"),
    ],
)
async def test_the_provider_gets_what_is_left(config: dict[str, Any], text: str, made: str) -> None:
    assert await sent(text, config) == made


async def test_every_text_is_looked_at_and_ids_are_not() -> None:
    parts = [{"type": "text", "text": "a@b.co"}, {"type": "tool_result", "id": "a@b.co", "content": ["c@d.co"]}]
    assert await sent(parts) == [
        {"type": "text", "text": "[email]"},
        {"type": "tool_result", "id": "a@b.co", "content": ["[email]"]},
    ]


async def test_the_result_says_which_and_how_many_and_never_what() -> None:
    show = ("custom-response", {"body": "${actions.redact}"})
    made = gateway(actions(("redact", {"presets": ["email", "phone"]}), show))
    body = {**CHAT, "messages": [{"role": "user", "content": "a@b.co"}, {"role": "user", "content": "c@d.co e@f.co"}]}
    assert (await request(made.app, "POST", CHAT_PATH, json=body)).json() == {
        "found": True,
        "presets": ["email"],
        "texts": {"email": 2},
    }


async def test_answers() -> None:
    host = Host(body=b'{"id":"a@b.co","text":"a@b.co"}', headers=[(b"content-type", b"application/json")])
    app = GatewayMiddleware(host, gateway=gateway(actions("redact", phase="on_http_response")))
    assert (await request(app, path="/v1/models")).text == '{"id":"a@b.co","text":"[email]"}'


async def test_streams_are_looked_at_across_messages() -> None:
    pieces = [chunk(text) for text in ("write to me", "@exam", "ple.com", " or call 415-555", "-2671", "!")]
    got = await answer(Streaming(events(*pieces, "[DONE]")), rule({"type": "redact"}))
    lines = [line.removeprefix(b"data: ") for line in got.split(b"\n\n") if line]
    assert "".join(json.loads(line)["choices"][0]["delta"]["content"] for line in lines[:-1]) == (
        "write to [email] or call [phone]!"
    )
    assert lines[-1] == b"[DONE]"


GOOD: list[dict[str, Any]] = [
    {},
    {"presets": ["email"]},
    {"presets": ["pii", "secrets", "email"]},
    {"presets": ["email"], "replacement": "<$preset>"},
    {"replacement": ""},
    {"replacement": "x" * 256},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"presets": []}, "[]", "`presets` must have 1 or more entries"),
    ({"presets": ["emails"]}, "[", "did you mean `email`"),
    ({"presets": ["zzz"]}, "[", "there are pii, secrets"),
    ({"replacement": 'a"'}, '"a\\""', "may hold no quotes"),
    ({"replacement": "a\n"}, '"a\\n"', "may hold no quotes"),
    ({"in": "request"}, '"in"', "unknown field `in`; known are `presets` and `replacement`"),
    ({"presets": "pii"}, '"pii"', "`presets` must be a list, not the text `pii`"),
    ({"presets": [1]}, "1", "`presets[0]` must be text, not 1"),
    ({"presets": None}, "null", "`presets` must be a list, not nothing"),
    ({"presets": {"email": True}}, "{", "`presets` must be a list, not a mapping"),
    ({"replacement": "x" * 257}, '"xxxxxxxxxxxxxxxxxxxxxxx', "`replacement` must have 256 or fewer characters"),
    ({"replacement": "a\\"}, '"a\\\\"', "`replacement`: may hold no quotes, backslashes or control characters:"),
    ({"replacement": 5}, "5", "`replacement` must be text, not 5"),
    ({"preset": ["pii"]}, '"preset"', "unknown field `preset`; did you mean `presets`?"),
    ({"replacements": []}, '"replacements"', "unknown field `replacements`; did you mean `replacement`?"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("redact", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("redact", config, at, says)
