from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

import ai_gateway_mw
from ai_gateway_mw import (
    AuthMiddleware,
    FailoverMiddleware,
    IPAllowlistMiddleware,
    KeySelectionMiddleware,
    PassthroughMiddleware,
    PolicyError,
)
from ai_gateway_mw.middleware import stages
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from tests.asgi import Exchange, request
from tests.gateways import CHAT, CHAT_PATH, KEY, OTHER_KEY, Host, Pieces, Provider, bearer, request_log, secret_store

pytestmark = pytest.mark.anyio

ALLOW = ["127.0.0.0/8"]


def stores(provider: Provider | None = None, **settings: Any) -> Stores:
    transport = (provider or Provider()).transport
    vaults = {"openai": {"one": "sk-operator-one", "two": "sk-operator-two"}, "gw": {"team": KEY}}
    return Stores(Settings(**settings), secrets=secret_store(vaults), transport=transport)


UPSTREAM = {
    "providers": [
        {
            "id": "openai",
            "api_keys": [{"value": "${secrets.get('openai', 'one')}"}, {"value": "${secrets.get('openai', 'two')}"}],
        }
    ]
}


def auth(app: Any, shared: Stores) -> Any:
    return AuthMiddleware(app, keys=[KEY], stores=shared)


def allowlist(app: Any, shared: Stores) -> Any:
    return IPAllowlistMiddleware(app, allow=ALLOW, stores=shared)


def selection(app: Any, shared: Stores) -> Any:
    return KeySelectionMiddleware(app, stores=shared, **UPSTREAM)


def failover(app: Any, shared: Stores) -> Any:
    return FailoverMiddleware(app, stores=shared)


def passthrough(app: Any, shared: Stores) -> Any:
    return PassthroughMiddleware(app, stores=shared)


ORDERS = [
    pytest.param([auth, allowlist, selection, failover, passthrough], id="as they are named"),
    pytest.param([allowlist, auth, selection, failover, passthrough], id="address first"),
    pytest.param([selection, auth, allowlist, failover, passthrough], id="selection first"),
    pytest.param([auth, selection, passthrough, allowlist], id="without failover"),
]


def stacked(order: list[Any], host: Any, provider: Provider, **settings: Any) -> Any:
    shared = stores(provider, **settings)
    app = host
    for layer in reversed(order):
        app = layer(app, shared)
    return app


@pytest.mark.parametrize("order", ORDERS)
async def test_in_any_order_that_makes_sense_they_are_a_gateway(
    order: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    log = request_log(caplog)
    host, provider = Host(), Provider(body={"ok": True})
    response = await request(stacked(order, host, provider), "POST", CHAT_PATH, headers=bearer(KEY), json=CHAT)
    assert (response.status, response.json()) == (200, {"ok": True})
    assert response.headers.getlist("x-request-id") == [log()[0]["request"]]
    assert provider.request.headers["authorization"] == "Bearer sk-operator-one"
    assert host.scopes == []
    assert len(log()) == 1


@pytest.mark.parametrize("order", ORDERS[:3])
@pytest.mark.parametrize(
    ("headers", "client", "status"),
    [({}, "127.0.0.1", 401), (bearer(OTHER_KEY), "127.0.0.1", 401), (bearer(KEY), "192.0.2.1", 403)],
)
async def test_what_a_layer_refuses_goes_no_further(
    order: list[Any], headers: Any, client: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    log = request_log(caplog)
    provider, host = Provider(), Host()
    app = stacked(order, host, provider)
    response = await request(app, "POST", CHAT_PATH, headers=headers, client=(client, 1), json=CHAT)
    assert response.status == status
    assert provider.requests == host.scopes == []
    assert [(record["status"], record["refused"]) for record in log()] == [
        (status, response.headers["x-gateway-error"])
    ]
    assert len(response.headers.getlist("x-request-id")) == 1


async def test_other_paths_go_to_the_app_through_the_guards() -> None:
    host = Host()
    app = stacked([auth, allowlist, selection, failover, passthrough], host, Provider())
    response = await request(app, "POST", "/orders", headers=bearer(KEY), body=b"x")
    assert (response.text, host.bodies) == ("host", [b"x"])
    assert KEY not in repr(host.scope["headers"])
    assert (await request(app, "POST", "/orders", body=b"x")).status == 401


async def test_failover_goes_on_to_the_next_key() -> None:
    provider = Provider(429)
    app = stacked([selection, failover, passthrough], Host(), provider)
    response = await request(app, "POST", CHAT_PATH, json=CHAT)
    assert response.status == 429
    assert [sent.headers["authorization"] for sent in provider.requests] == [
        "Bearer sk-operator-one", "Bearer sk-operator-two",
    ]  # fmt: skip


async def test_passthrough_alone_hands_on_the_clients_own_key() -> None:
    provider, host = Provider(), Host()
    app = stacked([passthrough], host, provider)
    assert (await request(app, "POST", CHAT_PATH, headers=bearer("sk-own"), json=CHAT)).status == 200
    assert provider.request.headers["authorization"] == "Bearer sk-own"
    assert (await request(app, path="/orders")).text == "host"


async def test_passthrough_keeps_to_what_was_selected_above_it() -> None:
    """Without failover between them, a client's key must not lead past the selection."""
    provider = Provider()
    only = {"only_allow_configured_models": True, "providers": [{"id": "openai", "models": [{"id": "m"}]}]}
    inner = PassthroughMiddleware(Host(), stores=stores(provider))
    app = KeySelectionMiddleware(inner, stores=stores(provider), **only)
    assert (await request(app, "POST", CHAT_PATH, headers=bearer("sk-own"), json=CHAT)).status == 403
    assert provider.requests == []
    assert (await request(app, "POST", CHAT_PATH, headers=bearer("sk-own"), json={"model": "m"})).status == 200


async def test_the_layers_share_one_context() -> None:
    seen = []

    def spy(app: Any) -> Any:
        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["ai_gateway_mw.context"])
            await app(scope, receive, send)

        return outer

    shared = stores()
    app = auth(
        spy(allowlist(spy(selection(spy(failover(spy(passthrough(Host(), shared)), shared)), shared)), shared)), shared
    )
    await request(app, "POST", CHAT_PATH, headers=bearer(KEY), json=CHAT)
    assert len(seen) == 4
    assert len(set(map(id, seen))) == 1
    assert seen[0].gateway_key.name == "key-1"
    assert seen[0].attempts


async def test_two_requests_do_not_share_one() -> None:
    seen = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["ai_gateway_mw.context"])
        await Host()(scope, receive, send)

    layer = allowlist(app, stores())
    await request(layer)
    await request(layer)
    assert seen[0] is not seen[1]


@pytest.mark.parametrize("path", ["/v1//chat/completions", "/v1/chat/completions/", "/v1/chat%2fcompletions"])
@pytest.mark.parametrize("layer", [auth, allowlist, selection, failover, passthrough])
async def test_an_ambiguous_path_is_refused_by_every_layer(layer: Any, path: str) -> None:
    host = Host()
    response = await request(layer(host, stores()), "POST", path, headers=bearer(KEY), json=CHAT)
    assert (response.status, response.json()["error"]["code"]) == (400, "ambiguous_path")
    assert "x-request-id" in response.headers
    assert host.scopes == []


@pytest.mark.parametrize("layer", [auth, allowlist, selection, failover, passthrough])
async def test_two_hosts_are_refused_by_every_layer(layer: Any) -> None:
    headers = [*bearer(KEY).items(), ("host", "a"), ("host", "b")]
    assert (await request(layer(Host(), stores()), path="/orders", headers=headers)).status == 400


async def test_between_layers_an_app_may_mount() -> None:
    provider, shared = Provider(), stores()
    shared_upstream = stores(provider)
    inner = selection(failover(passthrough(Host(), shared_upstream), shared_upstream), shared_upstream)
    app = auth(
        Starlette(routes=[Mount("/ai", inner), Route("/hello", lambda request: PlainTextResponse("hello"))]), shared
    )
    assert (await request(app, "POST", "/ai/v1/chat/completions", headers=bearer(KEY), json=CHAT)).status == 200
    assert provider.request.url.path == "/v1/chat/completions"
    assert (await request(app, path="/hello", headers=bearer(KEY))).text == "hello"
    assert (await request(app, "POST", "/ai/v1/chat/completions", json=CHAT)).status == 401


async def test_a_mounted_layer_works_below_its_mount() -> None:
    paths = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["ai_gateway_mw.context"].path)
        await Host()(scope, receive, send)

    routes = Starlette(routes=[Mount("/sub", allowlist(app, stores()))])
    await request(allowlist(routes, stores()), path="/sub/items/7")
    assert paths == ["/items/7"]


async def test_a_mounted_layer_sees_what_the_router_has_written_into_the_scope() -> None:
    async def tells(request: Any) -> PlainTextResponse:
        return PlainTextResponse(f"{request.scope['root_path']} {request.path_params['n']} {request.url.path}")

    sub = Starlette(routes=[Route("/items/{n}", tells)])
    app = auth(Starlette(routes=[Mount("/sub", allowlist(sub, stores()))]), stores())
    assert (await request(app, path="/sub/items/7", headers=bearer(KEY))).text == "/sub 7 /sub/items/7"


async def test_between_layers_an_app_may_edit_fields() -> None:
    def strips(app: Any) -> Any:
        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            headers = [item for item in scope["headers"] if item[0] != b"x-drop"] + [(b"X-Added", b"1")]
            await app({**scope, "headers": headers}, receive, send)

        return outer

    host = Host()
    await request(allowlist(strips(allowlist(host, stores())), stores()), headers={"x-drop": "1", "x-keep": "2"})
    assert (host.field(b"x-drop"), host.field(b"x-added"), host.field(b"x-keep")) == ([], [b"1"], [b"2"])


async def test_between_layers_an_app_may_wrap_the_body() -> None:
    def upper(app: Any) -> Any:
        async def outer(scope: Scope, receive: Receive, send: Send) -> None:
            async def changed() -> Any:
                message = await receive()
                return {**message, "body": message.get("body", b"").replace(b"gpt-4o", b"gpt-4.1")}

            await app(scope, changed, send)

        return outer

    provider = Provider()
    shared = stores(provider)
    app = allowlist(upper(selection(failover(passthrough(Host(), shared), shared), shared)), shared)
    await request(app, "POST", CHAT_PATH, json=CHAT)
    assert b"gpt-4.1" in provider.request.content


async def test_a_stream_that_nobody_takes_is_closed() -> None:
    stream = Pieces(b"data: {}\n\n")
    provider = Provider(stream=stream, headers=[("content-type", "text/event-stream")])
    host = Host()
    response = await request(stacked([selection, failover], host, provider), "POST", CHAT_PATH, json=CHAT)
    assert (response.text, stream.closed) == ("host", True)


async def test_a_client_that_leaves_is_noticed_once(caplog: pytest.LogCaptureFixture) -> None:
    log = request_log(caplog)
    stream = Pieces(*[b"data: {}\n\n"] * 1_000_000)
    provider = Provider(stream=stream, headers=[("content-type", "text/event-stream")])
    app = stacked([allowlist, selection, failover, passthrough], Host(), provider)
    async with Exchange(app, method="POST", path=CHAT_PATH, json=CHAT, window=1) as ex:
        await ex.start()
        await ex.body()
    assert stream.closed
    assert [(record["status"], record["refused"]) for record in log()] == [(499, "client_gone")]


async def test_head_gets_no_body() -> None:
    response = await request(auth(Host(), stores()), "HEAD", "/v1/models")
    assert (response.status, response.body) == (401, b"")


async def test_keys_may_be_templates_or_whole_declarations() -> None:
    keys = ["${secrets.get('gw', 'team')}", {"name": "ci", "value": OTHER_KEY, "scopes": ["read"]}]
    app = AuthMiddleware(Host(), keys=keys, stores=stores())
    assert (await request(app, path="/orders", headers=bearer(KEY))).status == 200
    assert (await request(app, path="/v1/models", headers=bearer(OTHER_KEY))).status == 200
    assert (await request(app, path="/orders", headers=bearer(OTHER_KEY))).status == 403


async def test_a_template_that_fails_refuses() -> None:
    app = IPAllowlistMiddleware(Host(), allow=["${req.headers['x-range'][0]}"], stores=stores())
    assert (await request(app)).status == 403
    assert (await request(app, headers={"x-range": "127.0.0.1/32"})).status == 200


async def test_behind_a_proxy_that_the_settings_trust() -> None:
    app = IPAllowlistMiddleware(Host(), allow=["192.0.2.0/24"], stores=stores(trusted_proxies="10.0.0.0/8"))
    for forwarded, status in [("192.0.2.1", 200), ("6.6.6.6", 403), ("junk", 403)]:
        fields = {"x-forwarded-for": forwarded}
        assert (await request(app, client=("10.0.0.1", 1), headers=fields)).status == status


@pytest.mark.parametrize(
    "make",
    [
        lambda: IPAllowlistMiddleware(Host(), allow=["10.0.0.1"]),
        lambda: IPAllowlistMiddleware(Host(), allow=[]),
        lambda: AuthMiddleware(Host(), keys=["password"]),
        lambda: AuthMiddleware(Host(), keys=["${nope}"]),
        lambda: AuthMiddleware(Host(), keys=[KEY], scope=["full"]),
        lambda: KeySelectionMiddleware(Host(), api_key_selection={"strategy": ["ai.keyz"]}),
        lambda: FailoverMiddleware(Host(), total_timeout="soon"),
    ],
)
def test_what_is_wrong_is_told_when_it_is_made(make: Any) -> None:
    with pytest.raises((PolicyError, ValueError)):
        make()


def test_every_layer_is_public() -> None:
    named = {name for name in vars(stages) if name.endswith("Middleware") and not name.startswith("_")}
    assert named <= set(ai_gateway_mw.__all__)
    assert len(named) == 5


async def test_a_key_that_an_upstream_echoes_is_redacted_also_by_layers_that_share_nothing() -> None:
    def echoing(sent: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"error": {"message": f"bad: {sent.headers['authorization']}"}})

    def own() -> Stores:
        return Stores(Settings(), secrets=secret_store({}), transport=httpx.MockTransport(echoing))

    async def between(scope: Any, receive: Any, send: Any) -> None:
        await passthrough(scope, receive, send)

    passthrough = FailoverMiddleware(PassthroughMiddleware(Host(), stores=own()), stores=own())
    providers = [{"id": "openai", "api_keys": [{"value": "sk-operators-0123456789"}]}]
    app = KeySelectionMiddleware(between, providers=providers, stores=own())
    answer = await request(app, "POST", "/v1/chat/completions", json={"model": "gpt-4o"})
    assert answer.status == 400
    assert "sk-operators" not in answer.text


def test_layers_in_each_other_share_their_stores() -> None:
    inner = PassthroughMiddleware(Host())
    assert KeySelectionMiddleware(FailoverMiddleware(inner)).stores is inner.stores


@pytest.mark.parametrize(
    "make",
    [
        lambda: AuthMiddleware(Host(), keys="gw_sk_canary"),
        lambda: IPAllowlistMiddleware(Host(), allow="10.0.0.0/8"),
    ],
    ids=["keys", "allow"],
)
def test_text_where_a_list_belongs_is_refused_without_showing_it(make: Any) -> None:
    with pytest.raises(TypeError, match="list") as caught:
        make()
    assert "canary" not in str(caught.value)


def test_a_wrong_argument_of_a_layer_is_told_as_in_a_policy() -> None:
    with pytest.raises(PolicyError, match="unknown field `provider`; did you mean `providers`"):
        KeySelectionMiddleware(Host(), provider=[])
