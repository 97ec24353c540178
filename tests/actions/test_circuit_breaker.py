from __future__ import annotations

from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.state import Circuits
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Exchange, Response, request
from tests.gateways import CHAT, CHAT_PATH, Host, Provider, actions, gateway, shadow_log
from tests.state.conftest import Clock

pytestmark = pytest.mark.anyio

BREAKER = {"error_threshold": 0.5, "volume_threshold": 2, "tripped_duration": "5s"}
AI = ("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "sk-1"}]}]})


@pytest.fixture
def clock() -> Clock:
    return Clock()


def around(host: Any, clock: Clock, *more: Any, **config: Any) -> GatewayMiddleware:
    to = gateway(actions(("circuit-breaker", BREAKER | config), *more))
    to.stores.circuits = Circuits(clock)
    return GatewayMiddleware(host, gateway=to, intercept="all")


async def ask(app: Any, times: int = 1, path: str = "/x", **exchange: Any) -> list[int]:
    return [(await request(app, path=path, **exchange)).status for _ in range(times)]


async def test_an_app_that_fails_is_left_alone_for_a_while(clock: Clock) -> None:
    host = Host(500)
    app = around(host, clock)
    assert await ask(app, 3) == [500, 500, 503]
    refused = await request(app, path="/v1/models")
    assert refused.json()["error"]["code"] == "circuit_open"
    assert refused.json()["error"]["message"].startswith("ERR_NGROK_3202: ")
    assert refused.headers["retry-after"] == "5"
    assert "x-should-retry" not in refused.headers
    assert len(host.scopes) == 2
    clock.now += 5
    host._status = 200
    assert await ask(app, 3) == [200] * 3


async def test_threshold_nothing_and_volume_one_trip_on_the_second_request(clock: Clock) -> None:
    assert await ask(around(Host(), clock, error_threshold=0.0, volume_threshold=1), 2) == [200, 503]


@pytest.mark.parametrize("status", [200, 302, 400, 404, 429, 499])
async def test_what_is_no_failure(clock: Clock, status: int) -> None:
    assert await ask(around(Host(status), clock), 4) == [status] * 4


async def test_an_app_that_raises_has_failed(clock: Clock) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError

    app = around(broken, clock)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await ask(app)
    assert await ask(app) == [503]


async def test_what_response_rules_make_of_a_failure_hides_nothing(clock: Clock) -> None:
    policy = actions(("circuit-breaker", BREAKER)) | actions(("custom-response", {}), phase="on_http_response")
    to = gateway(policy)
    assert await ask(GatewayMiddleware(Host(500), gateway=to, intercept="all"), 3) == [200, 200, 503]


async def test_providers_that_fail_or_cannot_be_reached_count(clock: Clock) -> None:
    provider = Provider(500)
    to = gateway(actions(("circuit-breaker", BREAKER), AI), provider=provider)
    answers = [await request(to.app, "POST", CHAT_PATH, json=CHAT) for _ in range(3)]
    assert [answer.headers["x-gateway-error"] for answer in answers][-1] == "circuit_open"
    assert len(provider.requests) == 2

    def unreachable(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no")

    to = Gateway.from_policy(actions(("circuit-breaker", BREAKER), AI), transport=httpx.MockTransport(unreachable))
    answers = [await request(to.app, "POST", CHAT_PATH, json=CHAT) for _ in range(3)]
    assert [answer.headers["x-gateway-error"] for answer in answers] == [
        "upstream_unreachable", "upstream_unreachable", "circuit_open",
    ]  # fmt: skip


async def test_a_client_that_leaves_says_nothing(clock: Clock) -> None:
    """Else whoever hangs up often would shut everybody out."""

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    app = around(waits, clock, error_threshold=0.0, volume_threshold=1)
    for _ in range(3):
        async with Exchange(app, path="/x"):
            pass
    assert app.gateway.stores.circuits._circuits
    assert all(circuit.decision() == "allow" for circuit in app.gateway.stores.circuits._circuits.values())


async def test_measuring_refuses_nothing_and_logs(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    log = shadow_log(caplog)
    assert await ask(around(Host(500), clock, enforce=False), 4) == [500] * 4
    assert [record["action"] for record in log()] == ["circuit-breaker"] * 2


async def test_its_result_is_published(clock: Clock) -> None:
    app = around(Host(500), clock, ("add-headers", {"headers": {"x-d": "${actions.ngrok.circuit_breaker.decision}"}}),
                 enforce=False)  # fmt: skip
    await ask(app, 3)
    clock.now += 5
    await ask(app)
    assert [dict(scope["headers"])[b"x-d"] for scope in app.app.scopes] == [
        b"allow", b"allow", b"block", b"allow_while_open",
    ]  # fmt: skip


async def test_values_may_have_breakers_of_their_own(clock: Clock) -> None:
    app = around(Host(500), clock, bucket_key=["req.url.path"])
    assert await ask(app, 3, "/a") == [500, 500, 503]
    assert await ask(app, 1, "/b") == [500]


async def test_actions_do_not_share_theirs_and_a_reload_keeps_them(clock: Clock) -> None:
    policy = actions(("circuit-breaker", BREAKER), expressions=["req.url.path == '/a'"])
    policy["on_http_request"] += actions(("circuit-breaker", BREAKER), expressions=["req.url.path == '/b'"])[
        "on_http_request"
    ]
    to = gateway(policy)
    app = GatewayMiddleware(Host(500), gateway=to, intercept="all")
    assert await ask(app, 3, "/a") == [500, 500, 503]
    assert await ask(app, 2, "/b") == [500, 500]
    to.reload(to.policy)
    assert [*await ask(app, 1, "/a"), *await ask(app, 1, "/b")] == [503, 503]


GOOD: list[dict[str, Any]] = [
    {},
    {"error_threshold": 0, "volume_threshold": 1},
    {"error_threshold": 1, "volume_threshold": 2_000_000_000},
    {"window_duration": "1s", "tripped_duration": "2m", "num_buckets": 10},
    {"window_duration": 10_000_000_000},
    {"bucket_key": ["req.url.path", "conn.client_ip"], "enforce": False},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"error_threshold": 1.1}, "1.1", "`error_threshold` must be at most 1.0, not 1.1"),
    ({"error_threshold": -0.1}, "-0.1", "`error_threshold` must be at least 0.0, not -0.1"),
    ({"volume_threshold": 0}, "0", "`volume_threshold` must be at least 1, not 0"),
    (
        {"volume_threshold": 2_000_000_001},
        "2000000001",
        "`volume_threshold` must be at most 2000000000, not 2000000001",
    ),
    ({"window_duration": "500ms"}, '"500ms"', "from `1s` to `2m`"),
    ({"tripped_duration": "121s"}, '"121s"', "from `1s` to `2m`"),
    ({"tripped_duration": 10}, "10", "from `1s` to `2m`"),
    ({"window_duration": "10"}, '"10"', "a duration with its unit"),
    ({"num_buckets": 5}, "5", "`num_buckets` must be at least 10, not 5"),
    ({"bucket_key": ["nope"]}, "nope", "unknown name `nope`"),
    ({"enforce": "no"}, '"no"', "`enforce` must be true or false, not the text `no`"),
    ({"on_error": "halt"}, '"on_error"', "unknown field"),
    ({"volume_threshold": 1.5}, "1.5", "`volume_threshold` must be a whole number, not 1.5"),
    ({"error_threshold": "half"}, '"half"', "`error_threshold` must be a number, not the text `half`"),
    ({"bucket_key": ["res.status_code"]}, "res.status_code", "unknown name `res.status_code` (`res.*` is known in"),
    ({"bucket_key": [1]}, "1", "`bucket_key[0]` must be a CEL expression, not 1"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("circuit-breaker", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("circuit-breaker", config, at, says)


async def test_an_answer_of_the_policys_own_does_not_count_as_served() -> None:
    for own in (("custom-response", {"status_code": 599}), ("deny", {"status_code": 599})):
        to = gateway(actions(("circuit-breaker", BREAKER | {"volume_threshold": 1}), own))
        answers: list[Response] = [await request(to.app, path="/v1/models") for _ in range(3)]
        assert [answer.status for answer in answers] == [599] * 3
