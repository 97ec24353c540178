from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.asgi import Response, request
from tests.gateways import Host, actions, gateway, problems_of

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


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "needs `to`"),
        ({"to": "/x", "status_code": 200}, "status_code"),
        ({"to": "/x", "status_code": 304}, "status_code"),
        ({"to": "/x", "status_code": "302"}, "status_code"),
        ({"from": "[", "to": "/x"}, "not RE2"),
        ({"to": "/x", "headers": {"location": "/y"}}, "is what `to` says"),
        ({"to": "/x", "headers": {"connection": "x"}}, "belongs to the connection"),
        ({"to": "/x", "headers": {"a b": "x"}}, "not a header field name"),
        ({"to": "/x", "headers": {f"x-{n}": "" for n in range(11)}}, "headers"),
        ({"to": "https://x.test/${secrets.get('v', 'n')}"}, "a secret must not be used here"),
        ({"to": "/x", "headers": {"x": "${secrets.get('v', 'n')}"}}, "a secret must not be used here"),
    ],
)
def test_configs_that_are_refused(config: dict[str, Any], says: str) -> None:
    assert says in str(problems_of(actions(("redirect", config)))[0])


def test_it_is_no_action_of_the_response_phase() -> None:
    assert problems_of(actions(("redirect", {"to": "/x"}), phase="on_http_response"))


def test_an_open_redirect_is_warned_of() -> None:
    (warning,) = gateway(actions(("redirect", {"to": "${req.url.query_params['next'][0]}"}))).warnings
    assert "which host" in warning.message
