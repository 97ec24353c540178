"""The failover matrix: who is asked after each fault of a provider, and what the client is told if nobody is left.

The faults, and what must follow from them, are those of `benchmarks.contract.faults`, which the campaigns repeat by the
thousand; here each is met once by a gateway that has learned nothing: two providers, with two keys each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.settings import Settings
from benchmarks.contract.dialects import ALL, ANTHROPIC, GEMINI, OPENAI, RESPONSES, Dialect
from benchmarks.contract.faults import FAULTS, Fault, Then
from tests.asgi import Exchange
from tests.fake_upstream import Upstream, closed_port, error, hang, ok, plain

pytestmark = pytest.mark.anyio

A1, A2, B1, B2 = KEYS = ["sk-a-1", "sk-a-2", "sk-b-1", "sk-b-2"]
FAULT = {fault.name: fault for fault in FAULTS}


class Answer(NamedTuple):
    """What the client got; `aborted` where the transfer ended without its proper end."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    aborted: bool


class Site(NamedTuple):
    gateway: Gateway
    upstream: Upstream

    async def ask(self, dialect: Dialect = OPENAI, *, stream: bool = False, **headers: str) -> Answer:
        fields = {**dialect.fields, **{name.replace("_", "-"): value for name, value in headers.items()}}
        path, body = dialect.path("m", stream=stream), dialect.content("m", "Hello", stream=stream)
        async with Exchange(self.gateway.app, method="POST", path=path, json=body, headers=fields) as exchange:
            start = await exchange.start()
            pieces, aborted = [], False
            try:
                while (piece := await exchange.body()) is not None:
                    pieces.append(piece)
            except Exception:  # a server aborts the transfer when its app fails
                aborted = True
        return Answer(start.status, start.headers, b"".join(pieces), aborted)


Sites = Callable[..., Site]


@pytest.fixture
async def sites() -> AsyncIterator[Sites]:
    """Makes sites with these keys and this `ai-gateway` config, and closes them when the test is over.

    The first provider is found at `port`, where that is not the upstream's.
    """
    made: list[Gateway] = []
    async with Upstream() as upstream:

        def site(*keys: str, port: int = 0, **config: Any) -> Site:
            names = keys or tuple(KEYS)
            providers = [_provider(name, [key for key in names if key.startswith(f"sk-{name}")]) for name in "ab"]
            config = {"providers": providers, "only_allow_configured_providers": True, **config}
            config = {"per_request_timeout": "500ms", "total_timeout": "5s", **config}
            hosts = {"a.internal": f"127.0.0.1:{port or upstream.port}", "b.internal": f"127.0.0.1:{upstream.port}"}
            settings = Settings(hosts=hosts, connect_timeout=0.5)
            policy = {"on_http_request": [{"type": "ai-gateway", "config": config}]}
            made.append(Gateway.from_policy(policy, settings=settings))
            return Site(made[-1], upstream)

        yield site
        for gateway in made:
            await gateway.stores.aclose()


def _provider(name: str, keys: Sequence[str]) -> dict[str, Any]:
    return {
        "id": name,
        "base_url": f"http://{name}.internal",
        "api_keys": [{"value": key} for key in keys],
        "models": [{"id": "m"}],
        "disabled": not keys,
        "supported_api_surfaces": [{"format": "openai"}, {"format": "anthropic"}, {"format": "gemini"}],
    }


# Who is asked next ------------------------------------------------------------------------------------------------

ASKED = {
    Then.RETURN: [A1],
    Then.BREAKS: [A1],
    Then.KEY: [A1, A2],
    Then.OTHER: [A1, A2],
    Then.PROVIDER: [A1, B1],
}
# Where what an upstream says tells more than its status, each format says it in its own way.
TELLING = {"9", "10", "13", "14", "15", "16", "17", "18", "25", "27", "28", "33", "37"}


def _dialects(fault: Fault) -> Sequence[Dialect]:
    if fault.name.endswith("-before-content"):
        return [dialect for dialect in ALL if dialect is not GEMINI]  # whose first event has content
    return ALL if fault.row in TELLING or fault.only == "stream" else [OPENAI]


@pytest.mark.parametrize(
    ("fault", "dialect"),
    [
        pytest.param(fault, dialect, id=f"{fault.row}-{fault.name}-{dialect.name}")
        for fault in FAULTS
        if not fault.door
        for dialect in _dialects(fault)
    ],
)
async def test_who_is_asked_and_what_the_client_gets(fault: Fault, dialect: Dialect, sites: Sites) -> None:
    site = sites()
    site.upstream.on(fault.make("first"), ok("second"))
    answer = await site.ask(dialect, stream=fault.only == "stream")
    assert site.upstream.keys == ASKED[fault.then]
    assert answer.headers["x-gateway-attempts"] == str(len(ASKED[fault.then]))
    last = site.upstream.requests[-1].reply
    assert last is not None
    if fault.then is not Then.BREAKS:
        assert (answer.status, answer.body, answer.aborted) == (last.status, last.body, False)
    elif fault.only == "stream":
        assert dialect.ended_with_error(answer.body)
        assert not dialect.ended_well(answer.body)
    else:
        assert answer.aborted


async def test_a_closed_door_is_closed_for_all_keys_of_its_host(sites: Sites) -> None:
    with closed_port() as port:
        site = sites(port=port)
        answer = await site.ask()
    assert answer.status == 200
    assert answer.headers["x-gateway-attempts"] == "2"
    assert site.upstream.keys == [B1]


async def test_no_key_is_asked_twice_and_every_one_once(sites: Sites) -> None:
    site = sites()
    site.upstream.on(error(500))
    assert (await site.ask()).status == 503
    assert sorted(filter(None, site.upstream.keys)) == KEYS


async def test_a_key_that_cools_down_is_asked_last(sites: Sites) -> None:
    site = sites()
    site.upstream.on(error(429, retry_after=60), key=A1)
    await site.ask()
    site.upstream.on(error(500), key=A2)
    site.upstream.on(error(500), key=B1)
    site.upstream.on(error(500), key=B2)
    site.upstream.requests.clear()
    await site.ask()
    assert site.upstream.keys == [A2, B1, B2, A1]


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_clients_own_key_gets_one_attempt(status: int, sites: Sites) -> None:
    """12: or a client's junk would be paid with the operator's key."""
    provider = {"id": "own", "base_url": "http://a.internal", "models": [{"id": "m"}], "needs_key": True}
    site = sites(providers=[provider, _provider("b", [B1])])
    site.upstream.on(error(status))
    answer = await site.ask(authorization="Bearer sk-of-the-client")
    assert answer.status == status
    assert site.upstream.keys == ["sk-of-the-client"]


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
async def test_failover_on_any_moves_on_from_what_the_client_got_wrong(status: int, sites: Sites) -> None:
    site = sites(failover_on="any")
    site.upstream.on(error(status, code="resource_missing"), ok())
    assert (await site.ask()).status == 200
    assert len(site.upstream.requests) == 2


# Nobody is left -----------------------------------------------------------------------------------------------------

LAST_RESORT = {
    "no-head-in-time": (504, "upstream_timeout"),
    "closed-before-head": (502, None),
    "usage-limits": (503, "upstream_quota"),
    "key-rejected": (502, "upstream_auth_failed"),
    "payment-required": (503, "upstream_quota"),
    "key-without-right": (502, "upstream_auth_failed"),
    "region": (502, None),
    "model-not-found": (404, "model_not_found"),
    "request-timeout": (504, "upstream_timeout"),
    "status-424": (502, None),
    "rate-limit-retry-after": (429, "rate_limit_exceeded"),
    "rate-limit": (429, "rate_limit_exceeded"),
    "quota": (503, "upstream_quota"),
    "slow-down": (429, "rate_limit_exceeded"),
    "server-error": (502, None),
    "status-502": (502, None),
    "unavailable": (503, None),
    "gateway-timeout": (504, "upstream_timeout"),
    "overloaded": (503, None),
    "status-599": (502, None),
    "switching-protocols": (502, "upstream_redirect"),
    "status-206": (502, "upstream_redirect"),
    "status-307": (502, "upstream_redirect"),
    "error-under-200": (502, None),
    "short-body": (502, None),
    "first-event-rate-limit": (429, "rate_limit_exceeded"),
    "cut-before-events": (502, None),
    "cut-before-content": (502, None),
    "stall-before-events": (504, "upstream_timeout"),
}


@pytest.mark.parametrize("name", LAST_RESORT)
async def test_what_the_client_is_told_of_the_only_attempt(name: str, sites: Sites) -> None:
    fault, (status, code) = FAULT[name], LAST_RESORT[name]
    site = sites(A1)
    site.upstream.on(fault.make("only"))
    answer = await site.ask(stream=fault.only == "stream")
    assert answer.status == status
    assert code is None or answer.headers["x-gateway-error"] == code
    assert answer.headers["x-gateway-attempts"] == "1"
    assert ("x-should-retry" in answer.headers) is (status != 429)
    assert ("retry-after" in answer.headers) is (name == "rate-limit-retry-after")


TOGETHER = {
    "all limited": ([error(429, retry_after=30), error(429, retry_after=7)], 429, "rate_limit_exceeded"),
    "all out of quota": ([error(402), error(429, code="insufficient_quota")], 503, "upstream_quota"),
    "all rejected": ([error(401)], 502, "upstream_auth_failed"),
    "all too late": ([hang()], 504, "upstream_timeout"),
    "in different ways": ([error(429), error(500)], 503, "all_providers_failed"),
    "all broken": ([error(500)], 503, "all_providers_failed"),
}


@pytest.mark.parametrize(("answers", "status", "code"), TOGETHER.values(), ids=TOGETHER)
async def test_what_the_client_is_told_of_several(answers: Any, status: int, code: str, sites: Sites) -> None:
    site = sites(A1, A2)
    site.upstream.on(*answers)
    answer = await site.ask()
    assert (answer.status, answer.headers["x-gateway-error"]) == (status, code)
    assert answer.headers["x-gateway-attempts"] == "2"
    assert answer.headers.get("retry-after") == ("7" if code == "rate_limit_exceeded" else None)


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (OPENAI, b'"code":"upstream_auth_failed"'),
        (RESPONSES, b'"code":"upstream_auth_failed"'),
        (ANTHROPIC, b'"type":"error","error":{"type":"api_error"'),
        (GEMINI, b'"status":"INTERNAL"'),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_it_is_told_in_the_format_of_the_client(
    dialect: Dialect, expected: bytes, stream: bool, sites: Sites
) -> None:
    site = sites(A1)
    site.upstream.on(error(401, "The key sk-a-1 of the account acme is wrong."))
    answer = await site.ask(dialect, stream=stream)
    assert answer.status == 502
    assert expected in answer.body
    assert b"acme" not in answer.body


async def test_all_attempts_together_have_the_total_time(sites: Sites) -> None:
    """52"""
    site = sites(per_request_timeout="300ms", total_timeout="600ms")
    site.upstream.on(hang())
    answer = await site.ask()
    assert (answer.status, answer.headers["x-gateway-error"]) == (504, "gateway_timeout")
    assert site.upstream.keys == [A1, A2]


async def test_nobody_to_reach_is_told_as_that(sites: Sites) -> None:
    """1"""
    with closed_port() as port:
        answer = await sites(A1, A2, port=port).ask()
    assert (answer.status, answer.headers["x-gateway-error"]) == (502, "upstream_unreachable")


# What is learned ------------------------------------------------------------------------------------------------------


async def test_what_the_client_got_wrong_says_nothing_of_the_key(sites: Sites) -> None:
    site = sites(api_key_selection={"strategy": ["ai.keys.filter(k, k.error_rate.total == 0.0)"]})
    site.upstream.on(error(400))
    for _ in range(12):  # beyond what an error rate is believed from
        assert (await site.ask()).status == 400
    assert set(site.upstream.keys) == {A1}


async def test_bytes_after_an_answer_are_nobodys(sites: Sites) -> None:
    """50"""
    site = sites(A1)
    site.upstream.on(FAULT["surplus"].make("first"), ok("second"))
    first, second = await site.ask(), await site.ask()
    assert b"first" in first.body
    assert b"second" in second.body
    assert [received.connection for received in site.upstream.requests] == [1, 2]


async def test_an_empty_answer_is_none_of_an_event_stream(sites: Sites) -> None:
    """38, 42: nothing has come that could be handed on."""
    site = sites()
    site.upstream.on(plain(content_type="text/event-stream"), ok("second"))
    answer = await site.ask(stream=True)
    assert b"second" in answer.body
    assert site.upstream.keys == [A1, A2]
