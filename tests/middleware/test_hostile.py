"""Requests put together at random from what parsers stumble over: whatever a client sends, it gets an answer of 4xx."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.asgi import Exchange
from tests.gateways import KEY, OTHER_KEY, Host, Provider, gateway

pytestmark = pytest.mark.anyio

POLICY = """\
on_tcp_connect:
  - expressions: ["conn.client_ip == '6.6.6.6'"]
    actions: [{type: deny}]
on_http_request:
  - actions:
      - type: log
        config:
          metadata:
            fields: ["${req.headers}", "${req.cookies}", "${req.content_type.parameters}"]
            target: ["${req.url}", "${req.url.query_params}", "${req.url.raw}"]
            body: ${req.body}
      - type: restrict-ips
        config: {enforce: false, allow: [10.0.0.0/8]}
  - expressions: ["req.method == 'POST'", "has(req.body.x)", "req.body.x == 1"]
    actions:
      - type: custom-response
        config: {body: "${req.body}", headers: {x-query: "${req.url.query}"}}
  - expressions: ["hasQueryParam('a')", "getQueryParam('a')[0].size() > 3"]
    actions:
      - type: add-headers
        config: {headers: {x-a: "${getQueryParam('a')[0]}"}}
  - expressions: ["!req.url.path.startsWith('/v1/m')"]
    actions:
      - type: gateway-auth
        config: {required: false, on_error: continue, keys: [{name: team, value: the-key}]}
  - actions:
      - type: ai-gateway
        config: {providers: [{id: openai, api_keys: [{value: sk-operator}]}]}
on_http_response:
  - actions:
      - type: add-headers
        config: {headers: {x-uri: "${req.url.uri}", x-model: "${has(req.body.model) ? req.body.model : ''}"}}
""".replace("the-key", KEY)
METHODS = ["GET", "POST", "POST", "POST", "HEAD", "DELETE", "PUT", "OPTIONS", "post", "X"]
PATHS = ["/v1/chat/completions", "/v1/messages", "/v1/models", "/v1/models/x", "/v1/files", "/v1/audio/transcriptions"]
PATHS += ["/v1beta/models/gemini-2.5-flash:generateContent", "/v1/responses", "/healthz", "/ip", "/readyz", "/orders"]
PIECES = [
    "/",
    "//",
    "..",
    "%2f",
    "%00",
    "%0d%0a",
    ";",
    "\\",
    "é",
    "%ff",
    "%ed%a0%80",
    "?",
    "&",
    "=",
    "a",
    "v1",
    ":",
    " ",
]
PIECES += ["+", "#", "%", "%zz", "[", "\x7f", "key=1", "a=%0d%0ax", "a=%f0%9f%98%80zz", "a=aaaa%01"]
NAMES = [
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "content-type",
    "content-encoding",
    "x-forwarded-for",
    "forwarded",
]
NAMES += ["cookie", "host", "content-length", "connection", "user-agent", "accept", "\xff"]
VALUES = ["Bearer sk-x", f"Bearer {OTHER_KEY}", "Bearer gw_sk_", "", "\xff", "multipart/form-data; boundary=B", "gzip"]
VALUES += [
    "application/json",
    "1.2.3.4",
    "junk",
    "a=b;;=;x",
    'text/plain; charset="',
    "\x01",
    "1" * 50,
    "[::1]:x",
    "-5",
    "²",
]
MEMBERS = [
    "model",
    "models",
    "stream",
    "x",
    "messages",
    "max_tokens",
    "n",
    "Model",
    "input",
    "generationConfig",
    "\ud800",
]
JSON = [
    None,
    True,
    1,
    1.5,
    10**30,
    1e400,
    "gpt-4o",
    "é",
    "\ud800",
    "\U0001f600",
    "",
    [],
    {},
    ["gpt-4o"],
    "openai:x",
    "a\r\nb",
    "\0",
]
FIELDS = [b"model", b"file", b"x", b'a"b', b"\xff"]
TEXTS = [b"gpt-4o", b"\xff\x00", b"whisper-1", b""]
CLIENTS = [("127.0.0.1", 1), ("10.0.0.1", 5), None, ("testclient", 1), ("::1", None), ["1.2.3.4", 5]]


def path(chance: random.Random) -> str:
    text = chance.choice(PATHS)
    if chance.random() < 0.4:
        text += "".join(chance.choices(PIECES, k=chance.randint(0, 4)))
    if chance.random() < 0.3:
        text += "?" + "".join(chance.choices(PIECES, k=chance.randint(0, 6)))
    return text


def body(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.1:
        return b""
    if kind < 0.2:
        return chance.randbytes(chance.randint(0, 50))
    if kind < 0.4:
        head = b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        parts = [head % (chance.choice(FIELDS), chance.choice(TEXTS)) for _ in range(chance.randint(0, 3))]
        raw = b"".join(parts) + b"--B--"
    else:
        raw = json.dumps({chance.choice(MEMBERS): chance.choice(JSON) for _ in range(chance.randint(0, 5))}).encode()
    if chance.random() < 0.2:
        at = chance.randrange(len(raw))
        raw = raw[:at] + chance.randbytes(1) + raw[at + 1 :]
    return raw


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture(scope="module", params=["stand-alone", "around an app"])
def app(request: pytest.FixtureRequest, provider: Provider) -> Any:
    gate = gateway(POLICY, provider=provider, trusted_proxies="10.0.0.0/8")
    return gate.app if request.param == "stand-alone" else GatewayMiddleware(Host(), gateway=gate, intercept="all")


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_a_client_sends_it_gets_an_answer(app: Any, provider: Provider, seed: int) -> None:
    chance = random.Random(seed)
    for number in range(400):
        method, target = chance.choice(METHODS), path(chance)
        fields = [(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(chance.randint(0, 5))]
        sent = {
            "method": method,
            "path": target,
            "headers": fields,
            "body": body(chance),
            "client": chance.choice(CLIENTS),
        }
        try:
            async with Exchange(app, **sent) as ex:  # type: ignore[arg-type]
                start = await ex.start()
                await ex.rest()
        except Exception as error:
            raise AssertionError(f"request {number} of seed {seed}: {sent}") from error
        assert start.status < 500, sent
        assert start.headers["x-request-id"].startswith("req_"), sent
    assert not [sent for sent in provider.requests if OTHER_KEY in str(sent.headers.get("authorization"))]
