"""`on_event_stream_message`: rules at work on every message of an event stream, whoever made it.

The SDKs and the raw client speak to a gateway under uvicorn, in front of a provider on a port of its own.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import anthropic
import anyio
import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.asgi import ASGIApp, Receive, Scope, Send
from ai_gateway_mw.secrets import SecretStore
from tests.asgi import Exchange, request
from tests.fake_upstream import ThreadedUpstream, Upstream, ok
from tests.gateways import CHAT, CHAT_PATH, gateway, request_log
from tests.servers import serving

pytestmark = pytest.mark.anyio

STREAM = {**CHAT, "stream": True}
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
SSN = {"type": "sse-find-replace", "config": {"replacements": [{"from": r"\d{3}-\d{2}-\d{4}", "to": "[ssn]"}]}}
ACROSS = {"type": "sse-find-replace", "config": {**SSN["config"], "across_messages": 64}}  # type: ignore[dict-item]
REDACT = {"type": "redact", "config": {"presets": ["us-ssn", "email"]}}
SECRET = "my number is 123-45-6789 and my address me@example.com ."
CLEAN = "my number is [us-ssn] and my address [email] ."

Rule = Mapping[str, Any]


def rule(*actions: Rule, when: Sequence[str] = ()) -> Rule:
    return {"expressions": list(when), "actions": list(actions)}


def policy(*rules: Rule, url: str = "http://provider.test", key: str = "sk-ok") -> dict[str, Any]:
    provider = {"id": "openai", "base_url": f"{url}/v1", "api_keys": [{"value": key}]}
    others = [
        {"id": name, "base_url": f"{url}/{path}", "api_keys": [{"value": key}], "models": [{"id": f"{name}-model"}]}
        for name, path in (("anthropic", "v1"), ("google", "v1beta"))
    ]
    action = {"type": "ai-gateway", "config": {"providers": [provider, *others]}}
    return {"on_http_request": [action], "on_event_stream_message": list(rules)}


@contextmanager
def served(upstream: ThreadedUpstream, *rules: Rule, key: str = "sk-ok") -> Iterator[str]:
    made = Gateway.from_policy(policy(*rules, url=upstream.url, key=key), secrets=SecretStore([]))
    with serving(made.app) as url:
        yield url


def events(*data: Any) -> bytes:
    texts = [each if isinstance(each, str) else json.dumps(each) for each in data]
    return b"".join(f"data: {text}\n\n".encode() for text in texts)


def chunk(text: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}}]}


class Streaming:
    """An app that answers with these pieces."""

    def __init__(self, *pieces: bytes, headers: Sequence[tuple[bytes, bytes]] = (), kind: bytes = b"text/event-stream"):
        self.pieces = pieces
        self.fields = [(b"content-type", kind), *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.fields})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def around(app: ASGIApp, *rules: Rule, **phases: Any) -> GatewayMiddleware:
    return GatewayMiddleware(app, gateway=gateway({"on_event_stream_message": list(rules), **phases}))


async def answer(app: ASGIApp, *rules: Rule, path: str = CHAT_PATH, **phases: Any) -> bytes:
    return (await request(around(app, *rules, **phases), "POST", path, json=STREAM)).body


# With the SDKs, over real ports -----------------------------------------------------------------------------------


def test_openai_chat(threaded_upstream: ThreadedUpstream) -> None:
    threaded_upstream.on(ok(SECRET))
    with (
        served(threaded_upstream, rule(REDACT)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client,
        client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True) as stream,
    ):
        text = "".join(each.choices[0].delta.content or "" for each in stream if each.choices)
    assert text == CLEAN


def test_openai_responses(threaded_upstream: ThreadedUpstream) -> None:
    threaded_upstream.on(ok(SECRET))
    with (
        served(threaded_upstream, rule(REDACT)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client,
        client.responses.stream(model="gpt-4o", input="hi") as stream,
    ):
        seen = list(stream)
        final = stream.get_final_response()
    assert "".join(each.delta for each in seen if each.type == "response.output_text.delta") == CLEAN
    assert [each.text for each in seen if each.type == "response.output_text.done"] == [CLEAN]
    assert final.output_text == CLEAN


def test_anthropic_messages(threaded_upstream: ThreadedUpstream) -> None:
    threaded_upstream.on(ok(SECRET))
    with (
        served(threaded_upstream, rule(REDACT)) as url,
        anthropic.Anthropic(base_url=url, api_key="x") as client,
        client.messages.stream(
            model="anthropic-model", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        ) as stream,
    ):
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == CLEAN
    assert final.stop_reason == "end_turn"


def test_gemini(threaded_upstream: ThreadedUpstream) -> None:
    threaded_upstream.on(ok(SECRET))
    with served(threaded_upstream, rule(REDACT)) as url:
        path = "/v1beta/models/google-model:streamGenerateContent?alt=sse"
        got = httpx.post(url + path, json={"contents": [{"parts": [{"text": "hi"}]}]}).text
    bodies = [json.loads(line.removeprefix("data: ")) for line in got.splitlines() if line]
    assert "".join(body["candidates"][0]["content"]["parts"][0]["text"] for body in bodies) == CLEAN


def test_a_rule_that_denies_ends_the_stream_as_the_openai_sdk_understands_it(
    threaded_upstream: ThreadedUpstream,
) -> None:
    threaded_upstream.on(ok("fine fine forbidden never"))
    stop = rule({"type": "deny"}, when=["ai.response.text.contains('forbidden')"])
    texts = []
    with (
        served(threaded_upstream, stop) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="x") as client,
        client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True) as stream,
        pytest.raises(openai.APIError, match="denied"),
    ):
        for each in stream:
            texts.append(each.choices[0].delta.content or "")
    assert "".join(texts) == "fine fine"


def test_a_rule_that_fails_ends_the_stream_as_the_anthropic_sdk_understands_it(
    threaded_upstream: ThreadedUpstream,
) -> None:
    broken = rule({"type": "deny"}, when=["sse.json.delta.text == 'never'"])
    with (
        served(threaded_upstream, broken) as url,
        anthropic.Anthropic(base_url=url, api_key="x") as client,
        client.messages.stream(
            model="anthropic-model", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        ) as stream,
        pytest.raises(anthropic.APIStatusError, match="refused by policy"),
    ):
        list(stream)


def test_the_error_event_of_a_broken_stream_passes_behind_what_was_held_back(
    threaded_upstream: ThreadedUpstream,
) -> None:
    threaded_upstream.on(ok("one 12 three", cut_after=3))
    with served(threaded_upstream, rule(ACROSS)) as url:
        got = httpx.post(f"{url}{CHAT_PATH}", json=STREAM).text
    last = [line for line in got.splitlines() if line][-2:]
    assert '" 12"' in last[0]
    assert json.loads(last[1].removeprefix("data: "))["error"]["code"] == "upstream_stream_interrupted"


def test_a_wrapped_and_a_mounted_app_under_uvicorn() -> None:
    async def endpoint(request: Any) -> StreamingResponse:
        async def pieces() -> Any:
            for piece in (b"data: 123-", b"45-6789\n", b"\ndata: [DONE]\n\n"):
                yield piece

        return StreamingResponse(pieces(), media_type="text/event-stream")

    inner = Starlette()
    inner.add_route("/v1/chat/completions", endpoint, methods=["POST"])
    wrapped = around(inner, rule(SSN))
    for app, path in ((wrapped, CHAT_PATH), (Starlette(routes=[Mount("/sub", wrapped)]), f"/sub{CHAT_PATH}")):
        with serving(app) as url:
            assert httpx.post(url + path, json=STREAM).content == b"data: [ssn]\n\ndata: [DONE]\n\n"


# Messages and variables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "matches"),
    [
        ("sse.data == 'one\\ntwo'", True),
        ("sse.event == 'e' && sse.id == '7' && sse.retry == 10", True),
        ("sse.json == null", True),
        ("res.status_code == 200 && res.content_type == 'text/event-stream'", True),
        ("res.headers['x-a'][0] == '1'", True),
        ("req.method == 'POST' && req.body.model == 'gpt-4o'", True),
        ("ai.request.text == 'hi'", True),
        ("ai.request.messages[0].role == 'user'", True),
        ("vars.a == 1", True),
        ("ai.response.text == ''", True),
        ("sse.data == 'one'", False),
    ],
)
async def test_what_expressions_see(when: str, matches: bool) -> None:
    message = b"event: e\nid: 7\nretry: 10\ndata: one\ndata: two\n\n"
    change = {"type": "sse-find-replace", "config": {"replacements": [{"from": "(?s).+", "to": "changed"}]}}
    made = {"on_http_request": [{"type": "set-vars", "config": {"vars": [{"a": "${1}"}]}}]}
    got = await answer(Streaming(message, headers=[(b"x-a", b"1")]), rule(change, when=[when]), **made)
    assert (b"data: changed\n\n" in got) is matches
    assert got.startswith(b"event: e\nid: 7\nretry: 10\ndata: ")


async def test_results_and_variables_go_on_from_message_to_message() -> None:
    count = {"type": "set-vars", "config": {"vars": [{"n": "${has(vars.n) ? vars.n + 1 : 1}"}]}}
    number = {"type": "sse-find-replace", "config": {"replacements": [{"from": "x", "to": "${vars.n}"}]}}
    show = {
        "type": "sse-find-replace",
        "config": {
            "replacements": [
                {"from": "$", "to": " ${actions.ngrok.sse_find_replace.replacements[0].matched_content}"},
            ]
        },
    }
    assert await answer(Streaming(events("x", "x")), rule(count, number, show)) == events("1 x", "2 x")


async def test_what_the_answer_has_said_so_far() -> None:
    mark = {"type": "sse-find-replace", "config": {"replacements": [{"from": "]}$", "to": '],"seen":true}'}]}}
    app = Streaming(events(chunk("one "), chunk("two"), chunk(" three"), "[DONE]"))
    got = await answer(app, rule(mark, when=["ai.response.text == 'one two' && ai.response.delta == 'two'"]))
    assert [b"seen" in line for line in got.split(b"\n\n")[:4]] == [False, True, False, False]


# What passes, and how ---------------------------------------------------------------------------------------------


MESSY = (
    b"\xef\xbb\xbf: hello\r\n\r\nid: 1\rdata: a\r\rdata:b\ndata:  c\nfield\n\n\n\nevent: e\n\ndata: \xff\n\n"
    b"data: [DONE]"
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.sets(st.integers(0, len(MESSY))))
def test_any_chunks_give_the_same_stream_and_what_no_rule_changes_stays(cuts: set[int]) -> None:
    pieces = [MESSY[a:b] for a, b in itertools.pairwise([0, *sorted(cuts), len(MESSY)])]
    touch = {"type": "sse-find-replace", "config": {"replacements": [{"from": "^a$", "to": "A"}]}}
    got = anyio.run(answer, Streaming(*pieces), rule(touch))
    assert got == MESSY.replace(b"data: a", b"data: A")


async def test_the_length_of_a_stream_with_rules_is_not_promised() -> None:
    app = Streaming(b"data: a\n\n", headers=[(b"content-length", b"9")])
    made = await request(around(app, rule(SSN)), "POST", CHAT_PATH, json=STREAM)
    assert "content-length" not in made.headers


@pytest.mark.parametrize(
    ("kind", "coding"), [(b"application/json", b""), (b"text/plain", b""), (b"text/event-stream", b"gzip")]
)
async def test_what_is_no_readable_event_stream_passes_as_it_is(
    kind: bytes, coding: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    body = events("123-45-6789")
    headers = [(b"content-encoding", coding)] if coding else []
    assert await answer(Streaming(body, kind=kind, headers=headers), rule(SSN)) == body
    assert ("compressed" in caplog.text) == bool(coding)


async def test_messages_pass_one_by_one_as_they_come(upstream: Upstream) -> None:
    upstream.on(ok("one two three"))
    made = Gateway.from_policy(policy(rule(SSN), url=upstream.url), secrets=SecretStore([]))
    async with made.lifespan(), Exchange(made.app, method="POST", path=CHAT_PATH, json=STREAM, window=1) as ex:
        await ex.start()
        assert await ex.body()
        assert (await ex.rest()).endswith(b"data: [DONE]\n\n")


async def test_a_client_that_leaves_ends_the_upstream_call(upstream: Upstream) -> None:
    made = Gateway.from_policy(policy(rule(ACROSS), url=upstream.url, key="sk-stall-after-3"), secrets=SecretStore([]))
    async with made.lifespan():
        async with Exchange(made.app, method="POST", path=CHAT_PATH, json=STREAM) as ex:
            await ex.start()
            await ex.body()
            await ex.disconnect()
        assert (await upstream.over()).closed_early


# Rules that fail --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "code", "reason"),
    [
        ([rule(SSN, when=["sse.json.nothing == 1"])], "policy_denied", "rule 1 of on_event_stream_message"),
        ([rule({"type": "deny"}, when=["sse.data.contains('two')"])], "denied", None),
        (
            [rule({"type": "sse-find-replace", "config": {"replacements": [{"from": "${sse.json.x}"}]}})],
            "body_not_edited",
            "sse-find-replace, replacement 0",
        ),
        (
            [rule({"type": "sse-find-replace", "config": {"replacements": [{"from": "${'('}" + "${sse.data}"}]}})],
            "body_not_edited",
            "not RE2",
        ),
    ],
)
async def test_a_failure_ends_the_stream_with_an_error_event_and_is_logged(
    rules: list[Rule], code: str, reason: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    log = request_log(caplog)
    app = Streaming(events(chunk("one")), events(chunk("two"), "[DONE]"))
    got = await answer(app, *rules)
    last = got.split(b"\n\n")[-2]
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == code
    assert b"[DONE]" not in got
    (record,) = log()
    assert record["refused"] == code
    assert reason is None or reason in record["reason"]
    assert code in caplog.text


async def test_a_message_that_is_too_long_to_be_looked_at_does_not_pass() -> None:
    got = await answer(Streaming(events("a"), b"data: " + b"1" * 1_100_000 + b"\n\n"), rule(SSN))
    assert got.startswith(events("a"))
    assert len(got) < 1000
    assert b"ERR_NGROK_3903" in got


async def test_a_response_event_counts_on() -> None:
    sent = {"type": "response.created", "sequence_number": 4}
    stop = rule({"type": "deny"}, when=["sse.data == 'x'"])
    got = await answer(Streaming(events(sent, "x")), stop, path="/v1/responses")
    assert got.startswith(events(sent) + b"event: error\n")
    assert json.loads(got.rpartition(b"data: ")[2])["sequence_number"] == 5


async def test_a_plain_answer_is_none_of_its_business() -> None:
    app = around(PlainTextResponse("123-45-6789"), rule(SSN))
    assert (await request(app, "POST", CHAT_PATH, json=CHAT)).text == "123-45-6789"
