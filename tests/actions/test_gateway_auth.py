from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import (
    CHAT,
    CHAT_PATH,
    KEY,
    OTHER_KEY,
    Host,
    Provider,
    actions,
    bearer,
    gateway,
    request_log,
)

pytestmark = pytest.mark.anyio

FROM_SECRET = {"name": "team", "value": "${secrets.get('gw', 'team')}"}
TELLS = ("custom-response", {"body": "${actions.gateway_auth}"})


def auth(*keys: Any, **config: Any) -> tuple[str, dict[str, Any]]:
    return "gateway-auth", {"keys": [FROM_SECRET, *keys], **config}


async def ask(
    action: Any,
    headers: Any = (),
    method: str = "GET",
    path: str = "/v1/models",
    client: str = "127.0.0.1",
    **settings: Any,
) -> Response:
    app = gateway(actions(action, TELLS), vaults={"gw": {"team": KEY}}, **settings).app
    return await request(app, method, path, headers=headers, client=(client, 1))


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"authorization": f"Bearer {KEY}"}, id="Bearer"),
        pytest.param({"authorization": f"bearer   {KEY} "}, id="bearer"),
        pytest.param({"x-api-key": KEY}, id="x-api-key"),
        pytest.param({"X-Goog-Api-Key": KEY}, id="x-goog-api-key"),
        pytest.param({"api-key": KEY}, id="api-key"),
        pytest.param({"api-key": KEY, "authorization": f"Bearer {KEY}"}, id="the same twice"),
        pytest.param({"x-api-key": KEY, "authorization": "Basic YTpi"}, id="beside Basic"),
    ],
)
async def test_a_key_is_taken_where_sdks_put_it(headers: dict[str, str]) -> None:
    response = await ask(auth(), headers)
    assert response.status == 200
    told = response.json()
    assert (told["authenticated"], told["error"], told["key"]["name"]) == (True, None, "team")
    assert KEY not in response.text


BAD = [
    pytest.param({}, id="none"),
    pytest.param(bearer(""), id="empty"),
    pytest.param(bearer(OTHER_KEY), id="unknown, with a good checksum"),
    pytest.param(bearer(KEY[:-1] + ("A" if KEY[-1] != "A" else "B")), id="bad checksum"),
    pytest.param(bearer("gw_sk_"), id="prefix only"),
    pytest.param(bearer("gw_sk_" + "a" * 38), id="well formed at a glance"),
    pytest.param(bearer(KEY + "x"), id="too long"),
    pytest.param(bearer(KEY.upper()), id="upper case"),
    pytest.param(bearer("sk-somebody-elses"), id="a provider's key"),
    pytest.param(bearer("\xff\xfe"), id="bytes"),
    pytest.param(bearer("' OR 1=1 --"), id="SQL"),
    pytest.param(bearer("a" * 10_000), id="long"),
    pytest.param({"authorization": KEY}, id="no scheme"),
    pytest.param({"authorization": f"Basic {KEY}"}, id="Basic"),
    pytest.param({"authorization": f"Token {KEY}"}, id="Token"),
    pytest.param({"cookie": f"authorization=Bearer {KEY}"}, id="in a cookie"),
]


@pytest.mark.parametrize("headers", BAD)
async def test_every_bad_key_is_refused_in_the_same_words(headers: dict[str, str]) -> None:
    response = await ask(auth(), headers)
    assert response.status == 401
    error = {"message": "Invalid or missing API key.", "type": "authentication_error", "code": "invalid_api_key"}
    assert response.json() == {"error": error | {"param": None}}
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {OTHER_KEY}")],
        [("authorization", f"Bearer {KEY}"), ("authorization", "Basic YTpi")],
        [("authorization", f"Bearer {KEY}"), ("x-api-key", OTHER_KEY)],
        [("x-api-key", KEY), ("x-api-key", OTHER_KEY)],
        [("api-key", KEY), ("x-goog-api-key", "sk-x")],
    ],
)
async def test_two_credentials_are_ambiguous(headers: Any) -> None:
    response = await ask(auth(), headers)
    assert (response.status, response.json()["error"]["code"]) == (400, "ambiguous_credentials")


async def test_a_key_beside_one_in_the_query_is_ambiguous() -> None:
    path = f"/v1beta/models/g:generateContent?key={OTHER_KEY}"
    response = await ask(auth(), bearer(KEY), "POST", path)
    assert (response.status, response.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_a_query_parameter_of_the_host_app_is_no_credential() -> None:
    host = Host()
    gate = gateway(actions(auth()), vaults={"gw": {"team": KEY}})
    app = GatewayMiddleware(host, gateway=gate, intercept="all")
    assert (await request(app, path="/search?key=word", headers=bearer(KEY))).status == 200
    assert (await request(app, path="/search?key=word")).status == 401


@pytest.mark.parametrize(
    ("scopes", "method", "path", "status"),
    [
        (["full"], "GET", "/v1/files", 200),
        (["read"], "GET", "/v1/models", 200),
        (["read"], "POST", CHAT_PATH, 403),
        (["chat"], "POST", CHAT_PATH, 200),
        (["chat"], "POST", "/v1/messages", 200),
        (["chat"], "POST", "/v1beta/models/g:generateContent", 200),
        (["chat"], "GET", "/v1/models", 403),
        (["chat"], "GET", "/v1/files", 403),
        (["read", "chat"], "GET", "/v1/models", 200),
        ([], "GET", "/v1/models", 403),
        (["admin"], "GET", "/v1/models", 403),
    ],
)
async def test_the_path_decides_which_scope_is_needed(scopes: list[str], method: str, path: str, status: int) -> None:
    key = {"name": "other", "value": OTHER_KEY, "scopes": scopes}
    assert (await ask(auth(key), bearer(OTHER_KEY), method, path)).status == status


async def test_the_policy_may_say_which_scope_is_needed() -> None:
    key = {"name": "other", "value": OTHER_KEY, "scopes": ["read"]}
    response = await ask(auth(key, scopes=["admin", "chat"]), bearer(OTHER_KEY))
    assert (response.status, response.json()["error"]["code"]) == (403, "scope_not_allowed")
    assert "admin or chat" in response.json()["error"]["message"]
    assert (await ask(auth(key, scopes=["chat", "read"]), bearer(OTHER_KEY))).status == 200


@pytest.mark.parametrize(
    ("allowed", "client", "status"),
    [
        (None, "192.0.2.1", 200),
        (["192.0.2.0/24"], "192.0.2.1", 200),
        (["192.0.2.0/24"], "::ffff:192.0.2.1", 200),
        (["192.0.2.0/24"], "6.6.6.6", 403),
        ([], "192.0.2.1", 403),
        (["192.0.2.0/24"], "testclient", 403),
        (None, "testclient", 200),
    ],
)
async def test_a_key_may_be_bound_to_addresses(allowed: list[str] | None, client: str, status: int) -> None:
    key = {"name": "other", "value": OTHER_KEY} | ({} if allowed is None else {"allowed_ips": allowed})
    assert (await ask(auth(key), bearer(OTHER_KEY), client=client)).status == status


@pytest.mark.parametrize(
    ("expires", "status"),
    [("2999-01-01T00:00:00Z", 200), ("2020-01-01T00:00:00Z", 401), ("2020-01-01T00:00:00+02:00", 401)],
)
async def test_a_key_may_expire(expires: str, status: int) -> None:
    key = {"name": "other", "value": OTHER_KEY, "expires": expires}
    assert (await ask(auth(key), bearer(OTHER_KEY))).status == status


@pytest.mark.parametrize("headers", [bearer(KEY), {"x-api-key": KEY}, {"x-api-key": KEY, **bearer(KEY)}])
async def test_the_key_is_taken_out_of_what_goes_on(headers: dict[str, str]) -> None:
    host, provider = Host(), Provider()
    keys = {"providers": [{"id": "openai", "api_keys": [{"value": "sk-operator"}]}]}
    policy = actions(auth(), ("ai-gateway", keys))
    vaults = {"gw": {"team": KEY}}
    await request(gateway(policy, vaults=vaults, provider=provider).app, "POST", CHAT_PATH, headers=headers, json=CHAT)
    await request(
        GatewayMiddleware(host, gateway=gateway(actions(auth()), vaults=vaults)), path="/v1/models", headers=headers
    )
    assert KEY not in repr(provider.request.headers.raw) + str(provider.request.url) + provider.request.content.decode()
    assert provider.request.headers["authorization"] == "Bearer sk-operator"
    assert KEY not in repr(host.scope)


@pytest.mark.parametrize("value", [KEY, OTHER_KEY, "gw_sk_junk"])
async def test_no_gateway_key_goes_upstream_good_or_bad_asked_for_or_not(value: str) -> None:
    provider = Provider()
    for policy in (actions("ai-gateway"), actions(auth(required=False, on_error="continue"), "ai-gateway")):
        app = gateway(policy, vaults={"gw": {"team": KEY}}, provider=provider).app
        response = await request(app, "POST", CHAT_PATH, headers=bearer(value), json=CHAT)
        assert response.status == 401
    assert provider.requests == []


@pytest.mark.parametrize("value", [f"Bearer {KEY}", f"key={KEY}", f'"{KEY}"'])
async def test_no_gateway_key_goes_upstream_in_a_field_that_was_filled_in_wrongly(value: str) -> None:
    provider = Provider()
    app = gateway(actions("ai-gateway"), provider=provider).app
    await request(app, "POST", CHAT_PATH, headers={"x-api-key": value}, json=CHAT)
    assert provider.requests == []


async def test_without_obligation_a_providers_own_key_passes() -> None:
    provider = Provider()
    policy = actions(auth(required=False), "ai-gateway")
    app = gateway(policy, vaults={"gw": {"team": KEY}}, provider=provider).app
    assert (await request(app, "POST", CHAT_PATH, headers=bearer("sk-own"), json=CHAT)).status == 200
    assert provider.request.headers["authorization"] == "Bearer sk-own"


@pytest.mark.parametrize(
    ("headers", "status", "told"),
    [
        ({}, 200, {"authenticated": False, "key": None, "error": None}),
        (bearer("sk-own"), 200, {"authenticated": False, "key": None, "error": None}),
        (bearer(OTHER_KEY), 401, None),
    ],
)
async def test_without_obligation_a_key_that_is_ours_must_still_be_good(headers: Any, status: int, told: Any) -> None:
    response = await ask(auth(required=False), headers)
    assert response.status == status
    assert told is None or response.json() == told


@pytest.mark.parametrize(
    ("headers", "code"),
    [({}, "invalid_api_key"), (bearer(OTHER_KEY), "invalid_api_key"), (bearer(KEY), "scope_not_allowed")],
)
async def test_later_rules_may_decide_on_a_refusal(headers: Any, code: str) -> None:
    response = await ask(auth(on_error="continue", scopes=["admin"]), headers)
    told = response.json()
    assert told.pop("error")["code"] == code
    assert told == {"authenticated": False, "key": None}


async def test_expressions_read_the_key() -> None:
    key = {
        "name": "ci", "value": OTHER_KEY, "environment": "testing", "scopes": ["read"],
        "metadata": {"team": "blue"}, "expires": "2999-01-01T00:00:00Z",
    }  # fmt: skip
    shown = (await ask(auth(key), bearer(OTHER_KEY))).json()["key"]
    assert shown == {
        "id": "policy:ci", "name": "ci", "environment": "testing", "scopes": ["read"],
        "metadata": {"team": "blue"}, "expires": "2999-01-01T00:00:00+00:00",
    }  # fmt: skip


async def test_a_secret_that_changes_changes_the_key() -> None:
    vaults = {"gw": {"team": KEY}}
    gate = gateway(actions(auth(), TELLS), vaults=vaults, secrets_ttl=1)
    assert (await request(gate.app, path="/v1/models", headers=bearer(KEY))).status == 200
    vaults["gw"]["team"] = OTHER_KEY
    gate.stores.secrets.refresh("gw", "team")
    assert (await request(gate.app, path="/v1/models", headers=bearer(KEY))).status == 401
    assert (await request(gate.app, path="/v1/models", headers=bearer(OTHER_KEY))).status == 200


@pytest.mark.parametrize(
    "vaults", [{}, {"gw": {"team": ""}}, {"gw": {"team": "password"}}], ids=["missing", "empty", "weak"]
)
async def test_a_key_that_cannot_be_used_opens_nothing_and_the_others_work(
    vaults: Any, caplog: pytest.LogCaptureFixture
) -> None:
    key = {"name": "other", "value": OTHER_KEY}
    app = gateway(actions(auth(key), TELLS), vaults=vaults).app
    assert (await request(app, path="/v1/models", headers=bearer(OTHER_KEY))).status == 200
    for value in ("password", "", KEY):
        assert (await request(app, path="/v1/models", headers=bearer(value))).status == 401
    assert "gateway key team cannot be used" in caplog.text
    assert "password" not in caplog.text


GOOD: list[dict[str, Any]] = [
    {},
    {"required": False, "scopes": ["chat", "read"]},
    {"keys": [{"name": "k", "value": KEY}]},
    {"keys": [{"name": "k", "value": "${secrets.get('gw', 'team')}", "allowed_ips": ["10.0.0.0/8"]}]},
    {"keys": [{"name": "k", "value": KEY, "expires": "2030-01-01T00:00:00Z", "scopes": ["chat"]}]},
    {"unknown_price": "zero", "on_error": "continue"},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"keys": [{"name": "k"}]}, "{", "`keys[0]` needs `value`"),
    ({"keys": [{"value": KEY}]}, "{", "`keys[0]` needs `name`"),
    ({"keys": [{"name": "", "value": KEY}]}, '""', "`keys[0].name` must have 1 or more characters"),
    (
        {"keys": [{"name": "k", "value": "password"}]},
        "password",
        "the value of key `k` is no gateway key: `ai-gateway keys new` makes",
    ),
    (
        {"keys": [{"name": "k", "value": ""}]},
        '""',
        "the value of key `k` is no gateway key: `ai-gateway keys new` makes",
    ),
    (
        {"keys": [{"name": "k", "value": OTHER_KEY[:-1] + "~"}]},
        "gw_sk_",
        "the value of key `k` is no gateway key: `ai-gateway keys new` makes",
    ),
    (
        {"keys": [{"name": "k", "value": KEY, "scopes": ["everything"]}]},
        '"everything"',
        "`keys[0].scopes[0]` must be `read`, `chat`, `full` or `admin`, not",
    ),
    (
        {"keys": [{"name": "k", "value": KEY, "allowed_ips": ["10.0.0.1"]}]},
        "[",
        "`keys[0].allowed_ips`: `10.0.0.1` is not a CIDR range; write",
    ),
    (
        {"keys": [{"name": "k", "value": KEY, "expires": "tomorrow"}]},
        '"tomorrow"',
        "`keys[0].expires` must be a time with its zone, such as",
    ),
    (
        {"keys": [{"name": "k", "value": KEY, "expires": "2030-01-01T00:00:00"}]},
        '"2030-01-01T00:00:00"',
        "`keys[0].expires` must be a time with its zone, such as",
    ),
    (
        {"keys": [{"name": "k", "value": KEY}, {"name": "k", "value": OTHER_KEY}]},
        "[",
        "`keys`: there are two keys by the name of `k`",
    ),
    ({"keys": KEY}, '"gw_sk_', "`keys` must be a list, not the text"),
    ({"scopes": []}, "[]", "`scopes` must have 1 or more entries"),
    ({"scopes": ["all"]}, '"all"', "`scopes[0]` must be `read`, `chat`, `full` or `admin`, not the text"),
    ({"required": "no"}, '"no"', "`required` must be true or false, not the text `no`"),
    ({"on_error": "ignore"}, '"ignore"', "`on_error` must be `halt` or `continue`, not the text `ignore`"),
    ({"enforce": "no"}, '"no"', "`enforce` must be true or false, not the text `no`"),
    ({"keys": []}, "[]", "`keys` must have 1 or more entries"),
    ({"unknown_price": "free"}, '"free"', "`unknown_price` must be `deny`, `estimate` or `zero`, not the text"),
    (
        {"keys": [{"name": "k", "value": KEY, "limits": {"requests": "many"}}]},
        '"limits"',
        "unknown field `limits`; known are `name`, `value`, `environment`,",
    ),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("gateway-auth", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    assert KEY not in str(refuses("gateway-auth", config, at, says))


async def test_no_key_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    request_log(caplog)
    caplog.set_level("DEBUG")
    await ask(auth(), bearer(KEY))
    await ask(auth(), bearer(OTHER_KEY))
    assert KEY not in caplog.text
    assert OTHER_KEY not in caplog.text
