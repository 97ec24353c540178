from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from ai_gateway_mw import Gateway, GatewayMiddleware, PolicyError
from ai_gateway_mw.errors import Overloaded
from ai_gateway_mw.policy import load_policy
from ai_gateway_mw.settings import Settings, SettingsError
from tests.asgi import Exchange, request
from tests.gateways import CHAT, CHAT_PATH, KEY, OTHER_KEY, Host, Provider, actions, bearer, gateway, request_log

pytestmark = pytest.mark.anyio

DENY = actions("deny")
SAYS = ("custom-response", {"body": "gateway"})
READS = actions("deny", expressions=["req.body.model == 'forbidden'"])


def around(host: Any, policy: Any = DENY, *, intercept: Any = "ai-paths", **settings: Any) -> GatewayMiddleware:
    return GatewayMiddleware(host, gateway=gateway(policy, **settings), intercept=intercept)


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/api/orders", "/v2/chat/completions", "/static//x", "/a/../b", "/v1/other"]
)
async def test_the_rest_of_the_app_is_left_alone(path: str) -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": [(b"X-Mixed", b"1")], "query_string": b""}
    await around(app)(scope, receive, send)
    assert seen[0][0] is scope
    assert seen[0][1:] == (receive, send)
    assert sent[0]["headers"] == []  # not even an id is added


@pytest.mark.parametrize("path", [CHAT_PATH, "/chat/completions", "/v1/v1/messages", "/v1/models", "/files/f1"])
async def test_ai_paths_are_under_the_policy(path: str) -> None:
    host = Host()
    assert (await request(around(host), path=path)).status == 403
    assert host.scopes == []


async def test_what_no_rule_answers_goes_to_the_app() -> None:
    host = Host(201)
    response = await request(around(host, actions(("set-vars", {"vars": []}))), "POST", CHAT_PATH, json=CHAT)
    assert (response.status, response.text) == (201, "host")
    assert host.bodies == [b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}']


async def test_all_paths_are_under_the_policy_if_it_says_so() -> None:
    host = Host()
    assert (await request(around(host, intercept="all"), path="/orders")).status == 403
    assert host.scopes == []


@pytest.mark.parametrize("intercept", ["al", "ALL", "", None, True])
def test_a_misspelled_intercept_is_refused(intercept: Any) -> None:
    """It would leave open what was meant to be shut."""
    with pytest.raises(ValueError, match="intercept"):
        around(Host(), intercept=intercept)


AMBIGUOUS = ["/v1//chat/completions", "/v1/chat/../chat/completions", "/v1/chat%2fcompletions", "/v1/chat/completions/"]
AMBIGUOUS += ["/v1/chat/completions;x", "/v1/chat%5ccompletions", "/V1/Messages", "/x/../v1/models", "//v1/messages"]


@pytest.mark.parametrize("path", AMBIGUOUS)
@pytest.mark.parametrize("intercept", ["ai-paths", "all"])
async def test_an_ambiguous_path_is_refused_before_anything_else(
    path: str, intercept: str, caplog: pytest.LogCaptureFixture
) -> None:
    log = request_log(caplog)
    host = Host()
    response = await request(around(host, actions(SAYS), intercept=intercept), "POST", path, json=CHAT)
    assert (response.status, response.json()["error"]["code"]) == (400, "ambiguous_path")
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers["x-should-retry"] == "false"
    assert host.scopes == []
    assert log()[0]["refused"] == "ambiguous_path"


@pytest.mark.parametrize(
    ("fields", "api_format"),
    [
        ({}, "openai"),
        ({"anthropic-version": "2023-06-01"}, "anthropic"),
        ({"x-goog-api-client": "google-genai-sdk/2"}, "gemini"),
    ],
)
async def test_where_the_path_does_not_tell_the_callers_sdk_does(fields: dict[str, str], api_format: str) -> None:
    app = gateway(DENY).app
    for path in ("/nothing/here", "/v1//messages"):
        body = (await request(app, "POST", path, headers=fields)).json()
        told = "anthropic" if "type" in body else "gemini" if "status" in body["error"] else "openai"
        assert told == api_format


async def test_unknown_paths_below_v1beta_are_answered_as_gemini_would() -> None:
    response = await request(gateway(DENY).app, path="/v1beta/cachedContents")
    assert response.json()["error"]["status"] == "NOT_FOUND"


async def test_errors_can_be_told_in_one_format_for_all() -> None:
    response = await request(gateway(READS, dialect_errors=False).app, "POST", "/v1/messages", body=b"{")
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert "type" not in response.json()


# Requests that someone else may understand otherwise

MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/gemini-2.5-flash:generateContent"


def is_openai(body: Any) -> bool:
    return set(body["error"]) == {"message", "type", "param", "code"}


def is_anthropic(body: Any) -> bool:
    return bool(body["type"] == "error" and set(body["error"]) == {"type", "message"})


def is_gemini(body: Any) -> bool:
    return set(body["error"]) == {"code", "message", "status"}


DIALECTS = [
    pytest.param(CHAT_PATH, is_openai, id="openai"),
    pytest.param(MESSAGES, is_anthropic, id="anthropic"),
    pytest.param(GEMINI, is_gemini, id="gemini"),
]


@pytest.mark.parametrize(("path", "dialect"), DIALECTS)
@pytest.mark.parametrize(
    "headers",
    [
        [("host", "a.test"), ("host", "b.test")],
        [("host", "a.test"), ("Host", "a.test")],
        [("authorization", "Bearer a"), ("authorization", "Bearer b")],
        [("authorization", "Bearer a"), ("x-api-key", "b")],
        [("content-type", "application/json"), ("content-type", "multipart/form-data; boundary=x")],
    ],
    ids=["two hosts", "one host twice", "two authorizations", "two credentials", "two content types"],
)
async def test_fields_that_contradict_each_other_are_refused(path: str, dialect: Any, headers: Any) -> None:
    host = Host()
    response = await request(around(host, actions(SAYS)), "POST", path, headers=headers, json=CHAT)
    assert response.status == 400
    assert dialect(response.json())
    assert host.scopes == []


BODIES = {
    "model twice": b'{"model":"a","model":"b"}',
    "Model and model": b'{"model":"a","Model":"b"}',
    "Model alone": b'{"Model":"b"}',
    "byte order mark": b'\xef\xbb\xbf{"model":"a"}',
    "UTF-16": '{"model":"a"}'.encode("utf-16"),
    "NaN": b'{"model":"a","temperature":NaN}',
    "half a surrogate pair": b'{"model":"a","x":"\\ud800"}',
    "deep": b'{"model":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "unfinished": b'{"model":"a"',
    "a list": b"[]",
    "empty": b"",
    "a number of 5,000 digits": b'{"model":"a","seed":' + b"1" * 5000 + b"}",
}


@pytest.fixture(scope="module", params=[READS, actions("ai-gateway")], ids=["a rule reads it", "ai-gateway reads it"])
def reading(request: pytest.FixtureRequest) -> Any:
    """A gateway that reads bodies of up to 16 KiB, and its provider, who must never hear of the bad ones."""
    provider = Provider()
    return gateway(request.param, provider=provider, max_body="16KiB").app, provider


@pytest.mark.parametrize(("path", "dialect"), DIALECTS)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_body_that_another_parser_may_read_otherwise_is_refused(
    body: bytes, path: str, dialect: Any, reading: Any
) -> None:
    app, provider = reading
    response = await request(app, "POST", path, body=body, headers=bearer("sk-x"))
    assert response.status == 400, response.text
    assert dialect(response.json())
    assert provider.requests == []


@pytest.mark.parametrize(("path", "dialect"), DIALECTS)
async def test_a_body_beyond_the_limit_is_refused(path: str, dialect: Any, reading: Any) -> None:
    app, _ = reading
    async with Exchange(app, method="POST", path=path, body=None) as ex:
        for _ in range(3):
            await ex.feed(b" " * 8192)
        start = await ex.start()
        assert start.status == 413
        assert dialect(json.loads(await ex.rest()))


@pytest.mark.parametrize("size", [1023, 1024, 1025])
async def test_the_limit_is_exact(size: int) -> None:
    app = gateway(READS, max_body="1KiB").app
    response = await request(app, "POST", CHAT_PATH, body=b'{"model":"' + b"x" * (size - 12) + b'"}')
    assert (response.status == 413) is (size > 1024)


@pytest.mark.parametrize(("path", "dialect"), DIALECTS)
@pytest.mark.parametrize("encoding", [["gzip"], ["GZIP"], ["identity", "gzip"], ["br, gzip"], ["zstd"]], ids=",".join)
async def test_a_compressed_body_is_refused(path: str, dialect: Any, encoding: list[str]) -> None:
    headers = [("content-encoding", each) for each in encoding]
    response = await request(gateway(READS).app, "POST", path, headers=headers, json=CHAT)
    assert response.status == 415
    assert dialect(response.json())


async def test_identity_is_no_compression() -> None:
    headers = {"content-encoding": "Identity"}
    assert (await request(around(Host(), READS), "POST", CHAT_PATH, headers=headers, json=CHAT)).status == 200


async def test_the_body_of_an_app_that_no_rule_reads_is_not_touched() -> None:
    """Neither its size nor its form matters: the app streams it."""
    host = Host()
    app = around(host, actions(("set-vars", {"vars": []})), intercept="all", max_body=10)
    response = await request(app, "POST", "/upload", body=b"\x1f\x8b" * 50, headers={"content-encoding": "gzip"})
    assert (response.status, host.bodies) == (200, [b"\x1f\x8b" * 50])


# Fields are those that came with the head


def with_trailers(app: Any) -> Any:
    """A server that appends the trailers of a request to its fields while the body is read, as uvicorn does."""

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        async def read() -> Message:
            scope["headers"] += [(b"x-evil", b"1"), (b"authorization", b"Bearer evil"), (b"x-api-key", b"evil")]
            return await receive()

        await app(scope, read, send)

    return server


async def test_trailers_do_not_become_fields_of_what_goes_upstream() -> None:
    provider = Provider()
    key = {"name": "k", "value": KEY}
    upstream = {"providers": [{"id": "openai", "api_keys": [{"value": "sk-operator"}]}]}
    policy = actions(
        ("set-vars", {"vars": [{"model": "${req.body.model}"}]}),
        ("add-headers", {"headers": {"x-seen": "${req.headers}"}}),
        ("gateway-auth", {"keys": [key]}),
        ("ai-gateway", upstream),
    )
    app = with_trailers(gateway(policy, provider=provider).app)
    assert (await request(app, "POST", CHAT_PATH, headers=bearer(KEY), json=CHAT)).status == 200
    assert "evil" not in repr(provider.request.headers.raw)
    assert provider.request.headers["authorization"] == "Bearer sk-operator"


async def test_trailers_do_not_become_fields_that_the_app_gets() -> None:
    host = Host()
    app = with_trailers(around(host, actions("deny", expressions=["req.body.model == 'x' || 'x-evil' in req.headers"])))
    assert (await request(app, "POST", CHAT_PATH, json=CHAT)).status == 200
    assert "evil" not in repr(host.scope["headers"])


# Answers


@pytest.mark.parametrize("intercept", ["ai-paths", "all"])
async def test_every_answer_through_the_gateway_has_one_id(intercept: str) -> None:
    host = Host(headers=[(b"X-Request-Id", b"theirs"), (b"x-request-id", b"again")])
    response = await request(
        _lower(around(host, actions(("set-vars", {"vars": []})), intercept=intercept)), path="/v1/models"
    )
    assert len(response.headers.getlist("x-request-id")) == 1
    assert response.headers["x-request-id"].startswith("req_")


def _lower(app: Any) -> Any:
    """A server that lowers the names of fields, as uvicorn does."""

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        async def lowered(message: Message) -> None:
            if "headers" in message:
                message["headers"] = [(name.lower(), value) for name, value in message["headers"]]
            await send(message)

        await app(scope, receive, lowered)

    return outer


async def test_ids_differ() -> None:
    app = gateway(DENY).app
    assert len({(await request(app, path="/v1/models")).headers["x-request-id"] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        (DENY, 403),
        (actions(SAYS), 200),
        (actions("ai-gateway"), 404),
        (actions(("custom-response", {"status_code": 204})), 204),
    ],
)
async def test_head_is_answered_without_a_body(policy: Any, status: int) -> None:
    response = await request(gateway(policy).app, "HEAD", "/v1/models/nope")
    assert (response.status, response.body) == (status, b"")


# Two gateways, and what a gateway is made of


async def test_two_gateways_in_one_process_do_not_see_each_other() -> None:
    def one(key: str, secret: str, provider: Provider) -> Gateway:
        keys = [{"name": "k", "value": key}]
        upstream = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('v', 'n')}"}]}]}
        policy = actions(("gateway-auth", {"keys": keys}), ("ai-gateway", upstream))
        return gateway(policy, vaults={"v": {"n": secret}}, provider=provider)

    providers = Provider(), Provider(500)
    first, second = one(KEY, "sk-first-secret", providers[0]), one(OTHER_KEY, "sk-second-secret", providers[1])
    nested = GatewayMiddleware(first.app, gateway=second, intercept="all")
    for app, key, status in [
        (first.app, KEY, 200),
        (first.app, OTHER_KEY, 401),
        (second.app, KEY, 401),
        (nested, KEY, 401),
    ]:
        assert (await request(app, "POST", CHAT_PATH, headers=bearer(key), json=CHAT)).status == status
    assert (await request(second.app, "POST", CHAT_PATH, headers=bearer(OTHER_KEY), json=CHAT)).status >= 500
    assert {sent.headers["authorization"] for sent in providers[0].requests} == {"Bearer sk-first-secret"}
    assert {sent.headers["authorization"] for sent in providers[1].requests} == {"Bearer sk-second-secret"}
    assert first.stores.secrets.redact("sk-second-secret") == "sk-second-secret"
    assert first.stores.provider_keys is not second.stores.provider_keys


async def test_a_policy_can_be_put_in_force_while_requests_run() -> None:
    gate = gateway(actions(SAYS))
    app = gate.app
    async with Exchange(app, method="POST", path=CHAT_PATH) as ex:
        gate.reload(load_policy(DENY))
        assert (await ex.start()).status in (200, 403)
        await ex.rest()
    assert (await request(app, path="/v1/models")).status == 403


async def test_a_policy_that_is_wrong_leaves_the_old_one_in_force() -> None:
    gate = gateway(actions(SAYS))
    with pytest.raises(PolicyError):
        gate.reload(load_policy(actions("denny")))
    assert (await request(gate.app, path="/v1/models")).text == "gateway"


def test_a_gateway_is_made_of_a_file_a_text_or_data(tmp_path: Any) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("on_http_request: [{type: deny}]")
    for gate in (Gateway.from_file(file), Gateway.from_file(str(file)), Gateway.from_policy(file.read_text())):
        assert gate.warnings == ()
    assert GatewayMiddleware(Host(), policy=file).gateway.policy.rules


@pytest.mark.parametrize("sources", ["files, env", ["files", "env"], ("files", "env")])
def test_the_setting_of_secrets_may_be_an_argument_like_all_others(sources: Any) -> None:
    made = Gateway.from_policy(DENY, secrets=sources)
    assert made.settings.secrets == ("files", "env")
    assert [source.name for source in made.stores.secrets.sources] == ["files", "env"]
    with pytest.raises(SettingsError, match="`vault` is no source of secrets"):
        Gateway.from_policy(DENY, secrets="vault")


def test_what_is_wrong_is_told_when_it_is_made(tmp_path: Any) -> None:
    with pytest.raises(PolicyError, match="nowhere"):
        Gateway.from_file(tmp_path / "nowhere.yaml")
    with pytest.raises(PolicyError):
        Gateway.from_policy("on_http_request: [{type: denny}]")
    with pytest.raises(SettingsError):
        gateway(DENY, trusted_proxy="10.0.0.0/8")
    with pytest.raises(TypeError):
        gateway(DENY, settings=Settings(), trusted_proxies="10.0.0.0/8")


@pytest.mark.parametrize(
    "options", [{}, {"policy": "p.yaml", "gateway": True}, {"gateway": True, "settings": Settings()}], ids=str
)
def test_the_middleware_takes_a_gateway_or_what_makes_one(options: dict[str, Any]) -> None:
    """A setting beside a gateway would be passed over in silence."""
    if "gateway" in options:
        options["gateway"] = gateway(DENY)
    with pytest.raises(TypeError):
        GatewayMiddleware(Host(), **options)


def test_the_name_of_a_file_is_no_policy_and_no_gateway() -> None:
    wrong: Any = "policy.yaml"
    with pytest.raises(TypeError, match=r"Gateway\.from_file"):
        Gateway(wrong)
    with pytest.raises(TypeError, match="into `policy`"):
        GatewayMiddleware(Host(), gateway=wrong)


def test_what_is_wrong_is_logged_where_an_app_makes_the_middleware(
    tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """uvicorn takes an error at startup for a lifespan that is not supported, and starts."""
    with pytest.raises(PolicyError):
        GatewayMiddleware(Host(), policy=tmp_path / "nowhere.yaml")
    assert "nowhere.yaml: cannot be read" in caplog.text


def test_an_app_is_made_once() -> None:
    gate = gateway(DENY)
    assert gate.app is gate.app
    assert inspect.iscoroutinefunction(type(gate.app).__call__)


async def test_requests_that_wait_for_a_provider_can_be_given_up_with_a_reason() -> None:
    asked = asyncio.Event()
    given_up: list[bool] = []

    async def silent(request: httpx.Request) -> httpx.Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(True)
        raise AssertionError("nobody answers")

    waiting = Gateway.from_policy(actions("ai-gateway"), transport=httpx.MockTransport(silent))
    async with Exchange(waiting.app, method="POST", path=CHAT_PATH, headers=bearer("sk-x"), json=CHAT) as ex:
        await asked.wait()
        waiting.interrupt(Overloaded("The gateway is shutting down."))
        assert (await ex.start()).status == 503
        assert json.loads(await ex.rest())["error"]["code"] == "overloaded"
    assert given_up == [True]
