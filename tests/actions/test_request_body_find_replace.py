from __future__ import annotations

import json
from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import CHAT, CHAT_PATH, Host, Provider, actions, gateway

pytestmark = pytest.mark.anyio

NAME = "request-body-find-replace"
UPSTREAM = ("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "k"}]}]})


def edit(*pairs: tuple[str, str]) -> tuple[str, dict[str, Any]]:
    return NAME, {"replacements": [{"from": looked_for, "to": by} for looked_for, by in pairs]}


async def to_host(
    *pairs: tuple[str, str], body: bytes, headers: Any = (), path: str = "/v1/files", **settings: Any
) -> tuple[Response, Host]:
    host = Host()
    app = GatewayMiddleware(host, gateway=gateway(actions(edit(*pairs)), **settings))
    return await request(app, "POST", path, body=body, headers=headers), host


@pytest.mark.parametrize(
    ("pairs", "content_type", "body", "made"),
    [
        ([("a", "b")], "text/plain", b"banana", b"bbnbnb"),
        ([("a", "")], "text/plain", b"banana", b"bnn"),
        ([("a", "b"), ("b", "c")], "text/plain", b"ab", b"cc"),
        ([("(b)(a)", "$2$1")], "text/plain", b"bana", b"abna"),
        ([("a", "${req.method}")], "text/plain", b"a", b"POST"),
        ([("${'x' + 'y'}", "z")], "text/plain", b"xy", b"z"),
        ([("a", "b")], "application/x-www-form-urlencoded", b"k=a", b"k=b"),
        ([("a", "b")], "application/problem+json", b'["a"]', b'["b"]'),
        ([("a", "b")], "", b"a", b"b"),
        ([("a", "b")], "application/octet-stream", b"a", b"a"),
        ([("a", "b")], "image/png", b"a", b"a"),
        ([("é", "e")], "text/plain; charset=latin-1", "été".encode("latin-1"), b"ete"),
        ([("e", "é")], "text/plain; charset=latin-1", b"e", "é".encode("latin-1")),
        ([("a", "b")], "text/plain; charset=utf-16-le", "a".encode("utf-16-le"), "b".encode("utf-16-le")),
        ([("a", "b")], "text/plain", b"\xffa", b"\xffb"),
        ([("nothing", "b")], "text/plain", b"a", b"a"),
        ([("a", "b")], "text/plain", b"", b""),
    ],
)
async def test_what_the_app_gets(pairs: Any, content_type: str, body: bytes, made: bytes) -> None:
    answer, host = await to_host(*pairs, body=body, headers={"content-type": content_type} if content_type else {})
    assert answer.status == 200
    assert host.bodies == [made]
    assert host.field(b"content-length") == ([b"%d" % len(made)] if body else [])


async def test_a_form_changes_field_by_field_and_keeps_its_files() -> None:
    part = b'--B\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    file = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\naaa\r\n'
    body = part % (b"prompt", b"a") + file + part % (b"model", b"m") + b"--B--\r\n"
    _, host = await to_host(
        ("a", "bb"),
        body=body,
        headers={"content-type": "multipart/form-data; boundary=B"},
        path="/v1/audio/translations",
    )
    assert host.bodies == [part % (b"prompt", b"bb") + file + part % (b"model", b"m") + b"--B--\r\n"]


async def test_the_provider_gets_the_edited_body_and_its_model() -> None:
    provider = Provider()
    policy = actions(edit(('"gpt-4o"', '"gpt-4o-mini"')), UPSTREAM)
    made = gateway(policy, provider=provider)
    answer = await request(made.app, "POST", CHAT_PATH, json=CHAT)
    assert answer.headers["x-gateway-model"] == "gpt-4o-mini"
    assert json.loads(provider.request.content) == {**CHAT, "model": "gpt-4o-mini"}
    assert provider.request.headers["content-length"] == str(len(provider.request.content))


async def test_an_ai_request_is_edited_whatever_its_content_type_says() -> None:
    provider = Provider()
    policy = actions(edit(("hi", "ho")), UPSTREAM)
    headers = {"content-type": "application/octet-stream; charset=utf-16"}
    await request(
        gateway(policy, provider=provider).app, "POST", CHAT_PATH, body=json.dumps(CHAT).encode(), headers=headers
    )
    assert b'"ho"' in provider.request.content


async def test_expressions_read_what_was_made_and_what_was_found() -> None:
    found = "actions.ngrok.request_body_find_replace.replacements"
    show = ("custom-response", {"body": "${req.body.messages[0].content} ${ai.request.text} ${%s}" % found})  # noqa: UP031
    read_before = ("log", {"metadata": {"b": "${req.body}"}})
    made = gateway(actions(edit(("nothing", "")), read_before, edit(("x", "")), edit(("h(i)", "$1!")), show))
    text = (await request(made.app, "POST", CHAT_PATH, json=CHAT)).text
    assert text == 'i! i! [{"replacement_index":0,"matched_content":"hi"}]'


@pytest.mark.parametrize(
    ("pairs", "body", "status", "code"),
    [
        ([("${req.headers['x'][0]}", "")], b"{}", 500, "ERR_NGROK_3900"),
        ([("a", "${req.headers['x'][0]}")], b"{}", 500, "ERR_NGROK_3900"),
        ([("${'('}", "")], b"{}", 500, "ERR_NGROK_3901"),
        ([("${''}", "")], b"{}", 500, "ERR_NGROK_3901"),
        ([('"', "")], b'{"a":1}', 500, "ERR_NGROK_3904"),
        ([("a", "aaaaaaaaaaaaaaaaaaaa")], b'"' + b"a" * 90 + b'"', 500, "ERR_NGROK_3904"),
        ([("a", "b")], b"a" * 101, 413, "larger than 100"),
    ],
)
async def test_what_cannot_be_edited_goes_no_further(pairs: Any, body: bytes, status: int, code: str) -> None:
    answer, host = await to_host(*pairs, body=body, headers={"content-type": "application/json"}, max_body=100)
    assert answer.status == status
    assert code in answer.json()["error"]["message"]
    assert host.scopes == []


async def test_characters_that_are_not_those_of_the_content_type_are_refused() -> None:
    for charset in ("utf-16", "nonsense"):
        answer, _ = await to_host(("a", "b"), body=b"a", headers={"content-type": f"text/plain; charset={charset}"})
        assert "ERR_NGROK_3902" in answer.json()["error"]["message"]


async def test_a_compressed_request_is_not_read() -> None:
    answer, _ = await to_host(("a", "b"), body=b"a", headers={"content-encoding": "gzip"})
    assert answer.status == 415


GOOD: list[dict[str, Any]] = [
    {"replacements": [{"from": "a", "to": "b"}]},
    {"replacements": [{"from": "(?i)secret-(\\d+)", "to": "$1"}, {"from": "b"}]},
    {"replacements": [{"from": "(?P<name>a+)", "to": "$name $$"}]},
    {"replacements": [{"from": "${req.method}", "to": "${conn.client_ip}"}]},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `request-body-find-replace` needs `replacements`"),
    ({"replacements": []}, "[]", "`replacements` must have 1 or more entries"),
    ({"replacements": [{"to": "a"}]}, "{", "`replacements[0]` needs `from`"),
    ({"replacements": [{"from": ""}]}, '""', "must say what is looked for"),
    ({"replacements": [{"from": "(a"}]}, '"(a"', "this regular expression is not RE2: missing ): (a"),
    (
        {"replacements": [{"from": "(?=a)"}]},
        '"(?=a)"',
        "this regular expression is not RE2: invalid perl operator: (?=",
    ),
    ({"replacements": [{"from": "${nothing}"}]}, "nothing}", "unknown name `nothing`"),
    ({"replacements": [{"from": "a", "field": "data"}]}, '"field"', "unknown field `field`; known are `from` and `to`"),
    ({"replacements": {"from": "a"}}, "{", "`replacements` must be a list, not a mapping"),
    ({"replacements": ["a"]}, '"a"', "`replacements[0]` must be a mapping, not the text `a`"),
    ({"replacements": [{"from": ["a"]}]}, "[", "`replacements[0].from` must be text, not a list"),
    ({"replacements": [{"from": "a", "to": "${1 + 'a'}"}]}, "+", "int and string cannot be added with `+`"),
    (
        {"replacements": [{"from": "a", "to": "${res.status_code}"}]},
        "res.status_code}",
        "unknown name `res.status_code` (`res.*` is known in",
    ),
    (
        {"replacements": [{"from": "a"}], "max_size": 5},
        '"max_size"',
        "unknown field `max_size`; known are `replacements`",
    ),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("request-body-find-replace", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("request-body-find-replace", config, at, says)
