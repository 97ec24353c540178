from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.admin.conftest import Plane
from tests.asgi import Exchange
from tests.gateways import Pieces, Provider, actions, bearer, gateway

pytestmark = pytest.mark.anyio

NO_KEY = "key_" + "0" * 23
JSON = {"content-type": "application/json"}


async def ids(plane: Plane, query: str = "") -> list[str]:
    return [key["id"] for key in (await plane.good("GET", f"/keys{query}"))["keys"]]


# Making -----------------------------------------------------------------------------------------------------------


async def test_a_key_is_made_and_its_text_told_once(plane: Plane) -> None:
    response = await plane("POST", "/keys", json={"name": "production-api-primary", "allowed_ips": ["127.0.0.1"]})
    made = response.json()
    assert response.status == 201
    assert response.headers["location"] == f"/admin/api/v1/keys/{made['key']['id']}"
    assert made["text"].startswith("gw_sk_")
    assert (made["key"]["environment"], made["key"]["allowed_ips"]) == ("production", ["127.0.0.1/32"])
    assert made["key"]["state"] == "active"
    assert await plane.serves(made["text"])
    shown = await plane("GET", f"/keys/{made['key']['id']}")
    assert shown.json() == made["key"]
    assert made["text"] not in shown.text


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"name": None}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": " x"}, "name"),
        ({"name": "key_1"}, "name"),
        ({"name": "a\r\nSet-Cookie: b"}, "name"),
        ({"name": "a\x1b[31m"}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "a\u2028"}, "name"),
        ({"name": "a\x85"}, "name"),
        ({"name": "a", "scopes": []}, "scopes"),
        ({"name": "a", "scopes": ["admin"]}, "scopes"),
        ({"name": "a", "scopes": ["root"]}, "scopes.0"),
        ({"name": "a", "allowed_ips": ["10.0.0.0/33"]}, "allowed_ips.0"),
        ({"name": "a", "allowed_ips": ["10.0.0.1", "evil\r\n"]}, "allowed_ips.1"),
        ({"name": "a", "allowed_models": [""]}, "allowed_models.0"),
        ({"name": "a", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "a", "expires_at": "2099-01-01T00:00:00"}, "expires_at"),
        ({"name": "a", "expires_at": "4102444800"}, "expires_at"),
        ({"name": "a", "expires_at": 4102444800}, "expires_at"),
        ({"name": "a", "expires_at": "9999-12-31T23:59:59-01:00"}, "expires_at"),
        ({"name": "a", "metadata": {"a": 1}}, "metadata.a"),
        ({"name": "a", "metadata": {"a\n": "x"}}, "metadata.a\n.[key]"),
    ],
    ids=str,
)
async def test_what_is_wrong_with_a_new_key_is_named(plane: Plane, given: Any, field: str) -> None:
    assert await plane.refusal("POST", "/keys", json=given) == (422, "invalid_field", field)
    assert await ids(plane) == []


@pytest.mark.parametrize(
    "name",
    ["id", "digest", "pepper_version", "revision", "lineage", "current", "masked", "state", "created_at", "revoked_at"]
    + ["retires_at", "compromised", "rotated_from", "rotated_to", "role", "is_admin", "__class__", "text"],
)
async def test_what_is_not_for_clients_to_say_is_refused(plane: Plane, name: str) -> None:
    key = (await plane.key())["key"]["id"]
    for method, path, given in (
        ("POST", "/keys", {"name": "b", name: "x"}),
        ("PATCH", f"/keys/{key}", {name: "x"}),
        ("POST", f"/keys/{key}/rotate", {name: "x"}),
        ("POST", f"/keys/{key}/revoke", {name: "x"} if name != "compromised" else {"digest": "x"}),
    ):
        status, code, field = await plane.refusal(method, path, json=given)
        assert (status, code, field in (name, "digest")) == (422, "invalid_field", True)
    assert await ids(plane) == [key]


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"{", JSON, (400, "invalid_json")),
        (b"", JSON, (400, "invalid_json")),
        (b"[]", JSON, (400, "invalid_json")),
        (b'"name"', JSON, (400, "invalid_json")),
        (b"null", JSON, (400, "invalid_json")),
        (b'{"name":"a"}x', JSON, (400, "invalid_json")),
        (b'{"name":"a","name":"b"}', JSON, (400, "invalid_json")),
        (b'{"name":"a","metadata":{"x":"1","x":"2"}}', JSON, (400, "invalid_json")),
        (b'{"name":"a","limits":{"x":NaN}}', JSON, (400, "invalid_json")),
        (b'{"name":"\xff"}', JSON, (400, "invalid_json")),
        (b'{"name":"\\ud800"}', JSON, (400, "invalid_json")),
        (b'{"limits":' + b'{"a":' * 100 + b"1" + b"}" * 101, JSON, (400, "invalid_json")),
        (b"{" + b'"a":[' * 9000, JSON, (400, "invalid_json")),
        (b'{"name":"a"}', {}, (415, "unsupported_media")),
        (b'{"name":"a"}', {"content-type": "text/plain"}, (415, "unsupported_media")),
        (b"name=a", {"content-type": "application/x-www-form-urlencoded"}, (415, "unsupported_media")),
        (b'{"name":"a"}', {"content-type": "application/json; charset=utf-16"}, (415, "unsupported_media")),
        (b'{"name":"a"}', {**JSON, "content-encoding": "gzip"}, (415, "unsupported_media")),
        (b'{"name":"' + b"a" * 65_536 + b'"}', JSON, (413, "request_too_large")),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_body_is_a_json_object_and_a_small_one(plane: Plane, body: bytes, headers: Any, expected: Any) -> None:
    assert (await plane.refusal("POST", "/keys", body=body, headers=headers))[:2] == expected
    assert await ids(plane) == []


async def test_a_body_that_never_ends_is_not_read_to_its_end(plane: Plane) -> None:
    headers = [("authorization", f"Bearer {plane.gateway.settings.admin_token.reveal()}"), *JSON.items()]  # type: ignore[union-attr]
    async with Exchange(plane.app, method="POST", path="/admin/api/v1/keys", headers=headers, body=None) as exchange:
        for _ in range(3):
            await exchange.feed(b" " * 30_000)
        assert (await exchange.start()).status == 413


async def test_two_keys_in_use_do_not_have_one_name(plane: Plane) -> None:
    key = (await plane.key("a"))["key"]["id"]
    await plane.key("b")
    assert await plane.refusal("POST", "/keys", json={"name": "b"}) == (409, "name_taken", "name")
    assert await plane.refusal("PATCH", f"/keys/{key}", json={"name": "b"}) == (409, "name_taken", "name")


# Finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [NO_KEY, "production-api-primary", "key_", "1", "*", "%25", "' OR 1=1 --", "key_" + "0" * 22 + "%0A", "%00", "é"]
    + ["..", "key_" + "A" * 23, "x" * 5000, "policy:x"],
    ids=lambda wanted: wanted[:30],
)
async def test_what_is_no_key_is_not_found(plane: Plane, wanted: str) -> None:
    await plane.key()
    wanted = wanted.encode().decode("latin-1")
    for method, tail in (("GET", ""), ("PATCH", ""), ("POST", "/rotate"), ("POST", "/revoke"), ("GET", "/callers")):
        more = {"json": {}} if method != "GET" else {}
        status, code, _ = await plane.refusal(method, f"/keys/{wanted}{tail}", **more)
        assert (status, code) in ((404, "key_not_found"), (404, "not_found"), (400, "ambiguous_path"))


async def test_pages_follow_each_other(plane: Plane) -> None:
    made = [(await plane.key(f"key-{number}"))["key"]["id"] for number in range(5)]
    seen, after = list[str](), ""
    while True:
        page = await plane.good("GET", f"/keys?limit=2{after}")
        seen += [key["id"] for key in page["keys"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == sorted(made) == made
    assert await ids(plane, f"?after={made[-1]}") == []
    assert (await plane.good("GET", "/keys?limit=5"))["next"] is None


async def test_keys_are_listed_by_state_environment_and_name(plane: Plane) -> None:
    one = (await plane.key("production-a"))["key"]["id"]
    two = (await plane.key("staging-b"))["key"]["id"]
    rotated = (await plane.good("POST", f"/keys/{one}/rotate", status=201))["key"]["id"]
    await plane.good("POST", f"/keys/{two}/revoke")
    found = {query: await ids(plane, f"?{query}") for query in ("state=active", "state=retiring", "state=revoked")}
    assert found == {"state=active": [rotated], "state=retiring": [one], "state=revoked": [two]}
    assert await ids(plane, "?state=retired") == await ids(plane, "?state=expired") == []
    assert await ids(plane, "?environment=staging") == [two]
    assert await ids(plane, "?name=PRODUCTION") == [one, rotated]
    assert await ids(plane, "?name=%25") == []
    accented = (await plane.key("Ünï-ключ"))["key"]["id"]
    assert await ids(plane, f"?name={quote('üNÏ-КЛЮЧ')}") == [accented]
    assert await ids(plane, "?state=active&environment=production&name=-a&limit=1") == [rotated]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *(
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=x", "limit"),
            ("limit=+1", "limit"),
            ("limit=", "limit"),
        ),
        *(("limit=1_0", "limit"), ("limit=1&limit=2", "limit"), ("after=x", "after"), ("after=", "after")),
        *(("state=dead", "state"), ("name=", "name"), ("name=%00", "name"), ("name=%0d%0a", "name"), ("x=1", "x")),
        *(("id=1", "id"), ("environment=%1b", "environment")),
    ],
)
async def test_what_is_wrong_with_the_query_is_named(plane: Plane, query: str, field: str) -> None:
    assert await plane.refusal("GET", f"/keys?{query}") == (422, "invalid_field", field)


@pytest.mark.parametrize("query", ["name=%ff", "name=%ed%a0%80", "&".join(f"a{n}=1" for n in range(30)), "a=\xff"])
async def test_a_query_that_cannot_be_read(plane: Plane, query: str) -> None:
    assert (await plane.refusal("GET", f"/keys?{query}"))[:2] == (400, "invalid_query")


# Changing ---------------------------------------------------------------------------------------------------------


async def test_only_what_is_given_changes(plane: Plane) -> None:
    made = await plane.key(metadata={"team": "a"}, allowed_ips=["10.0.0.0/8"])
    key = made["key"]
    changed = await plane.good("PATCH", f"/keys/{key['id']}", json={"allowed_ips": ["127.0.0.1"]})
    assert changed == {**key, "allowed_ips": ["127.0.0.1/32"]}
    assert await plane.serves(made["text"])
    changed = await plane.good("PATCH", f"/keys/{key['id']}", json={"allowed_ips": None, "metadata": None})
    assert (changed["allowed_ips"], changed["metadata"], changed["name"]) == (None, {}, key["name"])
    assert await plane.good("PATCH", f"/keys/{key['id']}", json={}) == changed


@pytest.mark.parametrize("field", ["name", "scopes"])
async def test_what_a_key_must_have_cannot_be_taken_away(plane: Plane, field: str) -> None:
    key = (await plane.key())["key"]["id"]
    assert await plane.refusal("PATCH", f"/keys/{key}", json={field: None}) == (422, "invalid_field", field)


async def test_a_change_is_in_force_when_it_is_answered(plane: Plane) -> None:
    made = await plane.key()
    assert await plane.serves(made["text"])
    await plane.good("PATCH", f"/keys/{made['key']['id']}", json={"allowed_ips": ["10.0.0.0/8"]})
    assert not await plane.serves(made["text"])


# Rotating and revoking --------------------------------------------------------------------------------------------


async def test_a_rotated_key_and_its_successor_both_work(plane: Plane) -> None:
    old = await plane.key(metadata={"team": "a"})
    response = await plane("POST", f"/keys/{old['key']['id']}/rotate", json={"grace": "1h"})
    new = response.json()
    assert response.headers["location"].endswith(new["key"]["id"])
    assert (response.status, new["key"]["rotated_from"]) == (201, old["key"]["id"])
    assert new["key"]["metadata"] == {"team": "a"}
    assert await plane.serves(old["text"])
    assert await plane.serves(new["text"])
    assert (await plane.good("GET", f"/keys/{old['key']['id']}"))["state"] == "retiring"
    assert (await plane.refusal("POST", f"/keys/{old['key']['id']}/rotate"))[:2] == (409, "key_not_active")


async def test_without_grace_the_old_one_is_over_at_once(plane: Plane) -> None:
    old = await plane.key()
    assert await plane.serves(old["text"])
    await plane.good("POST", f"/keys/{old['key']['id']}/rotate", json={"grace": "0"}, status=201)
    assert not await plane.serves(old["text"])


@pytest.mark.parametrize("grace", ["", "1d", "-1h", "24", 24, None, "2161h", "99999999h", "1h\n"], ids=str)
async def test_a_grace_is_a_duration_of_up_to_ninety_days(plane: Plane, grace: Any) -> None:
    key = (await plane.key())["key"]["id"]
    refusal = await plane.refusal("POST", f"/keys/{key}/rotate", json={"grace": grace})
    assert refusal == (422, "invalid_field", "grace")


async def test_a_revoked_key_is_refused_when_it_is_answered(plane: Plane) -> None:
    made = await plane.key()
    assert await plane.serves(made["text"])
    answer = await plane.good("POST", f"/keys/{made['key']['id']}/revoke", json={"compromised": True})
    assert (answer["key"]["state"], answer["key"]["compromised"], answer["successor"]) == ("revoked", True, None)
    assert not await plane.serves(made["text"])
    assert (await plane.good("POST", f"/keys/{made['key']['id']}/revoke"))["key"]["compromised"]
    for method, tail, more in (("PATCH", "", {"json": {"name": "x"}}), ("POST", "/rotate", {})):
        refusal = await plane.refusal(method, f"/keys/{made['key']['id']}{tail}", **more)
        assert refusal[:2] == (409, "key_not_active")


async def test_a_successor_may_take_its_place(plane: Plane) -> None:
    made = await plane.key()
    answer = await plane.good("POST", f"/keys/{made['key']['id']}/revoke", json={"successor": True})
    assert not await plane.serves(made["text"])
    assert await plane.serves(answer["successor"]["text"])
    assert answer["key"]["rotated_to"] == answer["successor"]["key"]["id"]


@pytest.mark.parametrize("value", ["true", 1, None, "yes"], ids=str)
async def test_a_revocation_is_not_guessed_at(plane: Plane, value: Any) -> None:
    key = (await plane.key())["key"]["id"]
    refusal = await plane.refusal("POST", f"/keys/{key}/revoke", json={"successor": value})
    assert refusal == (422, "invalid_field", "successor")


class _Streaming(Provider):
    def __init__(self, stream: Pieces) -> None:
        super().__init__()
        self._pieces = stream

    def _answer(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=self._pieces)


async def test_a_stream_of_a_revoked_key_ends(tmp_path: Any) -> None:
    event = b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    provider = _Streaming(Pieces(*[event] * 100_000))
    policy = actions("gateway-auth", ("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "sk-1"}]}]}))
    token = "an-admin-token-of-good-length-7f3c"
    plane = Plane(gateway(policy, data_dir=tmp_path, admin_token=token, provider=provider))
    async with plane.gateway.lifespan():
        made = await plane.key()
        chat = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        more: Any = {"method": "POST", "path": "/v1/chat/completions", "headers": bearer(made["text"]), "json": chat}
        async with Exchange(plane.app, window=2, **more) as exchange:
            assert (await exchange.start()).status == 200
            assert await exchange.body()
            await plane.good("POST", f"/keys/{made['key']['id']}/revoke")
            rest = await exchange.rest()
    assert len(rest) < 50 * len(event)
    assert json.loads(rest.rstrip().rpartition(b"data: ")[2])["error"]["code"] == "invalid_api_key"
