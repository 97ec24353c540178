from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import FileResponse, PlainTextResponse

from ai_gateway_mw import GatewayMiddleware
from ai_gateway_mw.asgi import Receive, Scope, Send
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Exchange, Response, request
from tests.gateways import CHAT, CHAT_PATH, Host, Pieces, Provider, actions, gateway, problems_of

pytestmark = pytest.mark.anyio

NAME = "response-body-find-replace"
VAULTS = {"v": {"n": "sk-very-secret"}}


def edit(*pairs: tuple[str, str]) -> tuple[str, dict[str, Any]]:
    return NAME, {"replacements": [{"from": looked_for, "to": by} for looked_for, by in pairs]}


async def from_host(
    *written: Any, body: bytes, headers: dict[str, str] | None = None, method: str = "GET", **settings: Any
) -> Response:
    fields = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    fields.append((b"content-length", b"%d" % len(body)))
    policy = actions(*written, phase="on_http_response")
    app = GatewayMiddleware(Host(body=body, headers=fields), gateway=gateway(policy, **settings))
    return await request(app, method, "/v1/models")


@pytest.mark.parametrize(
    ("content_type", "body", "made"),
    [
        ("text/plain", b"a-a", b"bb-bb"),
        ("application/json; charset=utf-8", b'{"x":"a"}', b'{"x":"bb"}'),
        ("image/png", b"a", b"a"),
        ("text/plain; charset=latin-1", b"\xe9a", b"\xe9bb"),
        ("text/event-stream", b"data: a\n\n", b"data: a\n\n"),
        ("text/plain", b"c", b"c"),
        ("text/plain", b"", b""),
    ],
)
async def test_what_the_client_gets(content_type: str, body: bytes, made: bytes) -> None:
    answer = await from_host(edit(("a", "bb")), body=body, headers={"content-type": content_type, "etag": '"1"'})
    assert answer.body == made
    assert answer.headers["content-length"] == str(len(made))
    assert ("etag" in answer.headers) == (body == made)


@pytest.mark.parametrize(
    ("action", "phase", "content_type"),
    [(NAME, "on_http_response", "text/plain"), ("sse-find-replace", "on_event_stream_message", "text/event-stream")],
)
async def test_a_file_that_an_app_would_leave_to_its_server_is_edited_too(
    tmp_path: Path, action: str, phase: str, content_type: str
) -> None:
    (tmp_path / "file").write_text("data: x\n\n")
    policy = actions((action, {"replacements": [{"from": "x", "to": "yy"}]}), phase=phase)
    app = GatewayMiddleware(FileResponse(tmp_path / "file", media_type=content_type), gateway=gateway(policy))
    answer = await request(app, path="/v1/models", extensions={"http.response.pathsend": {}})
    assert answer.text == "data: yy\n\n"


async def test_apps_are_offered_nothing_else_that_no_rule_would_see() -> None:
    offered: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        offered.extend(scope["extensions"])
        await PlainTextResponse("")(scope, receive, send)

    extensions: dict[str, Any] = {"http.response.zerocopysend": {}, "http.response.debug": {}}
    edited = GatewayMiddleware(app, gateway=gateway(actions(edit(("a", "b")), phase="on_http_response")))
    await request(edited, path="/v1/models", extensions=extensions)
    assert offered == ["http.response.debug"]


async def test_a_compressed_answer_is_unpacked() -> None:
    headers = {"content-type": "text/plain", "content-encoding": "gzip"}
    answer = await from_host(edit(("a", "b")), body=gzip.compress(b"a"), headers=headers)
    assert answer.body == b"b"
    assert "content-encoding" not in answer.headers
    untouched = await from_host(edit(("x", "b")), body=gzip.compress(b"a", mtime=0), headers=headers)
    assert untouched.body == gzip.compress(b"a", mtime=0)
    assert untouched.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("written", "body", "encoding", "status", "code"),
    [
        (("a", "b"), b"a" * 101, "", 502, 3903),
        (("a", "b"), b"a", "br", 500, 3902),
        (("a", "b"), b"a", "gzip", 500, 3902),
        (("a", "b"), gzip.compress(b"a" * 500, mtime=0), "gzip", 500, 3902),
        (("a", "b" * 60), b"aaa", "", 500, 3904),
        (("${res.headers['x'][0]}", ""), b"a", "", 500, 3900),
    ],
)
async def test_what_cannot_be_edited_goes_no_further(
    written: Any, body: bytes, encoding: str, status: int, code: int
) -> None:
    headers = {"content-type": "text/plain"} | ({"content-encoding": encoding} if encoding else {})
    answer = await from_host(edit(written), body=body, headers=headers, max_body=100)
    assert answer.status == status
    assert f"ERR_NGROK_{code}" in answer.json()["error"]["message"]


async def test_later_actions_see_what_was_found() -> None:
    found = "${actions.ngrok.response_body_find_replace.replacements[0].matched_content}"
    answer = await from_host(
        edit(("b+", "c")),
        edit(("a", "x")),
        edit(("z", "")),
        edit(("c", "d")),
        ("add-headers", {"headers": {"x-a": found}}),
        body=b"abb",
        headers={"content-type": "text/plain"},
    )
    assert answer.body == b"xd"
    assert answer.headers["x-a"] == "c"


async def test_an_answer_may_still_be_replaced_or_refused() -> None:
    replaced = await from_host(edit(("a", "b")), ("custom-response", {"body": "mine"}), body=b"a")
    assert replaced.text == "mine"
    broken = ("add-headers", {"headers": {"x-a": "${res.headers['x'][0]}"}})
    refused = await from_host(edit(("a", "b")), broken, body=b"a")
    assert refused.status == 403


async def test_a_head_request_has_nothing_to_edit() -> None:
    answer = await from_host(edit(("a", "b")), body=b"a", headers={"content-type": "text/plain"}, method="HEAD")
    assert answer.headers["content-length"] == "1"


async def test_only_where_the_rule_matches_is_the_answer_held() -> None:
    policy = actions(edit(("a", "b")), expressions=["res.status_code == 500"], phase="on_http_response")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await receive()
        await receive()

    async with Exchange(GatewayMiddleware(app, gateway=gateway(policy)), path="/v1/models") as ex:
        await ex.start()
        assert await ex.body() == b"a"
        await ex.disconnect()


async def test_an_app_that_breaks_off_answers_nothing() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise RuntimeError("broken")

    policy = actions(edit(("a", "b")), phase="on_http_response")
    with pytest.raises(RuntimeError, match="broken"):
        await request(GatewayMiddleware(app, gateway=gateway(policy)), path="/v1/models")


@pytest.mark.parametrize("pieces", [[b'{"x":"a"}'], [b'{"x":', b'"a"}']])
async def test_a_providers_answer_is_edited(pieces: list[bytes]) -> None:
    provider = Provider(stream=Pieces(*pieces))
    policy = {
        **actions(("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "k"}]}]})),
        **actions(edit(("a", "b")), phase="on_http_response"),
    }
    answer = await request(gateway(policy, provider=provider).app, "POST", CHAT_PATH, json=CHAT)
    assert json.loads(answer.body) == {"x": "b"}


def test_a_secret_must_not_be_shown() -> None:
    (problem,) = problems_of(actions(edit(("a", "${secrets.get('v', 'n')}")), phase="on_http_response"))
    assert "secret" in problem.message


async def test_a_secret_may_be_looked_for_and_one_that_slips_through_is_taken_out() -> None:
    hide = edit(("${secrets.get('v', 'n')}", "***"))
    answer = await from_host(hide, body=b"sk-very-secret", headers={"content-type": "text/plain"}, vaults=VAULTS)
    assert answer.text == "***"
    slip = [("set-vars", {"vars": [{"s": "${secrets.get('v', 'n')}"}]}), edit(("a", "${vars.s}"))]
    answer = await from_host(*slip, body=b"a", headers={"content-type": "text/plain"}, vaults=VAULTS)
    assert "very-secret" not in answer.text


GOOD: list[dict[str, Any]] = [
    {"replacements": [{"from": "a", "to": "b"}]},
    {"replacements": [{"from": "[0-9]{4}", "to": "####"}, {"from": "b"}]},
    {"replacements": [{"from": "${res.headers['x-hide'][0]}", "to": "${req.method}"}]},
    {"replacements": [{"from": "${secrets.get('v', 'n')}", "to": "***"}]},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `response-body-find-replace` needs `replacements`"),
    ({"replacements": None}, "null", "`replacements` must be a list, not nothing"),
    ({"replacements": []}, "[]", "`replacements` must have 1 or more entries"),
    ({"replacements": [{"to": "b"}]}, "{", "`replacements[0]` needs `from`"),
    ({"replacements": [{"from": ""}]}, '""', "`from` must say what is looked for"),
    ({"replacements": [{"from": "a)"}]}, '"a)"', "this regular expression is not RE2: unexpected ): a)"),
    (
        {"replacements": [{"from": "\\1"}]},
        '"\\\\1"',
        "this regular expression is not RE2: invalid escape sequence: \\1",
    ),
    ({"replacements": [{"from": "a", "too": "b"}]}, '"too"', "unknown field `too`; did you mean `to`?"),
    ({"replacements": [{"from": "a", "to": "${res.nope}"}]}, "res.nope}", "unknown name `res.nope`"),
    ({"replacements": [{"from": "a", "to": "${"}]}, "${", "`${` is never closed with `}`"),
    ({"replacements": [{"from": "a", "to": {"b": "c"}}]}, "{", "`replacements[0].to` must be text, not a mapping"),
    (
        {"replacements": [{"from": "a"}], "on_error": "halt"},
        '"on_error"',
        "unknown field `on_error`; known are `replacements`",
    ),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("response-body-find-replace", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("response-body-find-replace", config, at, says)
