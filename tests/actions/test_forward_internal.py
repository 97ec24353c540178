from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.upstream.http1 import HTTPTransport
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Exchange, Response, request
from tests.gateways import CHAT, CHAT_PATH, KEY, Host, Pieces, Provider, actions, gateway, secret_store
from tests.servers import serving

pytestmark = pytest.mark.anyio

URLS = "orders=http://10.0.0.5:81/base,billing=https://billing.example.com"
FORWARD = ("forward-internal", {"url": "https://orders.internal"})
CONTINUES = ("forward-internal", {"url": "https://orders.internal", "on_error": "continue"})


def forwarding(*written: Any, transport: Any = None, **options: Any) -> GatewayMiddleware:
    options = {"internal": URLS} | options
    to = Gateway.from_policy(
        actions(*(written or (FORWARD,))),
        secrets=secret_store({"v": {"n": "sk-very-secret"}}),
        transport=transport or Provider().transport,
        **options,
    )
    return GatewayMiddleware(Host(), gateway=to, intercept="all")


async def ask(app: Any, method: str = "GET", path: str = "/x", **exchange: Any) -> Response:
    return await request(app, method, path, **exchange)


async def test_the_whole_request_goes_there() -> None:
    provider = Provider(201, {"a": 1}, headers=[("set-cookie", "a=b"), ("x-own", "1"), ("server", "s"), ("te", "x")])
    app = forwarding(transport=provider.transport)
    fields = {
        "cookie": "c=d",
        "authorization": "Bearer own",
        "x-forwarded-for": "9.9.9.9",
        "connection": "x-hop",
        "x-hop": "1",
        "te": "trailers",
        "expect": "100-continue",
        "content-encoding": "br",
    }
    answer = await ask(app, "POST", "/a%20b?c=d&key=1", headers=fields, body=b"\x00compressed", client=("10.1.1.1", 5))
    sent = provider.request
    assert (sent.method, str(sent.url), sent.content) == (
        "POST", "http://10.0.0.5:81/base/a%20b?c=d&key=1", b"\x00compressed",
    )  # fmt: skip
    assert sent.headers["host"] == "gateway.test"
    assert (sent.headers["cookie"], sent.headers["authorization"], sent.headers["content-encoding"]) == (
        "c=d", "Bearer own", "br",
    )  # fmt: skip
    assert sent.headers["x-forwarded-for"] == "9.9.9.9, 10.1.1.1"
    assert (sent.headers["x-forwarded-proto"], sent.headers["x-forwarded-host"]) == ("http", "gateway.test")
    assert not {"x-hop", "te", "expect", "connection"} & set(sent.headers)
    assert (answer.status, answer.json(), answer.headers["set-cookie"], answer.headers["x-own"]) == (
        201, {"a": 1}, "a=b", "1",
    )  # fmt: skip
    assert not {"server", "te"} & set(answer.headers)


async def test_what_the_policy_made_of_the_request_goes_there() -> None:
    provider = Provider()
    app = forwarding(
        ("remove-headers", {"headers": ["x-a"]}),
        ("add-headers", {"headers": {"x-b": "2", "host": "other.test", "x-forwarded-host": "public.test"}}),
        ("url-rewrite", {"from": "/x", "to": "/y"}),
        FORWARD,
        transport=provider.transport,
    )
    await ask(app, headers={"x-a": "1"})
    sent = provider.request
    assert (sent.url.path, sent.headers["x-b"], sent.headers["host"], sent.headers["x-forwarded-host"]) == (
        "/base/y", "2", "other.test", "public.test",
    )  # fmt: skip
    assert "x-a" not in sent.headers


async def test_a_gateway_key_does_not_leave_the_process() -> None:
    provider = Provider()
    path = f"/x?a=1&key={KEY}&encoded={KEY.replace('_', '%5F')}"
    await ask(forwarding(transport=provider.transport), path=path, headers={"x-api-key": KEY})
    assert (provider.request.url.query, "x-api-key" in provider.request.headers) == (b"a=1", False)


@pytest.mark.parametrize("path", ["/a/../b", "/a/%2e%2e/b", "/./a", "/a%5c..%5cb"])
async def test_a_path_that_leads_up_is_refused(path: str) -> None:
    provider = Provider()
    answer = await ask(forwarding(transport=provider.transport), path=path)
    assert (answer.status, answer.json()["error"]["code"], provider.requests) == (400, "ambiguous_path", [])


async def test_the_answer_passes_piece_by_piece_and_meets_the_response_rules() -> None:
    stream = Pieces(*[b"data: %d\n\n" % number for number in range(1, 10)])
    provider = Provider(stream=stream, headers=[("x-a", "1")])
    policy = actions(FORWARD) | actions(
        ("add-headers", {"headers": {"x-b": "${res.status_code}"}}), phase="on_http_response"
    )
    app = GatewayMiddleware(
        Host(), gateway=Gateway.from_policy(policy, transport=provider.transport, internal=URLS), intercept="all"
    )
    async with Exchange(app, path="/x", window=1) as ex:
        start = await ex.start()
        assert (start.headers["x-b"], "content-length" in start.headers) == ("200", False)
        assert await ex.body() == b"data: 1\n\n"
        for _ in range(20):
            await asyncio.sleep(0)
        assert stream.read < 5  # the client takes no more at the moment
        assert (await ex.rest()).endswith(b"data: 8\n\ndata: 9\n\n")
    assert stream.closed


@pytest.mark.parametrize(("length", "pieces"), [(1023, 1), (1024, 3)])
async def test_what_is_short_keeps_its_length(length: int, pieces: int) -> None:
    """`compress-response` leaves it alone by that."""
    body = Pieces(b"[", b" " * (length - 2), b"]")
    fields = {"content-type": "application/json", "content-length": str(length)}
    provider = httpx.MockTransport(lambda _: httpx.Response(200, headers=fields, stream=body))
    async with Exchange(forwarding(transport=provider), path="/x") as ex:
        assert (await ex.start()).headers.get("content-length") == ("1023" if pieces == 1 else None)
        assert len(await ex.body()) == (length if pieces == 1 else 1)
        await ex.rest()
    assert body.closed


@pytest.mark.parametrize("media_type", ["text/event-stream", "application/octet-stream"])
async def test_a_client_that_leaves_ends_it(media_type: str) -> None:
    class Endless(Pieces):
        async def __aiter__(self) -> Any:
            yield b"data: 1\n\n"
            await asyncio.sleep(60)

    stream = Endless()
    provider = httpx.MockTransport(lambda _: httpx.Response(200, headers={"content-type": media_type}, stream=stream))
    async with Exchange(forwarding(transport=provider), path="/x") as ex:
        await ex.start()
        await ex.body()
    assert stream.closed


async def test_a_secret_that_it_echoes_is_taken_out_of_text() -> None:
    for stream in (None, Pieces(b'{"a": "sk-very-', b'secret"}')):
        provider = Provider(body={"a": "sk-very-secret"}, stream=stream, headers=[("x-a", "sk-very-secret")])
        app = forwarding(
            ("add-headers", {"headers": {"x-key": "${secrets.get('v', 'n')}"}}), FORWARD, transport=provider.transport
        )
        answer = await ask(app)
        assert provider.request.headers["x-key"] == "sk-very-secret"
        assert (answer.json(), answer.headers["x-a"]) == ({"a": "[redacted]"}, "[redacted]")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (httpx.ConnectError("sk-very-secret"), 502, "forward_failed"),
        (httpx.ReadError("no"), 502, "forward_failed"),
        (httpx.ConnectTimeout("no"), 504, "forward_timeout"),
        (httpx.ReadTimeout("no"), 504, "forward_timeout"),
    ],
)
async def test_what_cannot_be_reached(error: Exception, status: int, code: str) -> None:
    def fails(_: httpx.Request) -> httpx.Response:
        raise error

    transport = httpx.MockTransport(fails)
    refused = await ask(forwarding(transport=transport))
    assert (refused.status, refused.json()["error"]["code"]) == (status, code)
    assert refused.json()["error"]["message"].startswith("ERR_NGROK_3210: ")
    told = await ask(
        forwarding(CONTINUES, ("custom-response", {"body": "${actions.ngrok.forward_internal}"}), transport=transport),
        "POST",
        json=CHAT,
    )
    assert (told.status, told.json()["url"], told.json()["error"]["code"]) == (200, "https://orders.internal", code)


async def test_after_a_failure_the_next_one_gets_the_same_request() -> None:
    sent: list[httpx.Request] = []

    def answers(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if request.url.host == "10.0.0.5":
            raise httpx.ConnectError("no")
        return httpx.Response(200, text="billing")

    second = ("forward-internal", {"url": "https://billing.internal"})
    app = forwarding(CONTINUES, second, transport=httpx.MockTransport(answers))
    assert (await ask(app, "POST", CHAT_PATH, json=CHAT)).text == "billing"
    assert [json.loads(each.content) for each in sent] == [CHAT, CHAT]


async def test_any_status_is_an_answer() -> None:
    provider = Provider(503, {"down": True})
    answer = await ask(forwarding(CONTINUES, "deny", transport=provider.transport))
    assert (answer.status, answer.json()) == (503, {"down": True})


async def test_an_app_of_this_process() -> None:
    orders = Host(201, body=b"orders")
    app = forwarding(
        ("add-headers", {"headers": {"x-b": "2"}}), ("url-rewrite", {"from": "/x", "to": "/y"}), FORWARD,
        internal={"orders": orders, "billing": "https://billing.example.com"},
    )  # fmt: skip
    answer = await ask(app, "POST", "/x?q", body=b"content", root_path="/mount")
    assert (answer.status, answer.text, orders.bodies) == (201, "orders", [b"content"])
    assert (orders.scope["path"], orders.scope["query_string"], orders.field(b"x-b")) == ("/mount/y", b"q", [b"2"])
    assert answer.headers["x-request-id"].startswith("req_")


async def test_an_app_streams_and_hears_that_the_client_left() -> None:
    left = asyncio.Event()

    async def orders(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with Exchange(forwarding(internal={"orders": orders}), path="/x") as ex:
        await ex.start()
        assert await ex.body() == b"one"
        await ex.disconnect()
        await asyncio.wait_for(left.wait(), 5)


async def test_an_app_that_fails_is_answered_for(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("sk-very-secret")

    answer = await ask(forwarding(CONTINUES, "deny", internal={"orders": broken}))
    assert (answer.status, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "sk-very-secret" not in answer.text


async def test_an_app_counts_before_a_url_of_its_name() -> None:
    orders = Host(body=b"app")
    to = forwarding(internal={"Orders.internal": orders, "orders": "http://10.0.0.5"})
    assert (await ask(to)).text == "app"


async def test_a_template_chooses_among_the_names() -> None:
    provider = Provider()
    dynamic = {"url": "https://${req.headers['x-to'][0]}.internal"}
    app = forwarding(("forward-internal", dynamic), transport=provider.transport)
    assert (await ask(app, headers={"x-to": "billing"})).status == 200
    for wrong in ("evil.test/", "nobody", "a@b", "orders.internal:22/x?", "orders.evil.test#", ""):
        answer = await ask(app, headers={"x-to": wrong})
        assert (answer.status, answer.json()["error"]["code"]) == (502, "forward_not_found")
    assert [sent.url.host for sent in provider.requests] == ["billing.example.com"]


async def test_apps_do_not_call_each_other_for_ever() -> None:
    gateways: dict[str, Any] = {}

    async def again(scope: Any, receive: Any, send: Any) -> None:
        await gateways["one"](scope, receive, send)

    gateways["one"] = forwarding(internal={"orders": again})
    answer = await ask(gateways["one"])
    assert (answer.status, answer.json()["error"]["code"]) == (508, "forward_loop")
    assert answer.json()["error"]["message"].startswith("ERR_NGROK_3501: ")


def test_a_service_does_not_lead_back_for_ever() -> None:
    to: dict[str, Any] = {}

    async def entry(scope: Any, receive: Any, send: Any) -> None:
        await to["app"](scope, receive, send)

    with serving(entry, lifespan="off") as url:
        to["app"] = forwarding(transport=HTTPTransport(), internal=f"orders={url}")
        answer = httpx.get(url + "/x")
        assert (answer.status_code, answer.json()["error"]["code"]) == (508, "forward_loop")


async def test_a_real_service_over_our_own_transport() -> None:
    async def service(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        said = json.dumps([scope["method"], scope["path"], dict(scope["headers"])[b"host"].decode()]).encode()
        head = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(said + message["body"]))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": said + message["body"]})

    transport = HTTPTransport()
    with serving(service, lifespan="off") as url:
        app = forwarding(transport=transport, internal=f"orders={url}/base")
        answer = await ask(app, "PUT", "/x", body=b"!", headers={"host": "public.test"})
        assert answer.text == '["PUT", "/base/x", "public.test"]!'
        head = await ask(app, "HEAD", "/x")
        assert (head.status, head.body, int(head.headers["content-length"]) > 10) == (200, b"", True)
        await ask(app, headers={"host": "another.test"})
        assert transport.connections == 1  # whatever host is asked for
        await transport.aclose()


GOOD: list[dict[str, Any]] = [
    {"url": "https://orders.internal"},
    {"url": "http://ORDERS.internal/"},
    {"url": "https://orders.internal:443"},
    {"url": "https://${req.headers['x-service'][0]}.internal"},
    {"url": "https://orders.internal", "on_error": "continue"},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"url": "https://order.internal"}, "https://order.internal", "nothing is known as `order.internal`"),
    ({"url": "https://zzz.internal"}, "https://zzz.internal", "say where it leads: AI_GATEWAY_INTERNAL=zzz=http://"),
    ({"url": "https://orders.example.com"}, "https://orders.example.com", "is no internal upstream"),
    ({"url": "https://orders.internal/path"}, "https://orders.internal/path", "use `url-rewrite`"),
    ({"url": "https://orders.internal?x"}, "https://orders.internal?x", "use `url-rewrite`"),
    ({"url": "https://orders.internal:8080"}, "https://orders.internal:8080", "a port belongs into the setting"),
    ({"url": "orders.internal"}, "orders.internal", "no http or https URL"),
    ({"url": "tcp://orders.internal"}, "tcp://orders.internal", "no http or https URL"),
    (
        {"url": "https://.internal"},
        "https://.internal",
        "`.internal` is no internal upstream: write `https://name.internal`",
    ),
    ({"url": "https://${nope}.internal"}, "nope}.internal", "unknown name `nope`"),
    ({"url": ""}, '""', "`url` must have 1 or more characters"),
    ({}, "{}", "the config of `forward-internal` needs `url`"),
    ({"url": 5}, "5", "this is no http or https URL"),
    ({"url": ["https://orders.internal"]}, "[", "`url` must be text, not a list"),
    (
        {"url": "https://${secrets.get('v', 'n')}.internal"},
        "https://${secrets.get('v'",
        "a secret must not be used here: this text is shown to clients or",
    ),
    (
        {"url": "https://user:password@orders.internal"},
        "https://user:password@or",
        "the URL names no host, or more than a host and a port",
    ),
    (
        {"url": "https://orders.internal", "on_error": "stop"},
        '"stop"',
        "`on_error` must be `halt` or `continue`, not the text `stop`",
    ),
    (
        {"url": "https://orders.internal", "binding": "internal"},
        '"binding"',
        "unknown field `binding`; known are `url` and `on_error`",
    ),
    (
        {"url": "https://orders.internal", "timeout": "5s"},
        '"timeout"',
        "unknown field `timeout`; known are `url` and `on_error`",
    ),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("forward-internal", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("forward-internal", config, at, says)


def test_without_any_name_a_template_has_nothing_to_choose_from() -> None:
    with pytest.raises(PolicyError, match="no internal upstream is known"):
        gateway(actions(("forward-internal", {"url": "https://${req.host}.internal"})))


def test_it_ends_the_phase_unless_it_may_fail() -> None:
    with pytest.raises(PolicyError, match="never reached"):
        forwarding(FORWARD, "deny")
    assert forwarding(CONTINUES, "deny")


async def test_too_large_a_body_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    provider = Provider()
    app = forwarding(transport=provider.transport, max_body=10)
    assert (await ask(app, "POST", body=b"x" * 11)).status == 413
    assert provider.requests == []
