from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import CHAT, CHAT_PATH, Host, Provider, actions, gateway, problems_of, records, shadow_log

pytestmark = pytest.mark.anyio

LIMIT = {
    "name": "n",
    "algorithm": "sliding_window",
    "capacity": 2,
    "rate": "60s",
    "bucket_key": ["conn.client_ip"],
}
TELLS = ("custom-response", {"body": "${actions.ngrok.rate_limit}"})


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def limited(data_dir: Path, *more: Any, **config: Any) -> Gateway:
    return gateway(actions(("rate-limit", LIMIT | config), *(more or (TELLS,))), data_dir=data_dir)


async def ask(to: Gateway, *, peer: str = "10.0.0.1", path: str = "/v1/models", **fields: str) -> Response:
    return await request(to.app, path=path, client=(peer, 1), headers=fields)


def made_in(data_dir: Path) -> list[str]:
    return sorted(str(path.relative_to(data_dir.parent)) for path in data_dir.parent.rglob("*"))


async def statuses(to: Gateway, times: int, **options: str) -> list[int]:
    return [(await ask(to, **options)).status for _ in range(times)]


async def test_a_bucket_that_had_its_fill_is_refused(data_dir: Path) -> None:
    to = limited(data_dir)
    assert await statuses(to, 2) == [200, 200]
    refused = await ask(to)
    assert (refused.status, refused.json()["error"]) == (
        429,
        {
            "message": "Rate limit reached: 2 requests in 1m.",
            "type": "rate_limit_error",
            "param": None,
            "code": "rate_limit_exceeded",
        },
    )
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    assert "x-should-retry" not in refused.headers
    assert await statuses(to, 1, peer="10.0.0.2") == [200]


async def test_a_refusal_speaks_the_callers_format(data_dir: Path) -> None:
    to = limited(data_dir, capacity=1)
    await ask(to)
    refused = await request(to.app, "POST", "/v1/messages", client=("10.0.0.1", 1), json=CHAT)
    assert (refused.status, refused.json()["error"]["type"]) == (429, "rate_limit_error")
    assert refused.json()["type"] == "error"


@pytest.mark.parametrize(
    ("bucket_key", "first", "second", "same"),
    [
        (["conn.client_ip"], {"peer": "10.0.0.1"}, {"peer": "10.0.0.2"}, False),
        (["conn.client_ip"], {"peer": "10.0.0.1"}, {"peer": "::ffff:10.0.0.1"}, True),
        (["'all'"], {"peer": "10.0.0.1"}, {"peer": "10.0.0.2"}, True),
        (["getReqHeader('x')"], {"x": "a"}, {"x": "b"}, False),
        (["getReqHeader('x')", "getReqHeader('y')"], {"x": "a"}, {"y": "a"}, False),
        (["req.headers['x'][0]"], {}, {"y": "1"}, True),
        (["req.headers['x'][0]"], {}, {"x": "null"}, False),
        (["req.headers['x'][0]", "conn.client_ip"], {"peer": "10.0.0.1"}, {"peer": "10.0.0.2"}, False),
        (["req.url.path", "req.method"], {"path": "/v1/models"}, {"path": "/v1/models/gpt-4o"}, False),
        (["{'b': 1, 'a': req.url.path}"], {}, {}, True),
    ],
)
async def test_the_values_make_the_bucket(
    data_dir: Path, bucket_key: list[str], first: dict[str, str], second: dict[str, str], same: bool
) -> None:
    to = limited(data_dir, capacity=1, bucket_key=bucket_key)
    assert await statuses(to, 1, **first) == [200]
    assert await statuses(to, 1, **second) == [429 if same else 200]


@pytest.mark.parametrize(
    ("other", "same"),
    [({}, True), ({"name": "other"}, False), ({"rate": "70s"}, False), ({"capacity": 5}, True)],
    ids=str,
)
async def test_two_actions_share_buckets_of_one_name_and_window(
    data_dir: Path, other: dict[str, Any], same: bool
) -> None:
    to = gateway(
        actions(("rate-limit", LIMIT | {"capacity": 9}), ("rate-limit", LIMIT | {"capacity": 1} | other), TELLS),
        data_dir=data_dir,
    )
    capacity = other.get("capacity", 1)
    assert await statuses(to, 1) == [429 if same and capacity == 1 else 200]


async def test_counts_outlive_a_restart_and_are_shared(data_dir: Path) -> None:
    first, second = limited(data_dir), limited(data_dir)
    assert [*await statuses(first, 1), *await statuses(second, 2)] == [200, 200, 429]
    async with first.lifespan():
        pass
    assert await statuses(limited(data_dir), 1) == [429]
    assert await statuses(first, 1) == [429]


async def test_its_result_is_published(data_dir: Path) -> None:
    to = limited(data_dir, capacity=1, enforce=False, bucket_key=["req.headers['authorization'][0]"])
    first, second = [(await ask(to, authorization="Bearer sk-secret")).json() for _ in range(2)]
    nothing = {"code": "", "message": ""}
    assert (first["limited"], second["limited"], first["error"], second["error"]) == (False, True, nothing, nothing)
    assert first["bucket_key"] == second["bucket_key"]
    assert len(first["bucket_key"]) == 32
    assert b"sk-secret" not in (data_dir / "counters").read_bytes()


async def test_measuring_refuses_nothing_and_logs(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = shadow_log(caplog)
    assert await statuses(limited(data_dir, capacity=1, enforce=False), 3) == [200] * 3
    assert [record["reason"] for record in log()] == ["n: 1 requests in 1m"] * 2


async def test_counters_that_cannot_be_had_refuse(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").write_text("no directory")
    to = limited(tmp_path / "data")
    refused = await ask(to)
    assert (refused.status, refused.json()["error"]["code"]) == (503, "limits_unavailable")
    assert refused.headers["retry-after"] == "1"
    await ask(to)
    assert caplog.text.count("requests that a limit applies to are refused") == 1


async def test_counters_that_cannot_be_had_are_published_where_only_measuring(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = shadow_log(caplog)
    (tmp_path / "data").write_text("no directory")
    told = await ask(limited(tmp_path / "data", enforce=False))
    assert (told.status, told.json()["error"]["code"], told.json()["limited"]) == (200, "limits_unavailable", False)
    assert [record["code"] for record in log()] == ["limits_unavailable"]


async def test_what_is_refused_by_itself_is_no_null(data_dir: Path) -> None:
    """Else a body that is no JSON, or an address that nobody vouches for, would have a bucket of its own."""
    to = limited(data_dir, bucket_key=["req.body.model"])
    refused = await request(to.app, "POST", CHAT_PATH, body=b"{")
    assert (refused.status, refused.json()["error"]["code"]) == (400, "invalid_request")
    behind = gateway(actions(("rate-limit", LIMIT), TELLS), data_dir=data_dir, trusted_proxies="10.0.0.0/8")
    assert (await ask(behind, **{"x-forwarded-for": "junk"})).status == 403


async def test_the_body_may_make_the_bucket(data_dir: Path) -> None:
    provider = Provider()
    policy = actions(
        ("rate-limit", LIMIT | {"capacity": 1, "bucket_key": ["req.body.user"]}),
        ("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "sk-1"}]}]}),
    )
    to = gateway(policy, provider=provider, data_dir=data_dir)
    users = ["ann", "ann", "bob"]
    answers = [await request(to.app, "POST", CHAT_PATH, json=CHAT | {"user": user}) for user in users]
    assert [answer.status for answer in answers] == [200, 429, 200]
    assert [json.loads(sent.content)["user"] for sent in provider.requests] == ["ann", "bob"]


async def test_it_guards_an_app(data_dir: Path) -> None:
    host = Host()
    app = GatewayMiddleware(host, gateway=gateway(actions(("rate-limit", LIMIT)), data_dir=data_dir), intercept="all")
    assert [(await request(app, path="/any")).status for _ in range(3)] == [200, 200, 429]
    assert len(host.scopes) == 2


async def test_a_refusal_is_in_the_request_log(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ai_gateway_mw.requests")
    await statuses(limited(data_dir), 3)
    assert [record["status"] for record in records(caplog, "ai_gateway_mw.requests")] == [200, 200, 429]


async def test_nothing_is_made_before_the_first_request(data_dir: Path) -> None:
    to = limited(data_dir)
    assert made_in(data_dir) == []
    await ask(to)
    assert made_in(data_dir) == ["data", "data/counters"]


GOOD: list[dict[str, Any]] = [
    {},
    {"name": "n" * 1023, "capacity": 2_000_000_000},
    {"capacity": 1, "rate": "24h"},
    {"rate": "1m30s", "enforce": False},
    {"bucket_key": ["req.host", "conn.client_ip", "getReqHeader('x-team')"]},
    {"bucket_key": ["'a'"] * 10},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"rate": "100/min"}, '"100/min"', "say how many under `capacity`"),
    ({"rate": "50s"}, '"50s"', "from `60s` to `24h`"),
    ({"rate": "25h"}, '"25h"', "from `60s` to `24h`"),
    ({"rate": "95s"}, '"95s"', "a multiple of `10s`, not `1m35s`"),
    ({"rate": "60.5s"}, '"60.5s"', "a multiple of `10s`"),
    ({"rate": 60}, "60", "a duration with its unit"),
    ({"rate": "1d"}, '"1d"', "a duration with its unit"),
    ({"capacity": 0}, "0", "`capacity` must be at least 1, not 0"),
    ({"capacity": 2_000_000_001}, "2000000001", "`capacity` must be at most 2000000000, not 2000000001"),
    ({"capacity": "2"}, '"2"', "`capacity` must be a whole number, not the text `2`"),
    ({"bucket_key": []}, "[]", "`bucket_key` must have 1 or more entries"),
    ({"bucket_key": ["'a'"] * 11}, "[", "`bucket_key` must have 10 or fewer entries"),
    (
        {"bucket_key": "conn.client_ip"},
        '"conn.client_ip"',
        "`bucket_key` must be a list, not the text `conn.client_ip`",
    ),
    (
        {"bucket_key": ["conn.client_pi"]},
        "conn.client_pi",
        "unknown name `conn.client_pi`; did you mean `conn.client_ip`?",
    ),
    (
        {"bucket_key": ["${conn.client_ip}"]},
        "${conn.client_ip}",
        "`$` does not belong into an expression; write it without `${ }`",
    ),
    (
        {"algorithm": "token_bucket"},
        '"token_bucket"',
        "`algorithm` must be `sliding_window`, not the text `token_bucket`",
    ),
    ({"name": ""}, '""', "`name` must have 1 or more characters"),
    ({"name": "n" * 1024}, '"nnnnnnnnnnnnnnnnnnnnnnn', "`name` must have 1023 or fewer characters"),
    ({"enforce": "yes"}, '"yes"', "`enforce` must be true or false, not the text `yes`"),
    ({"enforced": True}, '"enforced"', "unknown field `enforced`"),
    ({"name": 5}, "5", "`name` must be text, not 5"),
    ({"bucket_key": ["res.status_code"]}, "res.status_code", "unknown name `res.status_code` (`res.*` is known in"),
    ({"capacity": 1.5}, "1.5", "`capacity` must be a whole number, not 1.5"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("rate-limit", LIMIT | config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("rate-limit", LIMIT | config, at, says)


@pytest.mark.parametrize("missing", ["name", "algorithm", "capacity", "rate", "bucket_key"])
def test_what_has_to_be_said(missing: str) -> None:
    (problem,) = problems_of(actions(("rate-limit", {name: LIMIT[name] for name in LIMIT if name != missing})))
    assert missing in str(problem)


@pytest.mark.parametrize("rate", ["60s", "1m", "90s", "1m30s", "24h", "10m"])
def test_windows_that_are_good(rate: str, data_dir: Path) -> None:
    limited(data_dir, rate=rate)
