"""Every action in the policy of one `ai-gateway run`, asked over the network: what comes back, or comes through.

Each action has a path of its own; what no rule has answered goes to a service that tells what it was sent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ai_gateway_mw import Gateway
from ai_gateway_mw.actions import ACTIONS
from tests.fake_upstream import ThreadedUpstream
from tests.gateways import CHAT, CHAT_PATH, KEY, actions, bearer, secret_store
from tests.issuers import ISSUER, OTHER_RSA_KEY, RSA_KEY, rsa_jwk, token
from tests.openid_provider import CLIENT_ID, CLIENT_SECRET, OpenIDProvider
from tests.servers import GatewayProcess, serving
from tests.webhook_signing import SIGNERS

pytestmark = pytest.mark.subprocess

EVENTS = b"id: 1\ndata: call 555-1234\n\ndata: [DONE]\n\n"
POLICY = """\
on_http_request:
  - expressions: [req.url.path == '/v1/files/add-headers']
    actions: [{type: add-headers, config: {headers: {x-method: "${req.method}", x-there: again}}}]
  - expressions: [req.url.path == '/v1/files/basic-auth']
    actions: [{type: basic-auth, config: {realm: ours, credentials: ["ada:${secrets.get('ada', 'password')}"]}}]
  - expressions: [req.url.path == '/v1/files/circuit-breaker']
    actions: [{type: circuit-breaker, config: {error_threshold: 1, volume_threshold: 2, tripped_duration: 2m}}]
  - expressions: [req.url.path == '/v1/files/close-connection']
    actions: [{type: close-connection}]
  - expressions: [req.url.path == '/v1/files/custom-response']
    actions:
      - type: custom-response
        config: {status_code: 418, headers: {x-a: "${req.method}"}, body: '{"path": "${req.url.path}"}'}
  - expressions: [req.url.path == '/v1/files/deny']
    actions: [{type: deny, config: {status_code: 451}}]
  - expressions: [req.url.path == '/v1/files/gateway-auth']
    actions:
      - {type: gateway-auth, config: {keys: [{name: team, value: "${secrets.get('gateway', 'team')}"}]}}
      - {type: custom-response, config: {body: "${actions.gateway_auth.key.name}"}}
  - expressions: [req.url.path == '/v1/files/http-request']
    actions:
      - type: http-request
        config: {url: "$SERVICE/tier", query_params: [{key: user, value: "${req.headers['x-user'][0]}"}]}
      - {type: custom-response, config: {body: "${json.decode(actions.ngrok.http_request.res.body).query}"}}
  - expressions: [req.url.path == '/v1/files/jwt-validation']
    actions:
      - type: jwt-validation
        config:
          issuer: {allow_list: [{value: "$ISSUER"}]}
          audience: {allow_list: [{value: api}]}
          http: {tokens: [{type: jwt, method: header, name: authorization, prefix: "Bearer "}]}
          jws: {allowed_algorithms: [RS256], keys: {sources: {additional_jkus: ["$SERVICE/jwks"]}}}
      - {type: custom-response, config: {body: "${actions.ngrok.jwt_validation.tokens[0].payload.sub}"}}
  - expressions: [req.url.path == '/v1/files/log']
    actions: [{type: log, config: {metadata: {team: "${req.headers['x-team'][0]}"}}}]
  - expressions: [req.url.path == '/v1/files/openid-connect' || req.url.path == '/ngrok/callback']
    actions:
      - type: openid-connect
        config: {issuer_url: "$ISSUING", client_id: "$CLIENT", client_secret: "${secrets.get('idp', 'secret')}"}
      - {type: custom-response, config: {body: "${actions.ngrok.oidc.identity.email}"}}
  - expressions: [req.url.path == '/v1/files/rate-limit']
    actions:
      - type: rate-limit
        config:
          {name: few, algorithm: sliding_window, capacity: 2, rate: 60s, bucket_key: ["getReqHeader('x-team')"]}
  - expressions: [req.url.path == '/v1/files/redact']
    actions: [{type: redact, config: {presets: [email]}}]
  - expressions: [req.url.path == '/v1/files/redirect']
    actions: [{type: redirect, config: {from: /v1/files/redirect, to: /v1/files/elsewhere, status_code: 308}}]
  - expressions: [req.url.path == '/v1/files/remove-headers']
    actions: [{type: remove-headers, config: {headers: [x-there]}}]
  - expressions: [req.url.path == '/v1/files/request-body-find-replace']
    actions: [{type: request-body-find-replace, config: {replacements: [{from: "secret-(\\\\d+)", to: "hidden-$1"}]}}]
  - expressions: [req.url.path == '/v1/files/restrict-ips']
    actions: [{type: restrict-ips, config: {allow: [192.0.2.0/24]}}]
  - expressions: [req.url.path == '/v1/files/set-vars']
    actions: [{type: set-vars, config: {vars: [{one: "${1 + 1}"}, {two: "${vars.one * 2}"}]}}]
  - expressions: [req.url.path == '/v1/files/set-vars', vars.two == 4]
    actions: [{type: custom-response, config: {body: "${vars.one} and ${vars.two}"}}]
  - expressions: [req.url.path == '/v1/files/url-rewrite']
    actions: [{type: url-rewrite, config: {from: /v1/files/url-rewrite, to: "/v1/files/rewritten"}}]
  - expressions: [req.url.path == '/v1/files/verify-webhook']
    actions: [{type: verify-webhook, config: {provider: github, secret: "${secrets.get('hooks', 'github')}"}}]
  - expressions: [req.url.path == '/v1/chat/completions']
    actions:
      - type: ai-gateway
        config:
          providers: [{id: openai, base_url: "$UPSTREAM/v1", api_keys: [{value: "${secrets.get('openai', 'key')}"}]}]
  - actions: [{type: forward-internal, config: {url: "http://service.internal"}}]
on_http_response:
  - expressions: [req.url.path == '/v1/files/compress-response']
    actions: [{type: compress-response, config: {algorithms: [gzip]}}]
  - expressions: [req.url.path == '/v1/files/response-body-find-replace']
    actions: [{type: response-body-find-replace, config: {replacements: [{from: POST, to: "${res.status_code}"}]}}]
on_event_stream_message:
  - expressions: [req.url.path == '/v1/files/sse-find-replace']
    actions: [{type: sse-find-replace, config: {replacements: [{from: "[0-9]{3}-[0-9]{4}", to: "[phone]"}]}}]
"""


async def told(request: Request) -> Response:
    """What the service was sent."""
    if request.url.path == "/v1/files/sse-find-replace":
        return Response(EVENTS, media_type="text/event-stream")
    sent: dict[str, Any] = {
        "method": request.method,
        "path": request.url.path,
        "query": dict(request.query_params),
        "headers": request.headers.items(),
        "body": (await request.body()).decode(),
    }
    return JSONResponse(sent, 500 if request.url.path == "/v1/files/circuit-breaker" else 200)


async def jwks(request: Request) -> Response:
    return JSONResponse({"keys": [rsa_jwk(RSA_KEY)]})


@dataclass
class Site:
    """The gateway, the provider behind it, and a client."""

    gateway: GatewayProcess
    upstream: ThreadedUpstream
    client: httpx.Client

    def ask(self, kind: str, method: str = "GET", **options: Any) -> httpx.Response:
        return self.client.request(method, f"/v1/files/{kind}", **options)


def fields(answer: httpx.Response, name: str) -> list[str]:
    """The values of a field that the service was sent."""
    return [value for key, value in answer.json()["headers"] if key == name]


def failure(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("gateway")
    provider = OpenIDProvider()
    service = Starlette(routes=[Route("/jwks", jwks), Route("/{path:path}", told, methods=["GET", "POST"])])
    environment = {
        "AI_GATEWAY_SECRET__ADA__PASSWORD": "correct-horse",
        "AI_GATEWAY_SECRET__GATEWAY__TEAM": KEY,
        "AI_GATEWAY_SECRET__HOOKS__GITHUB": SIGNERS["github"](0).secret,
        "AI_GATEWAY_SECRET__IDP__SECRET": CLIENT_SECRET,
        "AI_GATEWAY_SECRET__OPENAI__KEY": "sk-ok",
        "AI_GATEWAY_DATA_DIR": str(directory / "data"),
    }
    with ThreadedUpstream() as upstream, serving(provider.app) as issuing, serving(service) as url:
        provider.issuer = issuing
        policy = _written(
            directory, SERVICE=url, ISSUER=ISSUER, ISSUING=issuing, CLIENT=CLIENT_ID, UPSTREAM=upstream.url
        )
        environment["AI_GATEWAY_INTERNAL"] = f"service={url}"
        with (
            GatewayProcess("run", policy, environment=environment, directory=directory) as gateway,
            httpx.Client(base_url=gateway.url, trust_env=False) as client,
        ):
            yield Site(gateway, upstream, client)


def _written(directory: Path, **values: str) -> Path:
    text = POLICY
    for name, value in values.items():
        text = re.sub(rf"\${name}\b", value, text)
    file = directory / "policy.yaml"
    file.write_text(text)
    return file


def test_add_headers(site: Site) -> None:
    answer = site.ask("add-headers", headers={"x-there": "first"})
    assert (fields(answer, "x-method"), fields(answer, "x-there")) == (["GET"], ["first", "again"])


def test_ai_gateway(site: Site) -> None:
    answer = site.client.post(CHAT_PATH, json=CHAT)
    assert (answer.status_code, answer.headers["x-gateway-provider"]) == (200, "openai")
    assert answer.json()["choices"][0]["message"]["role"] == "assistant"
    assert site.upstream.keys == ["sk-ok"]


def test_basic_auth(site: Site) -> None:
    stranger = site.ask("basic-auth")
    assert (stranger.status_code, stranger.headers["www-authenticate"]) == (401, 'Basic realm="ours", charset="UTF-8"')
    assert site.ask("basic-auth", auth=("ada", "wrong-horse")).status_code == 401
    assert site.ask("basic-auth", auth=("ada", "correct-horse")).json()["path"] == "/v1/files/basic-auth"


def test_circuit_breaker(site: Site) -> None:
    statuses = [site.ask("circuit-breaker").status_code for _ in range(3)]
    assert statuses == [500, 500, 503]
    assert failure(site.ask("circuit-breaker")) == (503, "circuit_open")


def test_close_connection(site: Site) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        site.ask("close-connection")


def test_compress_response(site: Site) -> None:
    answer = site.ask("compress-response", "POST", content="x" * 5_000, headers={"accept-encoding": "gzip"})
    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "accept-encoding")
    assert answer.json()["body"] == "x" * 5_000
    assert answer.num_bytes_downloaded < 1_000
    assert "content-encoding" not in site.ask("compress-response", headers={"accept-encoding": "identity"}).headers


def test_custom_response(site: Site) -> None:
    answer = site.ask("custom-response")
    assert (answer.status_code, answer.headers["x-a"], answer.headers["content-type"]) == (
        418,
        "GET",
        "application/json",
    )
    assert answer.content == b'{"path": "/v1/files/custom-response"}'


def test_deny(site: Site) -> None:
    answer = site.ask("deny")
    assert (answer.status_code, answer.content) == (451, b"")


def test_forward_internal(site: Site) -> None:
    answer = site.ask("forward-internal?a=1", "POST", content="hello", headers={"host": "public.test"})
    sent = answer.json()
    assert (sent["method"], sent["path"], sent["query"], sent["body"]) == (
        "POST", "/v1/files/forward-internal", {"a": "1"}, "hello",
    )  # fmt: skip
    assert (fields(answer, "host"), fields(answer, "x-forwarded-for")) == (["public.test"], ["127.0.0.1"])


def test_gateway_auth(site: Site) -> None:
    assert failure(site.ask("gateway-auth")) == (401, "invalid_api_key")
    assert site.ask("gateway-auth", headers=bearer(KEY)).text == "team"


def test_http_request(site: Site) -> None:
    assert site.ask("http-request", headers={"x-user": "ada & co"}).json() == {"user": "ada & co"}


def test_jwt_validation(site: Site) -> None:
    assert site.ask("jwt-validation", headers=bearer(token())).text == "ada"
    assert site.ask("jwt-validation", headers=bearer(token(key=OTHER_RSA_KEY))).status_code == 401
    assert site.ask("jwt-validation").status_code == 401


def test_log(site: Site) -> None:
    assert site.ask("log", headers={"x-team": "blue-team-7"}).status_code == 200
    assert site.gateway.printed(r'"team": ?"blue-team-7"')


def test_oauth(tmp_path: Path) -> None:
    """Its providers are out there: of them, only where people are sent can be seen from here."""
    config = {"provider": "github", "client_id": "ours", "client_secret": CLIENT_SECRET}
    gateway = Gateway.from_policy(actions(("oauth", config)), secrets=secret_store(), data_dir=tmp_path)
    with serving(gateway.app) as url, httpx.Client(trust_env=False, headers={"accept": "text/html"}) as browser:
        answer = browser.get(f"{url}/v1/files/oauth")
        assert answer.status_code == 302
        to = httpx.URL(answer.headers["location"])
        assert (to.host, to.path, to.params["client_id"]) == ("github.com", "/login/oauth/authorize", "ours")
        assert to.params["redirect_uri"] == f"{url}/ngrok/callback"
        assert failure(browser.post(f"{url}/v1/files/oauth")) == (401, "login_required")


def test_openid_connect(site: Site) -> None:
    with httpx.Client(trust_env=False, headers={"accept": "text/html"}, follow_redirects=True) as browser:
        answer = browser.get(f"{site.gateway.url}/v1/files/openid-connect")
        assert (answer.text, answer.url.path, len(answer.history)) == ("ada@example.com", "/v1/files/openid-connect", 3)
    assert failure(site.ask("openid-connect", headers={"accept": "application/json"})) == (401, "login_required")


def test_rate_limit(site: Site) -> None:
    blue = [site.ask("rate-limit", headers={"x-team": "blue"}) for _ in range(3)]
    assert [answer.status_code for answer in blue] == [200, 200, 429]
    assert 1 <= int(blue[-1].headers["retry-after"]) <= 61
    assert site.ask("rate-limit", headers={"x-team": "red"}).status_code == 200


def test_redact(site: Site) -> None:
    body = {**CHAT, "messages": [{"role": "user", "content": "I am ada@example.com"}]}
    assert '"I am [email]"' in site.ask("redact", "POST", json=body).json()["body"]


def test_redirect(site: Site) -> None:
    answer = site.ask("redirect?a=1")
    assert (answer.status_code, answer.headers["location"]) == (308, f"{site.gateway.url}/v1/files/elsewhere?a=1")


def test_remove_headers(site: Site) -> None:
    answer = site.ask("remove-headers", headers={"x-there": "1", "x-too": "2"})
    assert (fields(answer, "x-there"), fields(answer, "x-too")) == ([], ["2"])


def test_request_body_find_replace(site: Site) -> None:
    answer = site.ask(
        "request-body-find-replace", "POST", content="a secret-12, 34", headers={"content-type": "text/plain"}
    )
    assert answer.json()["body"] == "a hidden-12, 34"
    assert fields(answer, "content-length") == ["15"]


def test_response_body_find_replace(site: Site) -> None:
    answer = site.ask("response-body-find-replace", "POST")
    assert answer.json()["method"] == "200"
    assert answer.headers["content-length"] == str(len(answer.content))


def test_restrict_ips(site: Site) -> None:
    assert failure(site.ask("restrict-ips")) == (403, "ip_not_allowed")


def test_set_vars(site: Site) -> None:
    assert site.ask("set-vars").text == "2 and 4"


def test_sse_find_replace(site: Site) -> None:
    answer = site.ask("sse-find-replace")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content == EVENTS.replace(b"555-1234", b"[phone]")


def test_url_rewrite(site: Site) -> None:
    sent = site.ask("url-rewrite?a=1").json()
    assert (sent["path"], sent["query"]) == ("/v1/files/rewritten", {"a": "1"})


def test_verify_webhook(site: Site) -> None:
    sent = SIGNERS["github"](int(time.time()))
    answer = site.ask("verify-webhook", "POST", content=sent.body, headers=dict(sent.fields))
    assert answer.json()["body"] == sent.body.decode()
    forged = site.ask("verify-webhook", "POST", content=sent.body + b" ", headers=dict(sent.fields))
    assert failure(forged) == (403, "webhook_not_verified")


def test_no_action_is_left_out() -> None:
    assert [kind for kind in ACTIONS if f"test_{kind.replace('-', '_')}" not in globals()] == []
    rules = [rule for phase in yaml.safe_load(POLICY).values() for rule in phase]
    assert {action["type"] for rule in rules for action in rule["actions"]} == ACTIONS.keys() - {"oauth"}
