from __future__ import annotations

import json
import sys
import time
from typing import Any

import httpx
import pytest

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.actions.verify_webhook import VerifyWebhook
from ai_gateway_mw.policy import policy_schema
from ai_gateway_mw.webhooks import PROVIDERS
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import Host, actions, gateway, problems_of, secret_store, shadow_log
from tests.webhook_signing import ORIGIN, SECRET, SIGNERS, TARGET, b64, hexed
from tests.webhooks.test_providers import certificate, sns

pytestmark = pytest.mark.anyio

STORED = "${secrets.get('hooks', 'secret')}"
TELLS = ("custom-response", {"body": "${actions.ngrok.verify_webhook}"})


async def send(provider: str, *, secret: str = SECRET, **config: Any) -> Response:
    """What the provider sends now, through a gateway in front of an app."""
    sent = SIGNERS[provider](int(time.time()))
    written = {"provider": provider, "secret": STORED, "public_url": ORIGIN, **config}
    stored = sent.secret if secret == SECRET else secret
    gate = gateway(actions(("verify-webhook", written), TELLS), vaults={"hooks": {"secret": stored}})
    app = GatewayMiddleware(Host(), gateway=gate, intercept="all")
    return await request(app, sent.method, TARGET, headers=sent.fields, body=sent.body)


@pytest.mark.parametrize("provider", SIGNERS)
async def test_every_provider_is_let_in_and_told(provider: str) -> None:
    response = await send(provider)
    assert (response.status, response.json()) == (200, {"verified": True, "error": {"code": "", "message": ""}})


@pytest.mark.parametrize("provider", SIGNERS)
async def test_nobody_else_is(provider: str) -> None:
    response = await send(provider, secret="d3Jvbmctc2VjcmV0LXZhbHVl")
    assert response.status == (401 if provider == "xero" else 403)
    error = response.json()["error"]
    assert error["code"] == "webhook_not_verified"
    assert error["message"].startswith("ERR_NGROK_3204: Webhook verification failed: ")
    assert "d3Jvbmct" not in response.text


async def test_what_is_not_enforced_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = shadow_log(caplog)
    response = await send("github", secret="wrong-secret", enforce=False)
    assert response.status == 200
    assert (response.json()["verified"], response.json()["error"]["code"]) == (False, "webhook_not_verified")
    assert [(record["action"], record["reason"]) for record in log()] == [("verify-webhook", "its signature is wrong")]
    assert "wrong-secret" not in caplog.text


@pytest.mark.parametrize("enforce", [True, False])
async def test_a_secret_that_cannot_be_had_lets_nobody_in(enforce: bool) -> None:
    config = {"provider": "github", "secret": STORED, "enforce": enforce}
    sent = SIGNERS["github"](0)
    app = gateway(actions(("verify-webhook", config), TELLS)).app
    assert (await request(app, "POST", "/v1/files", headers=sent.fields, body=sent.body)).status == 403


async def test_the_app_gets_the_body_that_was_verified() -> None:
    host = Host()
    sent = SIGNERS["github"](0)
    gate = gateway(actions(("verify-webhook", {"provider": "github", "secret": SECRET})))
    app = GatewayMiddleware(host, gateway=gate, intercept="all")
    assert (await request(app, "POST", "/hook", headers=sent.fields, body=sent.body)).status == 200
    assert host.bodies == [sent.body]


async def test_the_url_is_the_one_that_was_called_also_below_a_mount() -> None:
    gate = gateway(actions(("verify-webhook", {"provider": "square", "secret": SECRET}), TELLS))
    app = GatewayMiddleware(Host(), gateway=gate, intercept="all")
    fields = {"x-square-hmacsha256-signature": b64("https://gateway.test/below/h%20i?q=%C3%A4"), "host": "gateway.test"}
    response = await request(app, "POST", "/h%20i?q=%C3%A4", headers=fields, root_path="/below", scheme="https")
    assert response.status == 200


async def challenge(
    provider: str, method: str, target: str, fields: Any = (), body: bytes = b"", **config: Any
) -> tuple[Response, Host]:
    host = Host()
    gate = gateway(actions(("verify-webhook", {"provider": provider, "secret": SECRET, **config})))
    app = GatewayMiddleware(host, gateway=gate, intercept="all")
    return await request(app, method, target, headers=fields, body=body), host


async def test_twitter_asks_for_a_token() -> None:
    response, host = await challenge("twitter", "GET", "/hook?crc_token=abc_123&nonce=1")
    assert (response.status, response.json()) == (200, {"response_token": f"sha256={b64('abc_123')}"})
    assert host.scopes == []


@pytest.mark.parametrize(
    "target", ["/hook", "/hook?crc_token=", "/hook?crc_token=%7B%22a%22%3A1%7D", "/hook?crc_token=a&crc_token=b"]
)
async def test_twitter_gets_no_signature_for_what_could_be_a_delivery(target: str) -> None:
    response, _ = await challenge("twitter", "GET", target)
    assert response.status == 403


async def test_worldline_wants_its_value_back() -> None:
    fields = {"x-gcs-webhooks-endpoint-verification": "3f9d-42"}
    response, _ = await challenge("worldline", "GET", "/hook", fields)
    assert (response.status, response.text) == (200, "3f9d-42")
    assert response.headers["content-type"].startswith("text/plain")
    fields = {"x-gcs-webhooks-endpoint-verification": "<script>"}
    assert (await challenge("worldline", "GET", "/hook", fields))[0].status == 403


async def test_xero_asks_whether_signatures_are_checked() -> None:
    body = b'{"events":[],"firstEventSequence":0}'
    response, host = await challenge("xero", "POST", "/hook", {"x-xero-signature": b64(body)}, body)
    assert (response.status, response.text, host.scopes) == (200, "", [])
    assert (await challenge("xero", "POST", "/hook", {"x-xero-signature": "AA=="}, body))[0].status == 401
    body = b'{"events":[{}]}'
    response, host = await challenge("xero", "POST", "/hook", {"x-xero-signature": b64(body)}, body)
    assert (response.text, len(host.scopes)) == ("host", 1)


async def test_zoom_asks_for_a_token() -> None:
    body = json.dumps(
        {"event": "endpoint.url_validation", "payload": {"plainToken": "qgg8vlvZRS6UYooatFL8Aw"}}
    ).encode()
    now = int(time.time())
    fields = {"x-zm-request-timestamp": str(now), "x-zm-signature": f"v0={hexed(f'v0:{now}:'.encode() + body)}"}
    response, _ = await challenge("zoom", "POST", "/hook", fields, body)
    expected = {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": hexed("qgg8vlvZRS6UYooatFL8Aw")}
    assert (response.status, response.json()) == (200, expected)
    assert (await challenge("zoom", "POST", "/hook", fields, body + b" "))[0].status == 403


class Certificates:
    """Where Amazon has them."""

    def __init__(self, status: int = 200, content: bytes = b"") -> None:
        self.asked: list[str] = []
        self._answer = httpx.Response(status, content=content or certificate())

    def gate(self) -> Gateway:
        def answer(sent: httpx.Request) -> httpx.Response:
            self.asked.append(str(sent.url))
            return self._answer

        policy = actions(("verify-webhook", {"provider": "sns"}), TELLS)
        return Gateway.from_policy(policy, secrets=secret_store(), transport=httpx.MockTransport(answer))


def fresh(**changes: Any) -> bytes:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps(sns(Timestamp=moment, **changes)).encode()


async def test_sns_is_checked_with_a_certificate_that_is_fetched_once() -> None:
    certificates = Certificates()
    gate = certificates.gate()
    for _ in range(3):
        assert (await request(gate.app, "POST", "/v1/files", body=fresh())).status == 200
    assert certificates.asked == ["https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123.pem"]


@pytest.mark.parametrize(("status", "content"), [(404, b""), (302, b""), (200, b"x" * 100_000), (200, b"nothing")])
async def test_without_its_certificate_nothing_is_verified(status: int, content: bytes) -> None:
    assert (await request(Certificates(status, content).gate().app, "POST", "/v1/files", body=fresh())).status == 403


GOOD: list[dict[str, Any]] = [
    {"provider": "github", "secret": "a-webhook-secret"},
    {"provider": "stripe", "secret": "${secrets.get('hooks', 'stripe')}", "enforce": False},
    {"provider": "sns"},
    {"provider": "twilio", "secret": "a-webhook-secret", "public_url": "https://hooks.example.com"},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `verify-webhook` needs `provider`"),
    ({"provider": "github"}, "{", "needs `secret`"),
    ({"provider": "github", "secret": ""}, "{", "needs `secret`"),
    ({"provider": "githubb", "secret": SECRET}, '"githubb"', "did you mean `github`"),
    ({"provider": "vmware_workspace", "secret": SECRET}, '"vmware_workspace"', "did you mean `vmware`"),
    ({"provider": "nobody-at-all", "secret": SECRET}, '"nobody-at-all"', "known are aftership"),
    ({"provider": "sns", "secret": SECRET}, "{", "takes no `secret`"),
    ({"provider": "github", "secret": "${nope}"}, "nope}", "unknown name `nope`"),
    (
        {"provider": "github", "secret": SECRET, "public_url": "hooks.example.com"},
        '"hooks.example.com"',
        "`public_url` must match `^(https?://[A-Za-z0-9.:\\[\\]-]+)?$`",
    ),
    (
        {"provider": "github", "secret": SECRET, "public_url": "https://x/path"},
        '"https://x/path"',
        "`public_url` must match `^(https?://[A-Za-z0-9.:\\[\\]-]+)?$`",
    ),
    ({"provider": "github", "secret": SECRET, "enforce": 1}, "1", "`enforce` must be true or false, not 1"),
    (
        {"provider": "github", "secret": SECRET, "sekret": 1},
        '"sekret"',
        "unknown field `sekret`; did you mean `secret`?",
    ),
    ({"provider": 5, "secret": SECRET}, "5", "`provider` must be text, not 5"),
    (
        {"provider": "${'github'}", "secret": SECRET},
        "\"${'github'}\"",
        "`provider`: `${'github'}` is no provider of webhooks that is known",
    ),
    ({"provider": "github", "secret": ["a"]}, "[", "`secret` must be text, not a list"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("verify-webhook", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("verify-webhook", config, at, says)


@pytest.mark.parametrize("provider", ["sns", "sendgrid"])
def test_without_cryptography_it_says_what_to_install(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    config = {"provider": provider} | ({} if provider == "sns" else {"secret": SECRET})
    (problem,) = problems_of(actions(("verify-webhook", config)))
    assert "pip install 'ai-gateway-mw[jwt]'" in problem.message


def test_the_schema_lists_the_providers() -> None:
    schema = json.dumps(policy_schema({"verify-webhook": VerifyWebhook.Config}))
    assert json.dumps(sorted(PROVIDERS)) in schema
