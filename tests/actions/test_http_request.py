from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.hops import Hops
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import CHAT, CHAT_PATH, KEY, Host, Pieces, actions, gateway, problems_of, secret_store

pytestmark = pytest.mark.anyio

URL = "https://who.example.com/check"
TELLS = ("custom-response", {"body": "${actions.ngrok.http_request}"})
SECRET = {"v": {"n": "sk-very-secret"}}


class Service:
    """What is asked: each of `answers` once, the last one ever after."""

    def __init__(self, *answers: Any) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers) or [httpx.Response(200, text="fine")]

    def __call__(self, sent: httpx.Request) -> httpx.Response:
        self.requests.append(sent)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            return httpx.Response(answer)
        return answer if isinstance(answer, httpx.Response) else answer(sent)


def asking(config: Any, service: Callable[..., Any], *more: Any, before: Any = (), **settings: Any) -> Gateway:
    policy = actions(*before, ("http-request", {"url": URL} | config), *(more or (TELLS,)))
    return Gateway.from_policy(policy, secrets=secret_store(SECRET), transport=httpx.MockTransport(service), **settings)


async def ask(config: Any, service: Callable[..., Any], *more: Any, **options: Any) -> Response:
    before = options.pop("before", ())
    exchange = {name: options.pop(name) for name in ("method", "headers", "json", "path") if name in options}
    to = asking(config, service, *more, before=before, **options)
    return await request(to.app, **{"path": "/v1/models"} | exchange)


async def test_what_is_asked_and_what_is_told_of_it() -> None:
    service = Service(httpx.Response(201, json={"tier": "gold"}, headers=[("x-a", "1"), ("X-A", "2")]))
    config = {
        "method": "POST",
        "url": "https://who.example.com/check/${req.method}?a=1",
        "headers": {"x-path": "${req.url.path}", "content-type": "application/json"},
        "query_params": [{"key": "user id", "value": "${req.headers['x-user'][0]}"}],
        "body": '{"m": "${req.method}"}',
    }
    told = (await ask(config, service, headers={"x-user": "a&b=c d"})).json()
    (sent,) = service.requests
    assert (sent.method, str(sent.url)) == ("POST", "https://who.example.com/check/GET?a=1&user+id=a%26b%3Dc+d")
    assert (sent.headers["x-path"], sent.headers["host"], sent.content) == (
        "/v1/models", "who.example.com", b'{"m": "GET"}',
    )  # fmt: skip
    assert sent.headers["user-agent"].startswith("ai-gateway-mw/")
    assert sent.headers["x-request-id"].startswith("req_")
    assert told["error"] == {"code": "", "message": ""}
    assert (told["res"]["status_code"], json.loads(told["res"]["body"]), told["res"]["header"]["x-a"]) == (
        201, {"tier": "gold"}, ["1", "2"],
    )  # fmt: skip
    assert (told["req"]["method"], told["req"]["body"], told["req"]["header"]["x-path"]) == (
        "POST", '{"m": "GET"}', ["/v1/models"],
    )  # fmt: skip
    assert told["req"]["url"] == str(sent.url)
    assert [each["response_status_code"] for each in told["attempts"]] == [201]
    assert told["res"]["time_ms"].isdigit()


async def test_nothing_of_the_client_goes_there_unless_the_policy_says_so() -> None:
    service = Service()
    await ask({}, service, headers={"cookie": "a=b", "authorization": "Bearer sk-own", "x-forwarded-for": "1.2.3.4"})
    assert not {"cookie", "authorization", "x-forwarded-for"} & set(service.requests[0].headers)


async def test_later_rules_decide_by_the_answer() -> None:
    decide = (
        "add-headers", {"headers": {"x-tier": "${json.decode(actions.ngrok.http_request.res.body).tier}"}},
    )  # fmt: skip
    host = Host()
    to = asking({}, Service(httpx.Response(200, json={"tier": "gold"})), decide)
    await request(GatewayMiddleware(host, gateway=to), path="/v1/models")
    assert host.field(b"x-tier") == [b"gold"]


@pytest.mark.parametrize("status", [204, 400, 404, 500, 503, 304])
async def test_any_status_is_an_answer(status: int) -> None:
    response = await ask({"on_error": "halt"}, Service(status))
    assert (response.status, response.json()["res"]["status_code"]) == (200, status)


def led_to(status: int, location: str) -> httpx.Response:
    return httpx.Response(status, headers={"location": location})


FAILURES = [
    (httpx.ConnectError("no"), {}, 502, "callout_failed", ""),
    (httpx.ReadError("no"), {}, 502, "callout_failed", ""),
    (httpx.RemoteProtocolError("no"), {}, 502, "callout_failed", ""),
    (httpx.ConnectTimeout("no"), {}, 504, "callout_timeout", "ERR_NGROK_3602: "),
    (httpx.ReadTimeout("no"), {}, 504, "callout_timeout", "ERR_NGROK_3602: "),
    (httpx.Response(200, content=b"x" * (256 * 1024 + 1)), {}, 502, "callout_too_large", "ERR_NGROK_3601: "),
    (httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Pieces(b"x")), {}, 502, "callout_failed", ""),
    (led_to(302, "/x"), {}, 502, "callout_redirected", "ERR_NGROK_3214: "),
    (led_to(302, "/x"), {"max_redirects": 2}, 502, "callout_redirected", ""),
    (led_to(302, "https://evil.test/"), {"max_redirects": 5}, 502, "callout_redirected",
     ""),
    (led_to(302, "//evil.test/"), {"max_redirects": 5}, 502, "callout_redirected", ""),
    (led_to(302, "http://who.example.com/"), {"max_redirects": 5}, 502,
     "callout_redirected", ""),
    (led_to(302, "file:///etc/passwd"), {"max_redirects": 5}, 502,
     "callout_redirected", ""),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "config", "status", "code", "says"), FAILURES)
async def test_who_does_not_answer_is_told_of_or_refuses_the_request(
    answer: Any, config: dict[str, Any], status: int, code: str, says: str
) -> None:
    told = (await ask(config, Service(answer))).json()
    assert told["error"]["code"] == code
    assert told["error"]["message"].startswith(says)
    refused = await ask(config | {"on_error": "halt"}, Service(answer))
    assert (refused.status, refused.json()["error"]["code"]) == (status, code)


async def test_a_stream_that_is_too_long_is_given_up() -> None:
    stream = Pieces(*[b"x" * 65536] * 100)
    told = (await ask({}, Service(httpx.Response(200, stream=stream)))).json()
    assert told["error"]["code"] == "callout_too_large"
    assert stream.closed
    assert stream.read <= 5


@pytest.mark.parametrize("answers", [[], [200], [500, 200]], ids=str)
async def test_the_time_is_for_all_of_it(answers: list[int]) -> None:
    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, sent: httpx.Request) -> httpx.Response:
            if left:
                return httpx.Response(left.pop(0), text="fine")
            await asyncio.sleep(60)
            raise AssertionError

    left = list(answers)
    to = asking({"timeout": "1s", "retry_condition": "true"}, Service())
    to.stores._given_transport = Slow()
    told = (await request(to.app, path="/v1/models")).json()
    assert told["error"]["code"] == "callout_timeout"
    assert [each["response_status_code"] for each in told["attempts"]] == [*answers, 0]
    assert (told["res"]["status_code"], told["res"]["body"], told["res"]["header"]) == (0, "", {})
    assert (told["req"]["method"], told["req"]["url"]) == ("GET", URL)


@pytest.mark.parametrize(
    ("condition", "answers", "asked"),
    [
        ("false", [500], 1),
        ("true", [500], 4),
        ("last_attempt.res.status_code >= 500", [500, 200], 2),
        ("last_attempt.res.statusCode >= 500", [500, 503, 200], 3),
        ("attempts < 2", [500], 2),
        ("last_attempt.error.code != ''", [httpx.ConnectError("no"), 200], 2),
        ("last_attempt.res.status_code == 0", [httpx.ConnectError("no")], 4),
        ("last_attempt.req.method == 'GET' && attempts < 3", [500], 3),
    ],
)
async def test_when_it_asks_again(condition: str, answers: list[Any], asked: int) -> None:
    service = Service(*answers)
    told = (await ask({"retry_condition": condition}, service)).json()
    assert len(service.requests) == len(told["attempts"]) == asked


async def test_a_condition_that_fails_refuses_the_request() -> None:
    assert (await ask({"retry_condition": "last_attempt.res.nope == 1"}, Service())).status == 403
    assert (await ask({"retry_condition": "last_attempt.res.body"}, Service())).status == 403


async def test_it_may_be_led_on_within_the_same_origin() -> None:
    service = Service(led_to(307, "/next"), led_to(303, "//who.example.com/l"), 200)
    config = {"method": "POST", "body": "b", "max_redirects": 2, "headers": {"content-type": "text/plain"}}
    told = (await ask(config, service)).json()
    assert [(sent.method, sent.url.path, sent.content) for sent in service.requests] == [
        ("POST", "/check", b"b"), ("POST", "/next", b"b"), ("GET", "/l", b""),
    ]  # fmt: skip
    assert (told["res"]["status_code"], told["req"]["url"]) == (200, "https://who.example.com/l")


async def test_secrets_go_there_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    config = {
        "method": "POST",
        "url": URL + "?k=${secrets.get('v', 'n')}",
        "headers": {"authorization": "Bearer ${secrets.get('v', 'n')}"},
        "query_params": [{"key": "k", "value": "${secrets.get('v', 'n')}"}],
        "body": "${secrets.get('v', 'n')}",
        "on_error": "continue",
    }
    service = Service(lambda sent: httpx.Response(200, text=sent.headers["authorization"]))
    response = await ask(config, service, ("log", {"metadata": {"all": "${actions.ngrok.http_request}"}}), TELLS)
    (sent,) = service.requests
    assert sent.headers["authorization"] == "Bearer sk-very-secret"
    assert sent.content == b"sk-very-secret"
    assert "sk-very-secret" not in response.text
    assert "sk-very-secret" not in caplog.text
    failed = await ask(config | {"on_error": "halt"}, Service(httpx.ConnectError("Bearer sk-very-secret")))
    assert failed.status == 502
    assert "sk-very-secret" not in failed.text + caplog.text


@pytest.mark.parametrize("config", [
    {"headers": {"x-key": "${req.headers['authorization'][0]}"}},
    {"url": URL + "?k=${req.headers['authorization'][0]}"},
    {"url": URL + "?k=${req.headers['authorization'][0].replace('_', '%5f')}"},
])  # fmt: skip
async def test_a_gateway_key_does_not_leave_the_process(config: dict[str, Any]) -> None:
    service = Service()
    assert (await ask(config, service, headers={"authorization": f"Bearer {KEY}"})).status == 403
    assert service.requests == []


@pytest.mark.parametrize("value", ["../../admin", "%2e%2e/admin", "..%5cadmin", "x%0d%0ay"])
async def test_a_client_does_not_lead_it_up_the_path(value: str) -> None:
    service = Service()
    config = {"url": "https://who.example.com/users/${req.url.query_params['u'][0]}", "on_error": "halt"}
    assert (await ask(config, service, path=f"/v1/models?u={value.replace('%2e', '%252e')}")).status in (403, 502)
    assert service.requests == []


@pytest.mark.parametrize(
    ("host", "reached"),
    [("a.internal", True), ("b.internal", True), ("evil.test", False), ("metadata.google.internal", False),
     ("127.0.0.1", False), ("a.internal@evil.test", False), ("a.internal.evil.test", False), ("[::1]", False)],
)  # fmt: skip
async def test_a_client_chooses_only_among_hosts_that_settings_name(host: str, reached: bool) -> None:
    service = Service()
    config = {"url": "http://${req.headers['x-to'][0]}/check", "on_error": "halt"}
    named = {"hosts": "a.internal=10.0.0.1:81", "internal": "b=http://10.0.0.2:82/base"}
    response = await ask(config, service, headers={"x-to": host}, **named)
    assert (response.status == 200, len(service.requests)) == (reached, int(reached))
    if reached:
        assert str(service.requests[0].url) in ("http://10.0.0.1:81/check", "http://10.0.0.2:82/base/check")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://api.example.com/x", None),
        ("https://api.example.com", None),
        ("https://api.example.com/${req.method}", None),
        ("https://api.example.com?x=${req.method}", None),
        ("http://localhost:8080/x", None),
        ("http://127.0.0.1/x", None),
        ("http://[::1]:8080/x", None),
        ("http://who.internal/x", None),
        ("http://169.254.169.254/latest/meta-data", "must be asked with https"),
        ("http://10.0.0.1/x", "must be asked with https"),
        ("http://api.example.com/x", "must be asked with https"),
        ("https://api.example.com${req.url.path}", "write the host out"),
        ("https://${req.host}/x", "write the host out"),
        ("${vars.url}", "write the host out"),
        ("https://user:pw@api.example.com/x", "no host, or more than a host"),
        ("ftp://api.example.com/x", "no http or https URL"),
        ("/check", "no http or https URL"),
        ("https://api.example.com/${nope}", "nope"),
        ("", "url"),
    ],
)
def test_where_it_may_lead(url: str, says: str | None) -> None:
    policy = actions(("http-request", {"url": url}))
    if says is None:
        assert gateway(policy).warnings == ()
    else:
        assert says in str(problems_of(policy)[0])


GOOD: list[dict[str, Any]] = [
    {},
    {"url": "https://who.internal"},
    {"method": "POST", "body": "${req.body}", "timeout": "30s"},
    {"headers": {f"x-{n}": "1" for n in range(10)}, "max_redirects": 5},
    {"query_params": [{"key": "k" * 128, "value": "x" * 8192}] * 32},
    {"retry_condition": "attempts < 2 && last_attempt.res.status_code >= 500", "on_error": "halt"},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"method": "HEAD"}, '"HEAD"', "`method` must be `GET`, `PUT`, `POST`, `PATCH`, `DELETE` or"),
    ({"method": "get"}, '"get"', "`method` must be `GET`, `PUT`, `POST`, `PATCH`, `DELETE` or"),
    ({"body": "x"}, "{", "a GET request has no body"),
    ({"method": "DELETE", "body": "x"}, "{", "a DELETE request has no body"),
    ({"timeout": "500ms"}, '"500ms"', "from `1s` to `30s`"),
    ({"timeout": "31s"}, '"31s"', "from `1s` to `30s`"),
    ({"timeout": 3}, "3", "a duration with its unit"),
    ({"max_redirects": 6}, "6", "`max_redirects` must be at most 5, not 6"),
    ({"max_redirects": -1}, "-1", "`max_redirects` must be at least 0, not -1"),
    ({"headers": {f"x-{n}": "" for n in range(11)}}, "{", "`headers` must have 10 or fewer entries"),
    ({"headers": {"host": "x"}}, '"host"', "belongs to the connection"),
    ({"headers": {"a b": "x"}}, '"a b"', "not a header field name"),
    ({"query_params": [{"key": "k"}]}, "{", "needs `value`"),
    ({"query_params": [{"key": "", "value": "x"}]}, '""', "`query_params[0].key` must have 1 or more characters"),
    (
        {"query_params": [{"key": "k" * 129, "value": "x"}]},
        '"kkkkkkkkkkkkkkkkkkkkkkk',
        "`query_params[0].key` must have 128 or fewer characters",
    ),
    (
        {"query_params": [{"key": "k", "value": "x" * 8193}]},
        '"xxxxxxxxxxxxxxxxxxxxxxx',
        "`query_params[0].value` must have at most 8192 characters",
    ),
    ({"query_params": [{"key": "k", "value": "x"}] * 33}, "[", "`query_params` must have 32 or fewer entries"),
    ({"retry_condition": "attempts"}, "attempts", "expected bool, but this is int"),
    ({"retry_condition": "nope"}, "nope", "unknown name `nope`"),
    ({"retry_condition": "${true}"}, "${true}", "`$` does not belong into an expression; write it without `${ }`"),
    ({"on_error": "stop"}, '"stop"', "`on_error` must be `halt` or `continue`, not the text `stop`"),
    ({"url": ["https://who.example.com"]}, "[", "`url` must be text, not a list"),
    ({"max_redirects": 1.5}, "1.5", "`max_redirects` must be a whole number, not 1.5"),
    ({"headers": {"x-a": "a\nb"}}, "a\\nb", "a header field value must not hold line breaks or other control"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("http-request", {"url": URL} | config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("http-request", {"url": URL} | config, at, says)


async def test_it_works_in_the_response_phase() -> None:
    service = Service()
    policy = actions(("http-request", {"url": URL + "?s=${res.status_code}"}), phase="on_http_response")
    to = Gateway.from_policy(policy, transport=httpx.MockTransport(service))
    assert (await request(GatewayMiddleware(Host(418), gateway=to), path="/v1/models")).text == "host"
    assert service.requests[0].url.query == b"s=418"


async def test_it_may_read_the_body_that_goes_on_after_it() -> None:
    service = Service()
    host = Host()
    to = asking({"method": "POST", "body": "${req.body.messages[0].content}"}, service, ("set-vars", {"vars": []}))
    await request(GatewayMiddleware(host, gateway=to), "POST", CHAT_PATH, json=CHAT)
    assert service.requests[0].content == b"hi"
    assert json.loads(host.bodies[0]) == CHAT


async def test_an_app_of_this_process_is_not_asked_by_http() -> None:
    policy = actions(("http-request", {"url": "https://orders.internal/x"}))
    with pytest.raises(ValueError, match="only `forward-internal` reaches"):
        Gateway.from_policy(policy, internal={"orders": Host()})


async def test_it_does_not_go_in_circles() -> None:
    """A gateway that asks itself gives up after three rounds, and whoever makes up marks changes nothing."""
    depth = 0
    gateways: list[Gateway] = []

    async def itself(sent: httpx.Request) -> httpx.Response:
        nonlocal depth
        depth += 1
        answer = await request(gateways[0].app, path="/v1/models", headers=dict(sent.headers.items()))
        return httpx.Response(answer.status, content=answer.body)

    gateways.append(asking({}, itself))
    forged = f"{'0' * 32},{'f' * 32},junk,{'a' * 32}"
    told = (await request(gateways[0].app, path="/v1/models", headers={"x-gateway-hops": forged})).json()
    assert (told["error"]["code"], depth) == ("", 3)
    assert "callout_loop" in told["res"]["body"]


def test_marks_are_those_of_one_gateway_and_get_old() -> None:
    now = 1000.0
    ours, theirs = Hops(lambda: now), Hops(lambda: now)
    fields: list[tuple[bytes, bytes]] = []
    for _ in range(3):
        assert not ours.too_many(fields)
        fields = [ours.next(fields)]
    assert ours.too_many(fields)
    assert not theirs.too_many(fields)
    for _ in range(40):
        fields = [theirs.next(fields)]
    assert len(fields[0][1]) < 600
    now += 700
    assert not theirs.too_many(fields)
