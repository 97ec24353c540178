from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import CHAT, CHAT_PATH, KEY, Host, Provider, actions, bearer, gateway, problems_of

pytestmark = pytest.mark.anyio

TELLS = ("custom-response", {"body": "${req.url} ${req.url.raw_path} ${req.host}"})
AI = ("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "sk-1"}]}]})
# The operator's own rewrites: they run in production.
OPERATOR = (
    r"^(?P<scheme>[a-zA-Z][a-zA-Z0-9+\-.]*):\/\/(?P<hostname>[^\/:]+)(?P<port>:\d+)?"
    r"(?P<prefix>\/rewrite-prefix)(?P<remaining>.*)$"
)


async def ask(
    config: dict[str, Any], path: str = "/a/b?c=d", *more: Any, method: str = "GET", **exchange: Any
) -> Response:
    to = gateway(actions(("url-rewrite", config), *(more or (TELLS,))), vaults={"v": {"n": "sk-very-secret"}})
    return await request(GatewayMiddleware(Host(), gateway=to, intercept="all"), method, path, **exchange)


@pytest.mark.parametrize(
    ("written", "path", "url"),
    [
        ({"from": "/a/", "to": "/x/"}, "/a/b/a/c?d=/a/", "http://gateway.test/x/b/x/c?d=/x/"),
        ({"from": "nothing", "to": "x"}, "/a?b", "http://gateway.test/a?b"),
        ({"from": "^/a", "to": "/x"}, "/a", "http://gateway.test/a"),
        ({"from": r"^((?:https?)://[^/]+)/api/v1/(.*)$", "to": "$1/api/v2/$2"}, "/api/v1/u?x=1",
         "http://gateway.test/api/v2/u?x=1"),
        ({"from": "^${req.url.scheme}://${req.url.authority}/api/v1/", "to": "https://${req.host}/api/v2/"},
         "/api/v1/u", "https://gateway.test/api/v2/u"),
        ({"from": OPERATOR, "to": "$1://$2$3/rewrite$5"}, "/rewrite-prefix/a", "http://gateway.test/rewrite/a"),
        ({"from": OPERATOR, "to": "$1://new-host.com$3$4$5"}, "/rewrite-prefix/a",
         "http://new-host.com/rewrite-prefix/a"),
        ({"from": OPERATOR, "to": "$1://$2$3/rewrite"}, "/rewrite-prefix/a", "http://gateway.test/rewrite"),
        ({"from": OPERATOR, "to": "$1://$2$3/rewrite$5"}, "/other", "http://gateway.test/other"),
        ({"to": "/new?x=${req.method}"}, "/a", "http://gateway.test/new?x=GET"),
        ({"to": "https://other.test"}, "/a?b", "https://other.test/"),
        ({"to": "//other.test/x"}, "/a", "http://gateway.test//other.test/x"),
        ({"from": "/a", "to": "/San Francisco"}, "/a", "http://gateway.test/San%20Francisco"),
        ({"from": "/(?P<x>a)", "to": "/$x-$$1"}, "/a", "http://gateway.test/a-$1"),
        ({"from": "/(a)(b)?", "to": "/$1x$2$9$nope-${'$'}1"}, "/a", "http://gateway.test/-a"),
        ({"from": "/a#?", "to": "/b#frag"}, "/a", "http://gateway.test/b"),
    ],
)  # fmt: skip
async def test_what_becomes_of_a_url(written: dict[str, Any], path: str, url: str) -> None:
    response = await ask(written, path)
    assert response.status == 200
    assert response.text.rsplit(" ", 2)[0] == url


async def test_the_app_gets_the_new_one() -> None:
    host = Host()
    policy = actions(("url-rewrite", {"from": "http://[^/]+/a%20b", "to": "https://h.test/c%20d?e"}))
    app = GatewayMiddleware(host, gateway=gateway(policy), intercept="all")
    await request(app, path="/a%20b?x", root_path="/mount")
    scope = host.scope
    assert (scope["path"], scope["raw_path"], scope["query_string"], scope["scheme"], host.field(b"host")) == (
        "/mount/c d", b"/mount/c%20d", b"e?x", "https", [b"h.test"],
    )  # fmt: skip


@pytest.mark.parametrize("path", ["/a%2Fb", "/a%3Fb", "/ü", "/a%FFb", "/a;b", "//a", "/a/../b", "/a?%zz#", "/a%?ü"])
async def test_what_does_not_match_is_left_as_it_is(path: str) -> None:
    host = Host()
    to = gateway(actions(("url-rewrite", {"from": "zzz", "to": "y"})))
    app = GatewayMiddleware(host, gateway=to, intercept="all")
    path = path.encode().decode("latin-1")
    await request(app, path=path)
    plain = Host()
    await request(plain, path=path)
    assert {name: host.scope[name] for name in ("path", "raw_path", "query_string")} == {
        name: plain.scope[name] for name in ("path", "raw_path", "query_string")
    }


async def test_an_encoded_question_mark_begins_no_query() -> None:
    assert (await ask({"from": "/a", "to": "/x"}, "/a%3Fb%23c?d")).text.split(" ")[1] == "/x%3Fb%23c"


@pytest.mark.parametrize(
    "written",
    [
        {"to": "ftp://x.test/"},
        {"to": "https://user@x.test/"},
        {"to": "https://"},
        {"to": "nonsense"},
        {"from": "^http", "to": "ftp"},
        {"to": "/${req.url.query_params['c'][0]}"},
        {"from": "a", "to": "${req.url.query_params['long'][0]}"},
        {"from": "${req.url.query_params['wrong'][0]}", "to": "x"},
    ],
    ids=str,
)
async def test_what_makes_no_url_is_refused(written: dict[str, Any]) -> None:
    long = "x" * 500
    response = await ask(written, f"/{'a' * 100}?c=x%0d%0aa&wrong=(&long={long}")
    assert (response.status, response.json()["error"]["code"]) == (403, "policy_denied")


async def test_its_result_is_published() -> None:
    told = ("custom-response", {"body": "${actions.ngrok.url_rewrite}"})
    changed = await ask({"from": "/[ab]", "to": "/x"}, "/a/b", told)
    nothing = {"code": "", "message": ""}
    assert changed.json() == {"matches": ["/a", "/b"], "url": "http://gateway.test/x/x", "error": nothing}
    assert (await ask({"from": "/z", "to": "/x"}, "/a/b", told)).json() == {"matches": [], "url": "", "error": nothing}


def onto_chat(prefix: str = "/ours") -> Any:
    return ("url-rewrite", {"from": f"{prefix}/chat", "to": CHAT_PATH})


async def test_the_route_is_worked_out_anew() -> None:
    provider = Provider()
    to = gateway(actions(onto_chat(), AI), provider=provider)
    answer = await request(GatewayMiddleware(Host(), gateway=to, intercept="all"), "POST", "/ours/chat", json=CHAT)
    assert (answer.status, provider.request.url.path) == (200, CHAT_PATH)


async def test_away_from_the_ai_paths_no_provider_is_asked() -> None:
    provider = Provider()
    to = gateway(actions(("url-rewrite", {"from": CHAT_PATH, "to": "/other"}), AI), provider=provider)
    assert (await request(to.app, "POST", CHAT_PATH, json=CHAT)).status == 404
    assert provider.requests == []


async def test_an_ai_path_is_matched_in_its_one_spelling() -> None:
    provider = Provider()
    written = {"from": "/v1/chat/completions", "to": "/v1/embeddings"}
    to = gateway(actions(("url-rewrite", written), AI), provider=provider)
    assert (await request(to.app, "POST", "/chat/completions", json=CHAT)).status == 200
    assert provider.request.url.path == "/v1/embeddings"


@pytest.mark.parametrize(
    "rest", ["/x/../v1/chat/completions", "//v1/chat/completions", "/v1/chat%2fcompletions", "/V1/chat/completions"]
)
async def test_a_path_that_can_be_read_in_two_ways_is_refused(rest: str) -> None:
    to = gateway(actions(("url-rewrite", {"from": "/ours/", "to": "/"}), AI))
    answer = await request(GatewayMiddleware(Host(), gateway=to, intercept="all"), "POST", f"/ours{rest}", json=CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "ambiguous_path")


def keyed(*more: Any, scopes: list[str]) -> Gateway:
    keys = {"keys": [{"name": "k", "value": KEY, "scopes": scopes}]}
    return gateway(actions(("gateway-auth", keys), *more, AI), provider=Provider())


@pytest.mark.parametrize(("scopes", "status"), [([], 403), (["chat"], 200)])
async def test_a_rewrite_does_not_slip_past_the_scopes_of_a_key(scopes: list[str], status: int) -> None:
    to = keyed(("url-rewrite", {"from": "/v1/models", "to": CHAT_PATH}), scopes=[*scopes, "read"])
    answer = await request(to.app, "GET", "/v1/models", headers=bearer(KEY), json=CHAT)
    assert answer.status == (405 if status == 200 else status)  # it is a GET still
    assert status == 200 or answer.json()["error"]["code"] == "scope_not_allowed"


async def test_scopes_that_the_policy_names_do_not_depend_on_the_path() -> None:
    keys = {"keys": [{"name": "k", "value": KEY, "scopes": ["read"]}], "scopes": ["read"]}
    to = gateway(actions(("gateway-auth", keys), onto_chat("/v1/models"), AI))
    assert (await request(to.app, "POST", "/v1/models/chat", headers=bearer(KEY), json=CHAT)).status == 200


async def test_a_second_credential_does_not_come_in_by_a_rewrite() -> None:
    """Elsewhere than on an AI path, nobody looks for credentials in the query."""
    keys = {"keys": [{"name": "k", "value": KEY}]}
    to = gateway(actions(("gateway-auth", keys), onto_chat(), AI))
    app = GatewayMiddleware(Host(), gateway=to, intercept="all")
    answer = await request(app, "POST", "/ours/chat?key=sk-other", headers=bearer(KEY), json=CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "ambiguous_credentials")


async def test_a_secret_goes_into_no_url() -> None:
    policy = actions(
        ("set-vars", {"vars": [{"key": "${secrets.get('v', 'n')}"}]}), ("url-rewrite", {"to": "/${vars.key}"}), TELLS
    )
    to = gateway(policy, vaults={"v": {"n": "sk-very-secret"}})
    assert (await request(to.app, path="/v1/models")).status == 403


GOOD: list[dict[str, Any]] = [
    {"to": "/x"},
    {"from": "/v1/(.*)", "to": "/v2/$1"},
    {"from": "^${req.url.scheme}://[^/]+/a", "to": "/b"},
    {"to": "https://${req.host}${req.url.path}"},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `url-rewrite` needs `to`"),
    ({"to": ""}, '""', "`to` must have 1 or more characters"),
    ({"from": "(", "to": "x"}, "(", "this regular expression is not RE2: missing ): ("),
    ({"from": "a(?=b)", "to": "x"}, "a(?=b)", "this regular expression is not RE2: invalid perl operator: (?="),
    ({"from": "${nope}", "to": "x"}, "nope}", "unknown name `nope`"),
    ({"from": "a", "to": "${secrets.get('v', 'n')}"}, "${secrets.get('v'", "a secret must not be used here"),
    ({"from": "${secrets.get('v', 'n')}", "to": "x"}, "${secrets.get('v'", "a secret must not be used here"),
    ({"from_": "a", "to": "x"}, '"from_"', "unknown field"),
    ({"from": "a", "to": "x", "status_code": 301}, '"status_code"', "unknown field"),
    ({"to": ["/x"]}, "[", "`to` must be text, not a list"),
    ({"to": None}, "null", "`to` must be text, not nothing"),
    ({"to": "/x", "headers": {"x-a": "1"}}, '"headers"', "unknown field `headers`; known are `from` and `to`"),
    ({"to": "${"}, "${", "`${` is never closed with `}`"),
    ({"from": "${req.nope}", "to": "x"}, "req.nope}", "unknown name `req.nope`"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("url-rewrite", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("url-rewrite", config, at, says)


def test_problems_come_with_their_place() -> None:
    text = "on_http_request:\n  - type: url-rewrite\n    config:\n      from: 'a('\n      to: x\n"
    (problem,) = problems_of(text)
    assert (problem.place.line, problem.place.column) == (4, 14)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"from": "^/a", "to": "/b"}, "never matches"),
        ({"to": "https://${req.headers['x'][0]}/"}, "which host"),
        ({"to": "https://a.test${req.headers['x'][0]}"}, "which host"),
        ({"to": "${req.url.query_params['next'][0]}"}, "which host"),
        ({"to": "${getQueryParam('next')[0]}"}, "which host"),
        ({"to": "https://${getReqHeader('x')[0]}/"}, "which host"),
        ({"to": "https://${getReqCookie('x').value}.a.test/"}, "which host"),
        ({"to": "https://${ai.request.text}/"}, "which host"),
        ({"to": "/${getQueryParam('next')[0]}"}, None),
        ({"to": "https://${hasQueryParam('b') ? 'b' : 'a'}.test/"}, None),
        ({"to": "https://${req.host}${req.url.path}"}, None),
        ({"to": "https://a.test/${req.headers['x'][0]}"}, None),
        ({"to": "/${req.headers['x'][0]}"}, None),
        ({"from": "x", "to": "${req.url.scheme}://a.test${req.url.uri}"}, None),
    ],
)
def test_what_is_probably_not_meant(config: dict[str, Any], says: str | None) -> None:
    warnings = gateway(actions(("url-rewrite", config))).warnings
    assert [says in warning.message for warning in warnings] == ([True] if says else [])


@pytest.mark.parametrize(
    ("guard", "expressions", "warned"),
    [
        ("restrict-ips", ["req.url.path.startsWith('/v1/')"], True),
        ("restrict-ips", ["req.url.uri == '/x'"], True),
        ("restrict-ips", ["req.method == 'GET'"], False),
        ("restrict-ips", [], False),
        ("rate-limit", ["req.url.path == '/x'"], False),
    ],
)
def test_a_guard_that_looks_at_the_url_before_it_changes_is_warned_of(
    guard: str, expressions: list[str], warned: bool
) -> None:
    configs: dict[str, Any] = {
        "restrict-ips": {"allow": ["10.0.0.0/8"]},
        "rate-limit": {
            "name": "n", "algorithm": "sliding_window", "capacity": 2, "rate": "60s", "bucket_key": ["'a'"],
        },
    }  # fmt: skip
    first = actions((guard, configs[guard]), expressions=expressions)["on_http_request"]
    rewrite = actions(("url-rewrite", {"from": "/a", "to": "/b"}))["on_http_request"]
    warnings = gateway({"on_http_request": first + rewrite}).warnings
    assert ["let in by the URL" in warning.message for warning in warnings] == [True] * warned
    assert gateway({"on_http_request": rewrite + first}).warnings == ()
