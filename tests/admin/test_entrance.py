from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import argon2
import pytest

from ai_gateway_mw.admin.entrance import Entrance
from ai_gateway_mw.admin.operations import ADMIN
from ai_gateway_mw.admin.refusals import Refusal
from ai_gateway_mw.admin.tokens import HashedToken, PlainToken, TokenUnusable, token_of
from ai_gateway_mw.context import Context
from ai_gateway_mw.secrets import Secret
from tests.admin.conftest import POLICY, TOKEN, Plane
from tests.asgi import WebSocket, http_scope, request
from tests.gateways import KEY, bearer, gateway

pytestmark = pytest.mark.anyio

HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(TOKEN)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def _never() -> Any:
    raise AssertionError


def context(token: str, client: str = "192.0.2.1") -> Context:
    return Context(http_scope(headers=bearer(token), client=(client, 1)), _never)


async def tried(entrance: Entrance, token: str, client: str = "192.0.2.1") -> int:
    try:
        assert await entrance.admitted(context(token, client)) is ADMIN
    except Refusal as refusal:
        return refusal.status
    return 200


# What opens it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", f"Bearer {TOKEN}")],
        [("authorization", f"bearer {TOKEN}")],
        [("Authorization", f"BEARER  {TOKEN} ")],
    ],
    ids=str,
)
async def test_the_token_opens_it(plane: Plane, headers: Any) -> None:
    assert (await request(plane.app, path="/admin/api/v1/keys", headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", TOKEN)],
        [("authorization", f"Basic {TOKEN}")],
        [("authorization", f"Token {TOKEN}")],
        [("authorization", f"Bearer {TOKEN[:-1]}")],
        [("authorization", f"Bearer {TOKEN}x")],
        [("authorization", f"Bearer {TOKEN.upper()}")],
        [("authorization", f"Bearer {TOKEN},{TOKEN}")],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")],
        [("authorization", "Bearer x"), ("authorization", f"Bearer {TOKEN}")],
        [("authorization", f"Bearer {KEY}")],
        [("authorization", "Bearer " + "x" * 5000)],
        [("authorization", "Bearer \xff\xfe")],
        [("x-api-key", TOKEN)],
        [("api-key", TOKEN)],
        [("proxy-authorization", f"Bearer {TOKEN}")],
        [("cookie", f"token={TOKEN}; authorization=Bearer {TOKEN}")],
        [("x-forwarded-for", "127.0.0.1")],
    ],
    ids=lambda headers: str(headers)[:60],
)
async def test_nothing_else_does_and_every_refusal_is_the_same(plane: Plane, headers: Any) -> None:
    for path in ("/keys", "/openapi.json", "/nothing", f"/keys?token={TOKEN}&access_token={TOKEN}"):
        response = await request(plane.app, path="/admin/api/v1" + path, headers=headers)
        error = response.json()["error"]
        assert (response.status, error["code"]) == (401, "unauthenticated")
        assert error["message"] == "A valid admin token is needed."
        assert response.headers["www-authenticate"] == "Bearer"
        assert set(response.headers) == {
            *("content-type", "content-length", "www-authenticate"),
            *("cache-control", "x-content-type-options", "x-request-id"),
        }


async def test_a_gateway_key_never_opens_it(plane: Plane) -> None:
    text = (await plane.key(scopes=["full"]))["text"]
    assert await plane.serves(text)
    assert (await plane.refusal("GET", "/keys", token=text))[0] == 401


async def test_the_token_is_no_gateway_key(plane: Plane) -> None:
    assert not await plane.serves(TOKEN)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "PUT", "TRACE", "PROPFIND"])
async def test_no_method_goes_around_it(plane: Plane, method: str) -> None:
    response = await plane(method, "/keys", token=None, headers={"origin": "https://evil.test"})
    assert response.status == 401
    assert "access-control-allow-origin" not in response.headers


async def test_a_websocket_is_closed(plane: Plane) -> None:
    async with WebSocket(plane.gateway.admin_app, "/api/v1/keys", headers=bearer(TOKEN)) as socket:
        assert (await socket.message())["type"] == "websocket.close"


# How often one may try --------------------------------------------------------------------------------------------


async def test_twenty_wrong_tokens_a_minute_and_no_more_even_with_the_right_one() -> None:
    clock = Clock()
    entrance = Entrance(PlainToken(TOKEN), clock=clock)
    assert [await tried(entrance, "wrong") for _ in range(21)] == [401] * 20 + [429]
    clock.now = 30.0
    with pytest.raises(Refusal) as refused:
        await entrance.admitted(context(TOKEN))
    assert refused.value.fields == ((b"retry-after", b"30"),)
    assert await tried(entrance, TOKEN, "192.0.2.2") == 200
    clock.now = 61.0
    assert await tried(entrance, TOKEN) == 200


async def test_good_tokens_do_not_count() -> None:
    entrance = Entrance(PlainToken(TOKEN))
    assert {await tried(entrance, TOKEN) for _ in range(50)} == {200}
    assert await tried(entrance, "wrong") == 401


async def test_addresses_of_one_ipv6_network_count_together() -> None:
    entrance = Entrance(PlainToken(TOKEN))
    found = [await tried(entrance, "wrong", f"2001:db8:0:1::{number:x}") for number in range(25)]
    assert found == [401] * 20 + [429] * 5
    assert await tried(entrance, "wrong", "2001:db8:0:2::1") == 401


async def test_the_address_is_the_one_that_a_trusted_proxy_tells(tmp_path: Path) -> None:
    gate = gateway(POLICY, data_dir=tmp_path, admin_token=TOKEN, trusted_proxies="127.0.0.1/32")
    async with gate.lifespan():
        plane = Plane(gate)

        async def status(token: str, address: str) -> int:
            return (await plane("GET", "/health", token=token, headers={"x-forwarded-for": address})).status

        assert [await status("wrong", "192.0.2.1") for _ in range(21)][-1] == 429
        assert await status(TOKEN, "192.0.2.2") == 200
        assert await status(TOKEN, "junk") == 403


# What is written of it --------------------------------------------------------------------------------------------


async def events(plane: Plane) -> list[tuple[str, str, str]]:
    return [(entry.event, entry.actor, entry.address) for entry in await plane.services.audit.latest()]


async def test_the_audit_log_has_refusals_once_and_logins_once(plane: Plane) -> None:
    for _ in range(3):
        await plane("GET", "/keys", token="wrong")
        await plane("GET", "/keys")
    await plane("GET", "/keys", client=("192.0.2.7", 1))
    assert await events(plane) == [
        ("admin.login", "admin", "192.0.2.7"),
        ("admin.login", "admin", "127.0.0.1"),
        ("admin.refused", "unknown", "127.0.0.1"),
    ]


def test_they_are_news_again_after_a_while_and_refusals_are_bounded() -> None:
    clock = Clock()
    entrance = Entrance(PlainToken(TOKEN), clock=clock)
    ctx = context(TOKEN)
    assert [entrance.is_news(ctx), entrance.is_news(ctx)] == [True, False]
    assert sum(entrance.is_worth_a_note(context("x", f"192.0.2.{number}")) for number in range(200)) == 60
    clock.now = 61.0
    assert entrance.is_worth_a_note(ctx)
    assert not entrance.is_news(ctx)
    clock.now = 3601.0
    assert entrance.is_news(ctx)


async def test_changes_have_admin_and_the_address_as_their_actor(plane: Plane) -> None:
    key = (await plane.key())["key"]["id"]
    await plane.good("POST", f"/keys/{key}/revoke", client=("192.0.2.9", 1))
    entries = await plane.services.audit.latest()
    assert [(entry.event, entry.actor, entry.address) for entry in entries if entry.subject == key] == [
        ("key.revoked", "admin", "192.0.2.9"),
        ("key.created", "admin", "127.0.0.1"),
    ]


# What is kept of the token ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["short", KEY, "$argon2id$nonsense", "$argon2id$v=19$m=65536,t=3,p=4$x"], ids=str)
async def test_a_token_that_is_no_good_leaves_the_plane_closed(
    value: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(TokenUnusable):
        token_of(Secret(value, "settings/admin_token"))
    gate = gateway(POLICY, data_dir=tmp_path, admin_token=value)
    async with gate.lifespan():
        response = await request(gate.app, path="/admin/api/v1/keys", headers=bearer(value))
    assert (response.status, response.json()["error"]["code"]) == (404, "not_found")
    assert "cannot be used" in caplog.text
    assert value == "short" or value not in caplog.text


async def test_a_hash_is_as_good_as_the_token(tmp_path: Path) -> None:
    plane = Plane(gateway(POLICY, data_dir=tmp_path, admin_token=HASHED))
    async with plane.gateway.lifespan():
        assert (await plane("GET", "/health")).status == 200
        assert (await plane("GET", "/health", token="wrong-" + TOKEN)).status == 401
        assert (await plane("GET", "/health", token=HASHED)).status == 401


async def test_a_good_token_is_hashed_once_a_minute_and_a_bad_one_always() -> None:
    clock, seen = Clock(), list[bytes]()
    token = HashedToken(HASHED, clock=clock)
    verified = token._verified
    token._verified = lambda presented: seen.append(presented) or verified(presented)  # type: ignore[method-assign]
    good, bad = TOKEN.encode(), b"wrong"
    assert [await token.matches(each) for each in (good, good, bad, bad)] == [True, True, False, False]
    clock.now = 61.0
    assert await token.matches(good)
    assert seen == [good, bad, bad, good]


async def test_few_are_hashed_at_once_and_not_many_wait() -> None:
    token, running, most = HashedToken(HASHED), 0, 0
    verified = token._verified

    def counted(presented: bytes) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        good = verified(presented)
        running -= 1
        return good

    token._verified = counted  # type: ignore[method-assign]
    tries = (token.matches(b"wrong %d" % number) for number in range(30))
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert most <= 2
    assert found.count(False) == 16
    assert {each.status for each in found if isinstance(each, Refusal)} == {503}


def test_the_token_is_not_kept_as_text() -> None:
    token = token_of(Secret(TOKEN, "settings/admin_token"))
    assert TOKEN not in repr(vars(token))


# Without a token --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/admin", "/admin/", "/admin/api/v1/keys", "/admin/api/v1/openapi.json"])
async def test_without_a_token_there_is_nothing(path: str, tmp_path: Path) -> None:
    gate = gateway(POLICY, data_dir=tmp_path / "data")
    async with gate.lifespan():
        response = await request(gate.app, path=path, headers=bearer(TOKEN))
        assert (response.status, response.json()["error"]["code"]) == (404, "not_found")


async def test_mounted_without_a_token_it_says_so_once_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "ai_gateway_mw.admin")
    app = gateway(POLICY, data_dir=tmp_path / "data").admin_app
    for _ in range(3):
        assert (await request(app, path="/api/v1/keys", headers=bearer(TOKEN))).status == 404
    assert caplog.text.count("AI_GATEWAY_ADMIN_TOKEN is not set") == 1
    assert not (tmp_path / "data").exists()
