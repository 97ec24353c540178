"""`enforce: false`: whatever refuses lets through instead, says so once, counts it, and shows it in `explain`."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.explain import Asked, Rehearsal
from ai_gateway_mw.policy import load_policy
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.telemetry import Series, Shadow
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
    problems_of,
    shadow_log,
)

pytestmark = pytest.mark.anyio

TOKEN = "an-admin-token-of-good-length-7f3c"
APP = {"client_id": "app", "client_secret": "the-client-secret-of-the-app"}
JWT = {
    "issuer": {"allow_list": [{"value": "https://idp.example.com/"}]},
    "http": {"tokens": [{"type": "jwt", "method": "header", "name": "authorization", "prefix": "Bearer "}]},
    "jws": {
        "allowed_algorithms": ["RS256"],
        "keys": {"sources": {"additional_jkus": ["https://idp.example.com/keys"]}},
    },
}


class Refusing(NamedTuple):
    """An action that refuses the request of this module, its first or its second one, with this status and code."""

    config: dict[str, Any]
    status: int
    code: str
    before: int = 0


REFUSING = {
    "basic-auth": Refusing({"credentials": ["ada:the-password"]}, 401, "invalid_credentials"),
    "circuit-breaker": Refusing({"error_threshold": 0, "volume_threshold": 1}, 503, "circuit_open", before=1),
    "close-connection": Refusing({}, 403, "connection_closed"),
    "custom-response": Refusing({"status_code": 418, "body": "no"}, 418, "denied"),
    "deny": Refusing({"status_code": 451}, 451, "denied"),
    "gateway-auth": Refusing({"keys": [{"name": "team", "value": KEY}]}, 401, "invalid_api_key"),
    "jwt-validation": Refusing(JWT, 401, "invalid_token"),
    "oauth": Refusing({"provider": "github", **APP}, 401, "login_required"),
    "openid-connect": Refusing({"issuer_url": "https://idp.example.com", **APP}, 401, "login_required"),
    "rate-limit": Refusing(
        {
            "name": "n",
            "algorithm": "sliding_window",
            "capacity": 1,
            "rate": "60s",
            "bucket_key": ["conn.client_ip"],
        },
        429,
        "rate_limit_exceeded",
        before=1,
    ),
    "restrict-ips": Refusing({"allow": ["10.0.0.0/8"]}, 403, "ip_not_allowed"),
    "verify-webhook": Refusing({"provider": "github", "secret": "what-github-signs-with"}, 403, "webhook_not_verified"),
}
PRESENTED = bearer(OTHER_KEY)
EACH = pytest.mark.parametrize("name", REFUSING)


def policy_of(name: str, *, enforce: bool) -> dict[str, Any]:
    return actions((name, {**REFUSING[name].config, "enforce": enforce}))


async def ask(gate: Gateway, host: Host, times: int) -> Response:
    app = GatewayMiddleware(host, gateway=gate)
    for _ in range(times):
        await request(app, "POST", CHAT_PATH, headers=PRESENTED, json=CHAT)
    return await request(app, "POST", CHAT_PATH, headers=PRESENTED, json=CHAT)


async def counted(gate: Gateway) -> list[tuple[dict[str, str], int]]:
    """The series of the metric, with their labels."""
    answer = await request(gate.app, path="/metrics", headers=bearer(TOKEN))
    assert answer.status == 200
    lines = re.findall(r"^ai_gateway_would_refuse_total\{(.*)\} ([0-9.]+)$", answer.text, re.MULTILINE)
    return [(dict(re.findall(r'(\w+)="([^"]*)"', labels)), int(float(number))) for labels, number in lines]


def test_every_action_that_can_be_told_not_to_refuse_is_here() -> None:
    assert REFUSING.keys() == {name for name, kind in ACTIONS.items() if "enforce" in kind.Config.model_fields}


@EACH
async def test_enforced_it_refuses(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log, host, expected = shadow_log(caplog), Host(), REFUSING[name]
    gate = gateway(policy_of(name, enforce=True), data_dir=tmp_path, admin_token=TOKEN)
    async with gate.lifespan():
        assert (await ask(gate, host, expected.before)).status == expected.status
        assert len(host.scopes) == expected.before
        assert (await counted(gate), log()) == ([], [])


@EACH
async def test_not_enforced_it_lets_through_counts_and_says_so_once(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    log, host, expected = shadow_log(caplog), Host(), REFUSING[name]
    gate = gateway(policy_of(name, enforce=False), data_dir=tmp_path, admin_token=TOKEN)
    async with gate.lifespan():
        answer = await ask(gate, host, expected.before)
        ((labels, number),) = await counted(gate)
    assert (answer.status, answer.text, len(host.scopes)) == (200, "host", expected.before + 1)
    (record,) = log()
    assert record["request"] == answer.headers["x-request-id"]
    assert (record["action"], record["code"], record["status"]) == (name, expected.code, expected.status)
    assert (labels["action"], labels["code"], number) == (name, expected.code, 1)
    assert labels["place"] == record["place"] != ""
    assert record["reason"]
    for secret in (OTHER_KEY, KEY, "the-password", "what-github-signs-with", APP["client_secret"]):
        assert secret not in caplog.text


@EACH
async def test_explain_shows_it(name: str) -> None:
    expected = REFUSING[name]
    asked = Asked("POST", CHAT_PATH, tuple(PRESENTED.items()), json.dumps(CHAT).encode())
    async with Rehearsal(
        load_policy(policy_of(name, enforce=False)), Settings(), Gateway, own_secrets=False
    ) as rehearsal:
        for _ in range(expected.before):
            await rehearsal.ask(asked)
        course = await rehearsal.ask(asked)
    (action,) = course.rules[0].actions
    assert action.outcome == "would have refused"
    assert action.error is not None
    assert action.error["code"] == expected.code
    assert (course.refused or {}).get("code") != expected.code


async def test_what_follows_is_reached_and_what_ends_a_phase_no_longer_does() -> None:
    policy = actions(("deny", {"enforce": False}), ("custom-response", {"body": "reached"}))
    assert (await request(gateway(policy).app, path="/v1/models")).text == "reached"
    (problem,) = problems_of(actions("deny", ("custom-response", {"body": "not reached"})))
    assert "never reached" in str(problem)


async def test_a_stream_is_noted_once_however_many_messages_it_has(caplog: pytest.LogCaptureFixture) -> None:
    log = shadow_log(caplog)
    stream = {"headers": {"content-type": "text/event-stream"}, "body": "data: 1\n\ndata: 2\n\n"}
    policy = {
        **actions(("custom-response", stream)),
        **actions(("deny", {"enforce": False}), phase="on_event_stream_message"),
    }
    answer = await request(gateway(policy).app, path="/v1/models")
    assert answer.text == "data: 1\n\ndata: 2\n\n"
    assert [record["action"] for record in log()] == ["deny"]


async def test_a_gateway_key_that_is_no_good_goes_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Also where it is let through: providers get the operator's key, and the client's is not in the log."""
    caplog.set_level(logging.DEBUG)
    provider = Provider()
    keys = {"providers": [{"id": "openai", "api_keys": [{"value": "sk-operator"}]}]}
    policy = actions(("gateway-auth", REFUSING["gateway-auth"].config | {"enforce": False}), ("ai-gateway", keys))
    gate = gateway(policy, provider=provider)
    assert (await request(gate.app, "POST", CHAT_PATH, headers=PRESENTED, json=CHAT)).status == 200
    assert provider.request.headers["authorization"] == "Bearer sk-operator"
    assert OTHER_KEY not in f"{provider.request.headers.raw} {caplog.text}"


async def test_metrics_are_for_those_with_the_admin_token(tmp_path: Path) -> None:
    gate = gateway(actions("deny"), data_dir=tmp_path, admin_token=TOKEN)
    async with gate.lifespan():
        for headers in ({}, bearer(KEY), bearer("x" * 40)):
            refused = await request(gate.app, path="/metrics", headers=headers)
            assert (refused.status, json.loads(refused.text)["error"]["code"]) == (401, "unauthenticated")
    closed = gateway(actions("deny"), data_dir=tmp_path)
    assert (await request(closed.app, path="/metrics", headers=bearer(TOKEN))).status == 404


def test_there_is_an_end_to_what_is_counted_apart() -> None:
    shadow = Shadow()
    for number in range(1_100):
        shadow.count(Series("deny", f"policy.yaml:{number}:1", "denied"))
    counts = dict(shadow)
    assert len(counts) == 1_001
    assert counts[Series("deny", "(other)", "denied")] == 100
