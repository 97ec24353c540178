from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import Host, actions, gateway

pytestmark = pytest.mark.anyio


async def ask(config: dict[str, Any], path: str = "/a/b?c=d", *before: Any, **exchange: Any) -> Response:
    to = gateway(actions(*before, ("redirect", config)), vaults={"v": {"n": "sk-very-secret"}})
    return await request(GatewayMiddleware(Host(), gateway=to, intercept="all"), path=path, **exchange)


@pytest.mark.parametrize(
    ("config", "path", "status", "location"),
    [
        ({"to": "https://x.test/?city=${'San Francisco'}"}, "/a", 302, "https://x.test/?city=San%20Francisco"),
        ({"to": "/login?next=${req.url.path}", "status_code": 303}, "/a", 303, "http://gateway.test/login?next=/a"),
        ({"from": "^http://", "to": "https://", "status_code": 308}, "/a?b", 308, "https://gateway.test/a?b"),
        ({"from": "/a", "to": "/x", "status_code": 301}, "/a/a", 301, "http://gateway.test/x/x"),
        ({"from": "^(.*)/old(/.*)$", "to": "$1/new$2", "status_code": 307}, "/old/%C3%A9", 307,
         "http://gateway.test/new/%C3%A9"),
        ({"to": "/x#part"}, "/a", 302, "http://gateway.test/x#part"),
        ({"to": r"/\evil.test"}, "/a", 302, "http://gateway.test/%5Cevil.test"),
        ({"to": "//evil.test"}, "/a", 302, "http://gateway.test//evil.test"),
    ],
)  # fmt: skip
async def test_where_it_sends_the_client(config: dict[str, Any], path: str, status: int, location: str) -> None:
    response = await ask(config, path)
    assert (response.status, response.headers["location"], response.body) == (status, location, b"")
    assert response.headers["content-length"] == "0"


@pytest.mark.parametrize("config", [{"from": "/z", "to": "/x"}, {"from": "/a", "to": "/a"}, {"to": "/a/b?c=d"}])
async def test_where_nothing_changes_the_request_goes_on(config: dict[str, Any]) -> None:
    assert (await ask(config)).text == "host"


async def test_more_fields() -> None:
    response = await ask({"to": "/x", "headers": {"X-From": "${req.url.path}", "is-ngrok": 1}})
    assert (response.headers["x-from"], response.headers["is-ngrok"]) == ("/a/b", "1")


@pytest.mark.parametrize("query", ["%0d%0ax-evil:1", "%0a", "%00", "%7f"])
@pytest.mark.parametrize("config", [
    {"to": "/x?${req.url.query_params['q'][0]}"},
    {"to": "/x", "headers": {"x-q": "${req.url.query_params['q'][0]}"}},
])  # fmt: skip
async def test_a_head_cannot_be_broken_by_what_a_client_sends(config: dict[str, Any], query: str) -> None:
    assert (await ask(config, f"/a?q={query}")).status == 403


async def test_the_answer_meets_the_response_rules() -> None:
    policy = actions(("redirect", {"to": "/x"})) | actions(
        ("add-headers", {"headers": {"x-b": "${res.status_code} ${actions.ngrok.redirect.url}"}}),
        phase="on_http_response",
    )
    response = await request(gateway(policy).app, path="/v1/models")
    assert (response.status, response.headers["x-b"]) == (302, "302 http://gateway.test/x")


async def test_a_secret_that_came_by_way_of_a_variable_does_not_get_out() -> None:
    before = ("set-vars", {"vars": [{"key": "${secrets.get('v', 'n')}"}]})
    for config in ({"to": "/${vars.key}"}, {"to": "/x", "headers": {"x": "${vars.key}"}}):
        response = await ask(config, "/a", before)
        assert b"sk-very-secret" not in b"".join([response.body, *(value for _, value in response.headers.raw)])


GOOD: list[dict[str, Any]] = [
    {"to": "/x"},
    {"from": "^https?://[^/]+/a(.*)$", "to": "/b$1"},
    {"to": "https://other.test${req.url.path}", "status_code": 301},
    {"to": "/x", "status_code": 308, "headers": {f"x-{n}": "1" for n in range(10)}},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `redirect` needs `to`"),
    ({"to": "/x", "status_code": 200}, "200", "`status_code` must be 301, 302, 303, 307 or 308, not 200"),
    ({"to": "/x", "status_code": 304}, "304", "`status_code` must be 301, 302, 303, 307 or 308, not 304"),
    (
        {"to": "/x", "status_code": "302"},
        '"302"',
        "`status_code` must be 301, 302, 303, 307 or 308, not the text `302`",
    ),
    ({"from": "[", "to": "/x"}, "[", "this regular expression is not RE2: missing ]: ["),
    ({"to": "/x", "headers": {"location": "/y"}}, '"location"', "is what `to` says"),
    ({"to": "/x", "headers": {"connection": "x"}}, '"connection"', "belongs to the connection"),
    ({"to": "/x", "headers": {"a b": "x"}}, '"a b"', "not a header field name"),
    ({"to": "/x", "headers": {f"x-{n}": "" for n in range(11)}}, "{", "`headers` must have 10 or fewer entries"),
    (
        {"to": "https://x.test/${secrets.get('v', 'n')}"},
        "https://x.test/${secrets.get('v'",
        "a secret must not be used here",
    ),
    ({"to": "/x", "headers": {"x": "${secrets.get('v', 'n')}"}}, "${secrets.get('v'", "a secret must not be used here"),
    ({"to": ""}, '""', "`to` must have 1 or more characters"),
    ({"to": "/x", "form": "a"}, '"form"', "unknown field `form`; did you mean `from`?"),
    ({"from": ["a"], "to": "/x"}, "[", "`from` must be text, not a list"),
    ({"to": "${nope}"}, "nope}", "unknown name `nope`"),
    (
        {"to": "/x", "permanent": True},
        '"permanent"',
        "unknown field `permanent`; known are `from`, `to`, `status_code` and",
    ),
    ({"to": "/x", "headers": {"x": "a\x7fb"}}, "\x7fb", "the character U+007F is not allowed in YAML"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("redirect", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("redirect", config, at, says)


def test_an_open_redirect_is_warned_of() -> None:
    (warning,) = gateway(actions(("redirect", {"to": "${req.url.query_params['next'][0]}"}))).warnings
    assert "which host" in warning.message
