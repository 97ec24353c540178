from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ai_gateway_mw import Gateway, GatewayMiddleware
from ai_gateway_mw.jose import JWKS, KeySet, KeysUnavailable
from ai_gateway_mw.upstream.fetching import Fetched, Fetcher, FetchFailed, trusted_url
from tests.actions.configs import loads, refuses, shown
from tests.asgi import Response, request
from tests.gateways import Host, actions, problems_of, secret_store, shadow_log
from tests.issuers import (
    ISSUER,
    JWKS_URL,
    OTHER_RSA_KEY,
    RSA_KEY,
    KeyServer,
    b64,
    key_for,
    rsa_jwk,
    signed,
    token,
)

pytestmark = pytest.mark.anyio

HEADER = {"type": "jwt", "method": "header", "name": "Authorization", "prefix": "Bearer "}
TELLS = ("custom-response", {"body": "${actions.ngrok.jwt_validation}"})
Config = dict[str, Any]


def config(*tokens: Config, algorithms: Any = ("RS256",), urls: Any = (JWKS_URL,), **more: Any) -> Config:
    return {
        "issuer": {"allow_list": [{"value": ISSUER}]},
        "audience": {"allow_list": [{"value": "api"}, {"value": "other"}]},
        "http": {"tokens": list(tokens or (HEADER,))},
        "jws": {
            "allowed_algorithms": list(algorithms),
            "keys": {"sources": {"additional_jkus": list(urls)}},
        },
        **more,
    }


def gate(server: KeyServer, written: Config | None = None, **vaults: Any) -> Gateway:
    policy = actions(("jwt-validation", written or config()), TELLS)
    return Gateway.from_policy(policy, secrets=secret_store(vaults), transport=server.transport)


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def ask(text: str, written: Config | None = None, server: KeyServer | None = None) -> Response:
    return await request(gate(server or KeyServer(), written).app, path="/v1/models", headers=bearer(text))


def code(response: Response) -> tuple[int, str, str]:
    error = response.json()["error"]
    return response.status, error["code"], error["message"].partition(":")[0].removeprefix("ERR_NGROK_")


async def test_a_good_token_is_let_in_and_told() -> None:
    given = token({"scope": "chat"})
    response = await ask(given)
    assert response.status == 200
    (told,) = response.json()["tokens"]
    assert (told["verified"], told["location"], told["location_property"]) == (True, "header", "Authorization")
    assert told["header"] == {"alg": "RS256", "kid": "k1", "typ": "JWT"}
    assert (told["payload"]["sub"], told["payload"]["scope"]) == ("ada", "chat")
    assert told["signature"] == given.rpartition(".")[2]
    assert response.json()["error"] == {"code": "", "message": ""}


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
async def test_every_algorithm_that_may_be_allowed(algorithm: str) -> None:
    key, jwk = key_for(algorithm)
    written = config(algorithms=[algorithm])
    assert (await ask(token(algorithm=algorithm, key=key), written, KeyServer(jwk))).status == 200
    head, payload, made = token(algorithm=algorithm, key=key).split(".")
    bent = ("A" if made[10] != "A" else "B").join([made[:10], made[11:]])
    assert code(await ask(f"{head}.{payload}.{bent}", written, KeyServer(jwk)))[:2] == (401, "invalid_token")
    other = token({"sub": "eve"}, algorithm=algorithm, key=key).split(".")[1]
    assert (await ask(f"{head}.{other}.{made}", written, KeyServer(jwk))).status == 401


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


FORGED = [
    pytest.param(lambda: token(algorithm="none"), id="none"),
    pytest.param(lambda: token(algorithm="none").replace("none", "None"), id="None"),
    pytest.param(lambda: signed({"alg": "NONE", "kid": "k1"}, {"iss": ISSUER}, None, "none"), id="NONE"),
    pytest.param(lambda: token(algorithm="HS256", key=pem(RSA_KEY)), id="HMAC with the public key as PEM"),
    pytest.param(
        lambda: token(algorithm="HS256", key=json.dumps(rsa_jwk(RSA_KEY)).encode()), id="HMAC with the public JWK"
    ),
    pytest.param(lambda: token(key=OTHER_RSA_KEY), id="another key under the same id"),
    pytest.param(lambda: token(key=OTHER_RSA_KEY, kid=None), id="another key without an id"),
    pytest.param(lambda: token(kid="unknown"), id="a key id that nobody knows"),
    pytest.param(lambda: token(key=OTHER_RSA_KEY, jwk=rsa_jwk(OTHER_RSA_KEY)), id="its own key in its header"),
    pytest.param(lambda: token(key=OTHER_RSA_KEY, jku="https://evil.example/keys"), id="its own key set"),
    pytest.param(lambda: token(algorithm="RS512"), id="an algorithm that is not allowed"),
    pytest.param(lambda: token(algorithm="PS256"), id="another padding"),
    pytest.param(lambda: token().rpartition(".")[0] + ".", id="no signature"),
    pytest.param(lambda: token() + "=", id="padded"),
    pytest.param(lambda: token()[:-4], id="cut off"),
    pytest.param(lambda: token(crit=["b64"], b64=False), id="RFC 7797"),
    pytest.param(lambda: token(crit=["exp"]), id="crit"),
    pytest.param(lambda: token(crit=[]), id="empty crit"),
    pytest.param(lambda: token(kid=5), id="a key id that is a number"),
    pytest.param(lambda: "", id="empty"),
    pytest.param(lambda: "opaque", id="opaque"),
    pytest.param(lambda: "..", id="dots"),
    pytest.param(lambda: "a.b.c.d.e", id="encrypted"),
    pytest.param(lambda: signed('{"alg":"RS256","alg":"none"}', {"iss": ISSUER}, RSA_KEY, "RS256"), id="alg twice"),
    pytest.param(lambda: signed({"alg": "RS256"}, "[1]", RSA_KEY), id="claims are a list"),
    pytest.param(lambda: signed({"alg": "RS256"}, "[" * 5_000, RSA_KEY), id="nested"),
    pytest.param(lambda: signed({"alg": ["RS256"]}, {"iss": ISSUER}, RSA_KEY, "RS256"), id="alg is a list"),
    pytest.param(lambda: token({"pad": "x" * 20_000}), id="longer than 16 KiB"),
    pytest.param(lambda: token(x="y" * 6_000), id="a long header"),
]


@pytest.mark.parametrize("made", FORGED)
async def test_what_an_issuer_did_not_sign_is_refused(made: Callable[[], str]) -> None:
    response = await ask(made())
    assert code(response)[:2] == (401, "invalid_token")
    assert response.headers["www-authenticate"].startswith("Bearer")


class later(float):  # noqa: N801  (reads as what it is)
    """So many seconds from when a test runs."""


def now(claims: dict[str, Any]) -> dict[str, Any]:
    """The claims with their times, as the test runs: it was collected long before."""
    return {name: time.time() + value if isinstance(value, later) else value for name, value in claims.items()}


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"exp": later(-30)}, 200),
        ({"exp": later(-120)}, 401),
        ({"exp": None}, 401),
        ({"exp": "4102444800"}, 401),
        ({"exp": True}, 401),
        ({"exp": 10**400}, 401),
        ({"nbf": later(30)}, 200),
        ({"nbf": later(120)}, 401),
        ({"nbf": "soon"}, 401),
        ({"iat": later(120)}, 401),
        ({"iat": None}, 200),
        ({"aud": "other"}, 200),
        ({"aud": ["x", "api"]}, 200),
        ({"aud": "ap"}, 403),
        ({"aud": ["x"]}, 403),
        ({"aud": []}, 403),
        ({"aud": None}, 403),
        ({"aud": {"api": 1}}, 403),
        ({"aud": ["api", 5]}, 403),
        ({"iss": ISSUER.rstrip("/")}, 403),
        ({"iss": "https://evil.example/"}, 403),
        ({"iss": None}, 403),
        ({"iss": [ISSUER]}, 403),
    ],
)
async def test_what_the_claims_must_say(claims: dict[str, Any], status: int) -> None:
    response = await ask(token(now(claims)))
    assert response.status == status
    if status != 200:
        expected = (401, "invalid_token", "3401") if status == 401 else (403, "token_not_allowed", "3403")
        assert code(response) == expected


async def test_the_leeway_can_be_set() -> None:
    assert (await ask(token(now({"exp": later(-30)})), config(leeway="0s"))).status == 401
    assert (await ask(token(now({"exp": later(-120)})), config(leeway="5m"))).status == 200


async def test_without_an_audience_a_token_may_be_for_anybody() -> None:
    written = config()
    del written["audience"]
    assert (await ask(token({"aud": None}), written)).status == 200


@pytest.mark.parametrize(
    ("type_", "typ", "status"),
    [
        ("jwt", "JWT", 200),
        ("jwt", None, 200),
        ("jwt", "at+jwt", 200),
        ("jwt", "logout+jwt", 403),
        ("at+jwt", "at+jwt", 200),
        ("at+jwt", "application/AT+JWT", 200),
        ("at+jwt", "JWT", 403),
        ("at+jwt", None, 403),
        ("it+jwt", "it+jwt", 200),
        ("it+jwt", "at+jwt", 403),
        ("id_token", "JWT", 200),
        ("id_token", "at+jwt", 403),
        ("access_token", "at+jwt", 200),
        ("access_token", None, 200),
        ("access_token", "dpop+jwt", 403),
        ("plain", "anything", 200),
    ],
)
async def test_one_type_does_not_pass_for_another(type_: str, typ: str | None, status: int) -> None:
    assert (await ask(token(typ=typ), config(HEADER | {"type": type_}))).status == status


FIELD = {"type": "jwt", "method": "body", "name": "token"}
JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("method", "fields", "body", "expected"),
    [
        pytest.param("POST", JSON, lambda t: json.dumps({"token": t}), 200, id="JSON"),
        pytest.param("PATCH", JSON, lambda t: json.dumps({"TOKEN": t}), 200, id="another case"),
        pytest.param("PUT", FORM, lambda t: urlencode({"a": 1, "token": t}), 200, id="form"),
        pytest.param("POST", FORM, lambda t: urlencode([("token", t), ("token", t)]), 401, id="twice"),
        pytest.param("POST", JSON, lambda t: json.dumps({"token": t, "Token": t}), 401, id="in two cases"),
        pytest.param("POST", JSON, lambda t: json.dumps({"token": [t]}), 401, id="a list"),
        pytest.param("POST", JSON, lambda t: json.dumps({}), 401, id="not there"),
        pytest.param("POST", JSON, lambda t: "", 401, id="no body"),
        pytest.param("POST", JSON, lambda t: "{", 400, id="no JSON"),
        pytest.param("POST", {}, lambda t: json.dumps({"token": t}), 400, id="no content type"),
        pytest.param("POST", {"content-type": "text/plain"}, lambda t: t, 400, id="another content type"),
        pytest.param("DELETE", JSON, lambda t: json.dumps({"token": t}), 400, id="another method"),
        pytest.param(
            "POST",
            {"content-type": "multipart/form-data; boundary=x"},
            lambda t: f'--x\r\ncontent-disposition: form-data; name="token"\r\n\r\n{t}\r\n--x--\r\n',
            200,
            id="multipart",
        ),
    ],
)
async def test_a_token_in_the_body(method: str, fields: Any, body: Callable[[str], str], expected: int) -> None:
    app = gate(KeyServer(), config(FIELD)).app
    response = await request(app, method, "/v1/files", headers=fields, body=body(token()).encode())
    assert response.status == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], "3408"),
        ([("authorization", "")], "3408"),
        ([("authorization", "Token abc")], "3413"),
        ([("authorization", "Bearer abc")], "3416"),
        ([("authorization", token())], "3413"),
    ],
)
async def test_what_is_missing_is_named(headers: Any, expected: str) -> None:
    response = await request(gate(KeyServer()).app, path="/v1/models", headers=headers)
    assert code(response) == (401, "invalid_token", expected)


@pytest.mark.parametrize(
    ("method", "content_type", "body", "expected"),
    [
        ("POST", "application/json", b"{}", (401, "invalid_token", "3406")),
        ("POST", "application/json", b"{", (400, "invalid_request", "3411")),
        ("POST", "application/x-www-form-urlencoded", b"\xff", (400, "invalid_request", "3412")),
        ("POST", "multipart/form-data; boundary=x", b"-", (400, "invalid_request", "3412")),
        ("POST", "text/plain", b"x", (400, "invalid_request", "3414")),
        ("GET", "application/json", b"{}", (400, "invalid_request", "3415")),
    ],
)
async def test_a_body_without_a_token_says_why(
    method: str, content_type: str, body: bytes, expected: tuple[int, str, str]
) -> None:
    app = gate(KeyServer(), config(FIELD)).app
    response = await request(app, method, "/v1/files", headers={"content-type": content_type}, body=body)
    assert code(response) == expected


async def test_a_field_that_is_there_twice_is_no_token() -> None:
    written = config(HEADER | {"name": "x-token", "prefix": ""})
    fields = [("x-token", token()), ("x-token", token({"sub": "eve"}))]
    response = await request(gate(KeyServer(), written).app, path="/v1/models", headers=fields)
    assert code(response) == (401, "invalid_token", "3416")


async def test_all_of_several_tokens_must_be_good() -> None:
    written = config(HEADER, {"type": "id_token", "method": "header", "name": "x-id-token"})
    app = gate(KeyServer(), written).app
    both = bearer(token()) | {"x-id-token": token({"sub": "second"})}
    told = (await request(app, path="/v1/models", headers=both)).json()["tokens"]
    assert [each["payload"]["sub"] for each in told] == ["ada", "second"]
    assert (await request(app, path="/v1/models", headers=bearer(token()))).status == 401
    bad = both | {"x-id-token": token(key=OTHER_RSA_KEY)}
    assert (await request(app, path="/v1/models", headers=bad)).status == 401


async def test_what_is_not_enforced_is_told_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = shadow_log(caplog)
    response = await ask(token(key=OTHER_RSA_KEY), config(enforce=False))
    assert response.status == 200
    told = response.json()
    assert (told["tokens"][0]["verified"], told["error"]["code"]) == (False, "invalid_token")
    (record,) = log()
    assert (record["action"], record["reason"]) == ("jwt-validation", told["error"]["message"])


@pytest.mark.parametrize("forward", [True, False])
async def test_a_token_goes_on_unless_it_is_withheld(forward: bool) -> None:
    host = Host()
    policy = actions(("jwt-validation", config(forward_tokens=forward)))
    made = Gateway.from_policy(policy, secrets=secret_store(), transport=KeyServer().transport)
    given = bearer(token())
    await request(GatewayMiddleware(host, gateway=made, intercept="all"), path="/x", headers=given)
    assert host.field(b"authorization") == ([given["authorization"].encode()] if forward else [])


async def test_issuers_and_urls_may_come_from_secrets() -> None:
    written = config(urls=["${secrets.get('idp', 'keys')}"])
    written["issuer"] = {"allow_list": [{"value": "https://x.example/"}, {"value": "${secrets.get('idp', 'issuer')}"}]}
    server = KeyServer()
    app = gate(server, written, idp={"keys": JWKS_URL, "issuer": ISSUER}).app
    assert (await request(app, path="/v1/models", headers=bearer(token()))).status == 200
    app = gate(server, written, idp={"keys": "http://issuer.example.com/", "issuer": ISSUER}).app
    assert (await request(app, path="/v1/models", headers=bearer(token()))).status == 403


async def test_several_key_sets_are_tried_in_turn() -> None:
    second = "https://second.example.com/keys"
    server = KeyServer(rsa_jwk(OTHER_RSA_KEY, "k2"))
    server.publish(rsa_jwk(RSA_KEY), url=second)
    assert (await ask(token(), config(urls=[JWKS_URL, second]), server)).status == 200
    assert (await ask(token(), config(urls=["https://gone.example.com/", second]), server)).status == 200
    written = config(urls=["https://gone.example.com/", JWKS_URL])
    assert code(await ask(token(kid="k9"), written, server)) == (503, "token_keys_unavailable", "3422")


@pytest.mark.parametrize("kid", ["k1", None])
async def test_a_token_may_leave_its_key_unnamed_unless_it_must_not(kid: str | None) -> None:
    written = config()
    server = KeyServer(rsa_jwk(OTHER_RSA_KEY, "k0"), rsa_jwk(RSA_KEY))
    assert (await ask(token(kid=kid), written, server)).status == 200
    written["jws"]["keys"]["identification"] = {"token_claims": ["kid"]}
    assert (await ask(token(kid=kid), written, server)).status == (200 if kid else 401)


async def test_the_shape_of_the_reference_loads_too() -> None:
    written = config()
    sources = [{"additional_jkus": [JWKS_URL]}]
    written["jws"]["keys"] = [{"identification": [{"token_claims": ["kid"]}], "sources": sources}]
    assert (await ask(token(), written)).status == 200


UNUSABLE = [
    pytest.param({"kty": "oct", "k": b64(pem(RSA_KEY)), "kid": "k1"}, id="symmetric"),
    pytest.param(rsa_jwk(RSA_KEY, use="enc"), id="for encryption"),
    pytest.param(rsa_jwk(RSA_KEY, key_ops=["encrypt"]), id="for encryption by its operations"),
    pytest.param(rsa_jwk(RSA_KEY, alg="RS512"), id="for another algorithm"),
    pytest.param(rsa_jwk(rsa.generate_private_key(65537, 1024)), id="short"),
    pytest.param(rsa_jwk(RSA_KEY) | {"n": "!!"}, id="no number"),
    pytest.param(rsa_jwk(RSA_KEY) | {"n": 5}, id="a number in JSON"),
    pytest.param({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k1"}, id="not on its curve"),
    pytest.param({"kty": "nothing"}, id="another kind"),
    pytest.param("text", id="text"),
]


@pytest.mark.parametrize("jwk", UNUSABLE)
async def test_a_key_that_cannot_be_used_leaves_the_others(jwk: Any) -> None:
    assert (await ask(token(), server=KeyServer(jwk))).status == 401
    assert (await ask(token(), server=KeyServer(jwk, rsa_jwk(RSA_KEY)))).status == 200
    hmac = token(algorithm="HS256", key=pem(RSA_KEY))
    assert (await ask(hmac, server=KeyServer(jwk))).status == 401


async def test_keys_are_fetched_once() -> None:
    server = KeyServer()
    app = gate(server).app
    answers = await asyncio.gather(*(request(app, path="/v1/models", headers=bearer(token())) for _ in range(10)))
    assert [answer.status for answer in answers] == [200] * 10
    assert len(server.requests) == 1
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("no"),
        httpx.ReadTimeout("no"),
        httpx.Response(500),
        httpx.Response(302, headers={"location": "https://evil.example/"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json=[1]),
        httpx.Response(200, json={"keys": 5}),
        httpx.Response(200, json={"keys": [rsa_jwk(RSA_KEY)] * 101}),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(200, json={"keys": [rsa_jwk(RSA_KEY)], "pad": "x" * 300_000}),
        httpx.Response(200, json={"keys": [rsa_jwk(RSA_KEY)]}, headers={"content-encoding": "x-odd"}),
    ],
    ids=str,
)
async def test_without_keys_nobody_is_let_in(failure: Any) -> None:
    server = KeyServer()
    server.failure = failure
    response = await ask(token(), server=server)
    assert code(response) == (503, "token_keys_unavailable", "3422")
    assert response.headers["retry-after"] == "5"
    assert all(str(sent.url) == JWKS_URL for sent in server.requests)


class Issuer:
    """A key set that changes, under a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.document: Any = {"keys": [rsa_jwk(RSA_KEY, "k1")]}
        self.jwks = JWKS(JWKS_URL, self._fetch, clock=lambda: self.now)

    async def _fetch(self, url: str) -> Fetched:
        self.asked += 1
        await asyncio.sleep(0)
        if self.document is None:
            raise FetchFailed("issuer.example.com could not be asked")
        return Fetched("issuer.example.com", 200, json.dumps(self.document).encode())

    async def ids(self) -> list[str | None]:
        return [key.id for key in (await self.jwks.keys()).keys]


async def test_old_keys_are_fetched_anew() -> None:
    issuer = Issuer()
    assert await issuer.ids() == ["k1"]
    issuer.document = {"keys": [rsa_jwk(RSA_KEY, "k2")]}
    issuer.now = 899
    assert await issuer.ids() == ["k1"]
    issuer.now = 900
    assert await issuer.ids() == ["k2"]
    assert issuer.asked == 2


async def test_old_keys_stay_while_the_issuer_cannot_be_reached_but_not_for_ever() -> None:
    issuer = Issuer()
    await issuer.ids()
    issuer.document = None
    for issuer.now in (1_000, 5_000, 86_399):
        assert await issuer.ids() == ["k1"]
    issuer.now = 86_400
    with pytest.raises(KeysUnavailable):
        await issuer.ids()
    issuer.document = {"keys": [rsa_jwk(RSA_KEY, "k2")]}
    issuer.now = 86_440
    assert await issuer.ids() == ["k2"]


async def test_an_unknown_key_asks_again_but_not_often() -> None:
    issuer = Issuer()
    seen = await issuer.jwks.keys()
    assert await issuer.jwks.keys_again(seen) is seen
    assert issuer.asked == 1
    issuer.now = 31
    again = await issuer.jwks.keys_again(seen)
    assert (again is seen, issuer.asked) == (False, 2)
    assert await issuer.jwks.keys_again(seen) is again
    assert await issuer.jwks.keys_again(again) is again
    assert issuer.asked == 2


async def test_who_leaves_while_keys_are_fetched_takes_nobodys_away() -> None:
    issuer = Issuer()
    first = asyncio.create_task(issuer.ids())
    await asyncio.sleep(0)
    second = asyncio.create_task(issuer.ids())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ["k1"]
    assert issuer.asked == 1


def test_a_set_that_is_none_is_refused() -> None:
    for document in ({}, {"keys": {}}, {"keys": None}):
        with pytest.raises(ValueError, match="no set"):
            KeySet.of(document)


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("https://issuer.example.com/keys", True),
        ("http://127.0.0.1:8000/keys", True),
        ("http://[::1]/keys", True),
        ("http://localhost/keys", True),
        ("http://idp.internal/keys", True),
        ("http://issuer.example.com/keys", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://localhost.example.com/", False),
        ("http://notinternal/", False),
        ("http://10.0.0.1/", False),
        ("http://0x7f.1/", False),
        ("ftp://issuer.example.com/", False),
        ("file:///etc/passwd", False),
        ("https:///keys", False),
        ("https://<your-issuer>/keys", False),
        ("https://$ISSUER/keys", False),
        ("https://münchen.example.com/keys", True),
        ("https://user:pass@issuer.example.com/", False),
        ("https://issuer.example.com/#x", False),
        ("issuer.example.com/keys", False),
        ("https://issuer.example.com/" + "x" * 3_000, False),
        ("", False),
    ],
)
def test_which_urls_are_trusted(url: str, trusted: bool) -> None:
    if trusted:
        assert trusted_url(url) == url
    else:
        with pytest.raises(ValueError, match="must"):
            trusted_url(url)


async def test_a_server_that_never_ends_its_answer_is_given_up() -> None:
    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            while True:
                await asyncio.sleep(0.01)
                yield b" "

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
    with pytest.raises(FetchFailed, match="in time"):
        await Fetcher(lambda: transport, {}, seconds=0.1)(JWKS_URL)


GOOD: list[dict[str, Any]] = [
    {},
    {"audience": {"allow_list": [{"value": "api"}]}, "enforce": False},
    {"leeway": "0s"},
    {"algorithms": ["RS256", "ES384", "PS512", "EdDSA"]},
    {"urls": [f"https://issuer.example.com/{n}" for n in range(100)]},
    {"http": {"tokens": [HEADER, {"type": "id_token", "method": "body", "name": "token"}]}},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"issuer": {"allow_list": []}}, "[]", "`issuer.allow_list` must have 1 or more entries"),
    ({"issuer": {"allow_list": [{"value": "me"}]}}, '"me"', "an issuer is a URL"),
    (
        {"issuer": {"allow_list": [{"value": "https://<your-issuer>/"}]}},
        '"https://<your-issuer>/"',
        "an issuer is a URL",
    ),
    (
        {"issuer": {"allow_list": [{"value": ISSUER}, {"value": ISSUER}]}},
        "[",
        "`issuer.allow_list`: `https://issuer.example.com/` is given twice",
    ),
    ({"audience": {"allow_list": []}}, "[]", "`audience.allow_list` must have 1 or more entries"),
    ({"http": {"tokens": []}}, "[]", "`http.tokens` must have 1 or more entries"),
    ({"http": {"tokens": [HEADER, HEADER]}}, "[", "`http.tokens`: `header authorization` is given twice"),
    (
        {"http": {"tokens": [HEADER | {"method": "query"}]}},
        '"query"',
        "`http.tokens[0].method` must be `header` or `body`, not the text",
    ),
    (
        {"http": {"tokens": [HEADER | {"type": "saml"}]}},
        '"saml"',
        "`http.tokens[0].type` must be `jwt`, `at+jwt`, `it+jwt`, `id_token`,",
    ),
    ({"http": {"tokens": [HEADER | {"name": "no name"}]}}, '"no name"', "not a header field name"),
    ({"leeway": "1h"}, '"1h"', "`leeway` must be at most 10m, not the text `1h`"),
    ({"algorithms": ["none"]}, "[", "nobody signed"),
    ({"algorithms": ["HS256"]}, "[", "whoever reads it could sign"),
    ({"algorithms": ["RS255"]}, "[", "not one of RS256"),
    ({"algorithms": ["RS256", "RS256"]}, "[", "`jws.allowed_algorithms`: `RS256` is given twice"),
    ({"algorithms": []}, "[]", "`jws.allowed_algorithms` must have 1 or more entries"),
    ({"urls": []}, "[]", "`jws.keys.sources.additional_jkus` must have 1 or more entries"),
    ({"urls": [JWKS_URL, JWKS_URL]}, "[", "`jws.keys.sources.additional_jkus`:"),
    (
        {"urls": ["http://issuer.example.com/"]},
        '"http://issuer.example.com/"',
        "a URL of keys must start with https:// (http:// only for this machine",
    ),
    ({"urls": ["not a url"]}, '"not a url"', "must be a URL"),
    ({"urls": ["https://${req.headers['x'][0]}/keys"]}, "\"https://${req.headers['", "must not depend on the request"),
    ({"urls": ["https://x/${nope}"]}, "nope}", "unknown name `nope`"),
    (
        {"urls": [f"https://issuer.example.com/{n}" for n in range(101)]},
        "[",
        "`jws.keys.sources.additional_jkus` must have 100 or fewer entries",
    ),
    ({"isuer": 1}, '"isuer"', "unknown field `isuer`; did you mean `issuer`?"),
    ({"leeway": 60}, "60", "`leeway` must be a duration with its unit, such as `30s`, `1m30s` or"),
    (
        {"audience": {"allow_list": [{"value": ["api"]}]}},
        "[",
        "`audience.allow_list[0].value` must be text, not a list",
    ),
    ({"http": {"tokens": [HEADER | {"prefix": ["Bearer "]}]}}, "[", "`http.tokens[0].prefix` must be text, not a list"),
    ({"enforce": "no"}, '"no"', "`enforce` must be true or false, not the text `no`"),
]


@pytest.mark.parametrize("change", GOOD, ids=shown)
def test_configs_that_load(change: dict[str, Any]) -> None:
    loads("jwt-validation", config(**change))


@pytest.mark.parametrize(("change", "at", "says"), BAD)
def test_configs_that_are_refused(change: dict[str, Any], at: str, says: str) -> None:
    refuses("jwt-validation", config(**change), at, says)


def test_without_joserfc_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import ai_gateway_mw

    monkeypatch.setitem(sys.modules, "joserfc", None)
    for name in [name for name in sys.modules if name.startswith(("joserfc.", "ai_gateway_mw.jose"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(ai_gateway_mw, "jose", raising=False)
    (problem,) = problems_of(actions(("jwt-validation", config())))
    assert "pip install 'ai-gateway-mw[jwt]'" in problem.message
