"""Explaining requests on the admin plane: as things stand, for administrators only, and without doing anything."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.admin import AdminApp, Permission, Principal
from ai_gateway_mw.explain import Rehearsal, of_data
from ai_gateway_mw.policy import load_policy
from ai_gateway_mw.settings import Settings
from tests.admin.conftest import TOKEN, Plane
from tests.asgi import Response, request
from tests.gateways import CHAT, CHAT_PATH, KEY, OTHER_KEY, Provider, actions, bearer, gateway

pytestmark = pytest.mark.anyio

VAULTS = {"openai": {"one": "sk-secret-one", "two": "sk-secret-two"}}
KEYS = {
    "providers": [
        {"id": "openai", "api_keys": [{"value": f"${{secrets.get('openai', '{name}')}}"} for name in ("one", "two")]}
    ]
}
LIMIT = {
    "name": "n",
    "algorithm": "sliding_window",
    "capacity": 2,
    "rate": "60s",
    "bucket_key": ["conn.client_ip"],
}
ASKED = {"method": "POST", "path": CHAT_PATH, "body": CHAT}
SENT: dict[str, Any] = {"headers": {"x-gateway-explain": "1"}, "json": CHAT}


def plane_of(tmp_path: Path, policy: Any, provider: Provider | None = None, **more: Any) -> Plane:
    return Plane(gateway(policy, vaults=VAULTS, provider=provider, data_dir=tmp_path, admin_token=TOKEN, **more))


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[Plane]:
    """A policy whose gateway keys are in the database."""
    made = plane_of(tmp_path, actions("gateway-auth", ("ai-gateway", KEYS)))
    async with made.gateway.lifespan():
        yield made


async def explained(plane: Plane, asked: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = await plane.good("POST", "/explain", json={**ASKED, **(asked or {}), **more})
    return told


async def served(plane: Plane, headers: Any = (), *, client: tuple[str, int] = ("127.0.0.1", 1)) -> Response:
    return await request(plane.app, "POST", CHAT_PATH, headers=headers, json=CHAT, client=client)


def keys_in_order(told: dict[str, Any]) -> list[str]:
    return [each["name"] for each in sorted(told["keys"], key=lambda key: key["order"] or 99)]


# As things stand --------------------------------------------------------------------------------------------------


async def test_it_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    provider = Provider()
    plane = plane_of(tmp_path, actions(("ai-gateway", KEYS)), provider)
    async with plane.gateway.lifespan():
        told = await explained(plane)
    assert (told["status"], told["rules"][0]["verdict"]) == (200, "matched")
    assert keys_in_order(told) == ["openai: openai/one", "openai: openai/two"]
    (sent,) = told["sent"]
    assert sent["url"] == "https://api.openai.com/v1/chat/completions"
    assert dict(sent["fields"])["authorization"] == "Bearer Secret('openai/one')"
    assert provider.requests == []


async def test_it_knows_what_the_gateway_has_learned_of_its_keys(tmp_path: Path) -> None:
    plane = plane_of(tmp_path, actions(("ai-gateway", KEYS)), Provider(401))
    async with plane.gateway.lifespan():
        before = await explained(plane)
        assert (await served(plane)).status == 502
        after = await explained(plane)
        states = {state.id: state.state for state in plane.gateway.stores.provider_keys._states.values()}  # type: ignore[attr-defined]
    assert [each["reason"] for each in before["keys"]] == ["in the order of the policy"] * 2
    assert set(states.values()) == {"rejected"}
    assert [(each["name"], each["order"]) for each in after["keys"]] == [
        ("openai: openai/one", 1),
        ("openai: openai/two", 2),
    ]
    last = "in the order of the policy; last, since it is rejected for another "
    assert after["keys"][1]["reason"].startswith(last)
    assert after["sent"][0]["outcome"] == "accepted"


async def test_a_strategy_sees_live_error_rates_and_none_of_what_is_explained(tmp_path: Path) -> None:
    by_samples = {**KEYS, "api_key_selection": {"strategy": ["ai.keys.sortBy(k, k.error_rate.total)"]}}
    plane = plane_of(tmp_path, actions(("ai-gateway", by_samples)))
    state = plane.gateway.stores.provider_keys
    async with plane.gateway.lifespan():
        assert (await served(plane)).status == 200
        samples = [each.samples for each in state._states.values()]  # type: ignore[attr-defined]
        for _ in range(3):
            await explained(plane)
        assert [each.samples for each in state._states.values()] == samples  # type: ignore[attr-defined]
    metrics = plane.gateway.stores.model_metrics.of("openai", "gpt-4o")["global"]
    assert sum(samples) == 1
    assert metrics == plane.gateway.stores.model_metrics.as_told().of("openai", "gpt-4o")["global"]


async def test_limits_are_as_used_as_they_are_and_no_more_so_after(tmp_path: Path) -> None:
    plane = plane_of(tmp_path, actions(("rate-limit", LIMIT), ("ai-gateway", KEYS)))
    async with plane.gateway.lifespan():
        assert (await served(plane)).status == 200
        for _ in range(3):
            assert (await explained(plane))["status"] == 200
        assert (await served(plane)).status == 200
        told = await explained(plane)
        elsewhere = await explained(plane, ip="192.0.2.1")
    assert (told["status"], told["refused"]["code"]) == (429, "rate_limit_exceeded")
    assert elsewhere["status"] == 200


async def test_a_breaker_is_as_open_as_it_is(tmp_path: Path) -> None:
    breaker = {"error_threshold": 0, "volume_threshold": 1}
    plane = plane_of(tmp_path, actions(("circuit-breaker", breaker), ("ai-gateway", KEYS)))
    async with plane.gateway.lifespan():
        for _ in range(2):
            assert (await explained(plane))["status"] == 200
        assert (await served(plane)).status == 200
        assert (await explained(plane))["refused"]["code"] == "circuit_open"


async def test_nothing_is_logged_or_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ai_gateway_mw")
    policy = actions(("deny", {"enforce": False}), ("log", {"metadata": {"a": "b"}}), ("ai-gateway", KEYS))
    plane = plane_of(tmp_path, policy)
    async with plane.gateway.lifespan():
        told = await explained(plane)
        assert told["rules"][0]["actions"][0]["outcome"] == "would have refused"
        assert (list(plane.gateway.stores.shadow), caplog.messages) == ([], [])
        assert (await served(plane)).status == 200
        assert (len(list(plane.gateway.stores.shadow)), len(caplog.messages)) == (1, 3)


async def test_it_is_the_policy_in_force(tmp_path: Path) -> None:
    plane = plane_of(tmp_path, actions("deny"))
    async with plane.gateway.lifespan():
        assert (await explained(plane))["refused"]["code"] == "denied"
        plane.gateway.reload(gateway(actions(("custom-response", {"body": "new"}))).policy)
        assert (await explained(plane))["body"] == "new"


async def test_what_a_secret_lacks_it_lacks_here(tmp_path: Path) -> None:
    missing = {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('openai', 'gone')}"}]}]}
    plane = plane_of(tmp_path, actions(("ai-gateway", missing)))
    async with plane.gateway.lifespan():
        told, answer = await explained(plane), await served(plane)
    assert (told["status"], told["sent"]) == (answer.status, [])


async def test_apps_of_the_process_are_not_called(tmp_path: Path) -> None:
    async def app(*_: Any) -> None:
        raise AssertionError

    plane = plane_of(
        tmp_path, actions(("forward-internal", {"url": "https://orders.internal"})), internal={"orders": app}
    )
    async with plane.gateway.lifespan():
        assert (await explained(plane))["body"] == "This is a canned answer."


async def test_people_get_text(stored: Plane) -> None:
    made = await stored.key("ci")
    told = await stored("POST", "/explain", json={**ASKED, "key": "ci"}, headers={"accept": "text/plain"})
    assert told.headers["content-type"] == "text/plain; charset=utf-8"
    lines = told.body.decode().splitlines()
    assert lines[0] == f"POST {CHAT_PATH} from 127.0.0.1"
    assert "  1.  openai: openai/one  (in the order of the policy)" in lines
    assert "  2.  openai/gpt-4o with openai/two" in lines
    assert made["text"] not in told.body.decode()
    assert "sk-secret" not in told.body.decode()


async def test_text_holds_nothing_that_a_terminal_obeys(stored: Plane) -> None:
    body = {**CHAT, "model": "\x1b[2J\u202e"}
    told = await stored("POST", "/explain", json={**ASKED, "body": body}, headers={"accept": "text/plain"})
    assert not {"\x1b", "\u202e"} & set(told.body.decode())


# Gateway keys -----------------------------------------------------------------------------------------------------


async def test_a_stored_key_counts_with_its_rules_by_name_by_id_and_by_its_text(stored: Plane) -> None:
    made = await stored.key("ci", allowed_models=["gpt-4o*"])
    other = {"body": {**CHAT, "model": "o3"}}
    for asked in ({"key": "ci"}, {"key": made["key"]["id"]}, {"headers": bearer(made["text"])}):
        good, bad = await explained(stored, asked), await explained(stored, asked, **other)
        assert (good["status"], bad["status"]) == (200, 403), asked
        assert good["rules"][0]["actions"][0]["result"]["key"]["name"] == "ci"
    nobody, stranger = await explained(stored), await explained(stored, headers=bearer(OTHER_KEY))
    assert nobody["refused"]["code"] == stranger["refused"]["code"] == "invalid_api_key"
    assert nobody["refused"]["reason"] == "the request presents no key"
    assert stranger["refused"]["reason"] == "no stored key is the one that the request presents"


async def test_a_key_that_works_no_longer_is_refused_and_that_is_no_use_of_it(stored: Plane) -> None:
    made = await stored.key("ci")
    assert (await explained(stored, key="ci"))["status"] == 200
    await stored.good("POST", f"/keys/{made['key']['id']}/revoke")
    for asked in ({"key": made["key"]["id"]}, {"headers": bearer(made["text"])}):
        refused = (await explained(stored, asked))["refused"]
        assert (refused["code"], refused["reason"]) == ("invalid_api_key", "the key `ci` is revoked")
    by_name = (await stored("POST", "/explain", json={"key": "ci"})).json()["error"]
    assert by_name["message"] == "There is no key `ci`. One that is revoked is named by its id."
    shown = await stored.good("GET", f"/keys/{made['key']['id']}")
    assert (shown["usage"], shown["dead_use_at"]) == (None, None)
    events = [entry["event"] for entry in (await stored.good("GET", "/audit"))["entries"]]
    assert events == ["key.revoked", "key.created", "admin.login"]


async def test_what_a_key_has_used_counts_and_nothing_is_added(stored: Plane) -> None:
    made = await stored.key("ci", limits={"requests_per_minute": 2})
    assert (await served(stored, bearer(made["text"]))).status == 200
    for _ in range(3):
        assert (await explained(stored, key="ci"))["status"] == 200
    assert (await served(stored, bearer(made["text"]))).status == 200
    assert (await explained(stored, key="ci"))["refused"]["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    "policy", [actions("gateway-auth"), actions(("gateway-auth", {"keys": [{"name": "a", "value": KEY}]}))]
)
async def test_a_key_that_there_is_not(policy: Any, tmp_path: Path) -> None:
    plane = plane_of(tmp_path, policy)
    async with plane.gateway.lifespan():
        assert (await plane.refusal("POST", "/explain", json={"key": "nobody"}))[:2] == (404, "key_not_found")


async def test_a_declared_key_by_its_name(tmp_path: Path) -> None:
    declared = {"keys": [{"name": "team", "value": KEY}]}
    plane = plane_of(tmp_path, actions(("gateway-auth", declared), ("ai-gateway", KEYS)))
    async with plane.gateway.lifespan():
        assert (await explained(plane, key="team"))["status"] == 200


# Who may ask, and how ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"method": "GET /"}, "method"),
        ({"path": "v1/models"}, "path"),
        ({"path": "/v1/models x"}, "path"),
        ({"headers": {"a b": "x"}}, "headers.a b.[key]"),
        ({"headers": {"a": "x\r\ny: z"}}, "headers.a"),
        ({"ip": "nowhere"}, "ip"),
        ({"key": "a\u0000"}, "key"),
        ({"nothing": 1}, "nothing"),
    ],
)
async def test_what_is_no_request(stored: Plane, asked: dict[str, Any], field: str) -> None:
    assert await stored.refusal("POST", "/explain", json=asked) == (422, "invalid_field", field)


async def test_a_request_may_be_sent_as_it_is(tmp_path: Path) -> None:
    provider = Provider()
    plane = plane_of(tmp_path, actions("gateway-auth", ("ai-gateway", KEYS)), provider)
    plane.base = "/admin"
    async with plane.gateway.lifespan():
        made = await Plane(plane.gateway).key("ci")
        answers = [
            await plane("POST", f"{CHAT_PATH}?a=b", headers={"x-gateway-explain": value, **more}, json=CHAT)
            for value, more in (("1", {"x-api-key": made["text"]}), ("key=ci", {}), ("1", {}))
        ]
        clashing = await plane("POST", CHAT_PATH, headers={"x-gateway-explain": "yes"}, json=CHAT)
        twice = [*bearer(TOKEN).items(), ("x-gateway-explain", "1"), ("x-gateway-explain", "key=ci")]
        assert (await request(plane.app, "POST", f"/admin{CHAT_PATH}", headers=twice, json=CHAT)).status == 422
    told = [answer.json() for answer in answers]
    assert [answer["status"] for answer in told] == [200, 200, 401]
    assert (told[0]["request"]["path"], told[0]["request"]["ip"]) == (f"{CHAT_PATH}?a=b", "127.0.0.1")
    assert json.loads(told[0]["sent"][0]["body"]) == CHAT
    assert not [name for name, _ in told[1]["request"]["fields"] if name == "x-gateway-explain"]
    assert provider.requests == []
    assert (clashing.status, clashing.json()["error"]["field"]) == (422, "x-gateway-explain")


async def test_only_the_admin_plane_listens_to_the_field(tmp_path: Path) -> None:
    """To the gateway itself it says nothing, whoever sends it; and no client gets to the plane."""
    provider = Provider()
    plane = plane_of(tmp_path, actions(("ai-gateway", KEYS)), provider)
    async with plane.gateway.lifespan():
        for headers in ({}, bearer(TOKEN), {"x-api-key": TOKEN}):
            answer = await request(plane.app, "POST", CHAT_PATH, headers={**headers, **SENT["headers"]}, json=CHAT)
            assert "rules" not in answer.json()
        assert all("x-gateway-explain" not in sent.headers for sent in provider.requests)
        sent = len(provider.requests)
        for headers in ({}, bearer(KEY), bearer("x" * 40)):
            fields = {**headers, **SENT["headers"]}
            for path in (f"/admin{CHAT_PATH}", "/admin/api/v1/explain", "/admin/"):
                refused = await request(plane.app, "POST", path, headers=fields, json=CHAT)
                assert (refused.status, refused.json()["error"]["code"]) == (401, "unauthenticated")
        without = await request(plane.app, "POST", f"/admin{CHAT_PATH}", headers=bearer(TOKEN), json=CHAT)
        assert (without.status, len(provider.requests)) == (404, sent)


async def test_it_needs_its_permission(plane: Plane) -> None:
    app = AdminApp(plane.gateway, Principal("auditor", frozenset(Permission) - {Permission.POLICY_EXPLAIN}))
    answer = await request(app, "POST", CHAT_PATH, headers={**bearer(TOKEN), **SENT["headers"]}, json=CHAT)
    assert (answer.status, answer.json()["error"]["code"]) == (403, "permission_denied")


async def test_without_a_token_there_is_no_plane(tmp_path: Path) -> None:
    gate = gateway(actions("deny"), data_dir=tmp_path)
    answer = await request(
        gate.app, "POST", f"/admin{CHAT_PATH}", headers={**bearer(TOKEN), **SENT["headers"]}, json=CHAT
    )
    assert answer.status == 404


# Secrets ----------------------------------------------------------------------------------------------------------

LITERALS = """\
on_http_request:
  - expressions: ["req.headers['x-team'][0] == 'Team ' + secrets.get('openai', 'two')"]
    actions: [{type: deny}]
  - actions:
      - type: ai-gateway
        config:
          providers:
            - id: openai
              api_keys: [{value: hunter2-as-a-literal}, {value: "${secrets.get('openai', 'one')}"}]
          headers: {x-internal: another-literal, accept: application/json}
"""


async def test_no_secret_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    plane, told = plane_of(tmp_path, LITERALS), []
    async with plane.gateway.lifespan():
        made = await plane.key("ci")
        headers = {"x-team": "a", "x-api-key": made["text"], "cookie": "session=the-session", "x-admin": TOKEN}
        told.append(await plane("POST", "/explain", json={**ASKED, "headers": headers}))
        told.append(await plane("POST", "/explain", json={**ASKED, "headers": {"authorization": f"Bearer {TOKEN}"}}))
        told.append(await plane("POST", "/explain", json={**ASKED, "headers": {"x-team": "Team sk-secret-two"}}))
        told.append(await plane("POST", "/explain", json={"path": f"/v1/models?key={made['text']}", "method": TOKEN}))
        sent = Plane(plane.gateway, "/admin")
        told.append(await sent("POST", CHAT_PATH, headers={"x-team": "b", **SENT["headers"]}, json=CHAT))
        told.append(await plane("POST", "/explain", json={**ASKED, "ip": TOKEN}))
    assert [answer.status for answer in told] == [*[200] * 5, 422]
    assert "Secret('openai/two')" in told[0].text
    assert dict(told[0].json()["sent"][0]["fields"])["accept"] == "application/json"
    everything = "\n".join([*(answer.text for answer in told), caplog.text])
    for secret in (TOKEN, made["text"], "the-session", "sk-secret-one", "sk-secret-two", "hunter2", "another-literal"):
        assert secret not in everything, secret


async def test_a_secret_of_digits_is_no_number_either(tmp_path: Path) -> None:
    made = {"vars": [{"made": "${int(secrets.get('pin', 'code'))}"}, {"text": "${secrets.get('pin', 'code')}"}]}
    policy = actions(("set-vars", made), ("custom-response", {"body": "x"}))
    gate = gateway(policy, vaults={"pin": {"code": "20261128"}}, data_dir=tmp_path, admin_token=TOKEN)
    plane = Plane(gate)
    async with gate.lifespan():
        assert (await request(gate.app, path="/v1/models")).status == 200
        told = await explained(plane, body={"n": 20261128})
    assert "20261128" not in json.dumps(told)
    assert told["vars"] == {"made": "Secret('pin/code')", "text": "Secret('pin/code')"}


async def test_what_json_cannot_say_is_text(tmp_path: Path) -> None:
    rule = {"expressions": ["double('NaN') > 0.0 || 1.0 / 0.0 > 0.0"], "actions": [{"type": "deny"}]}
    plane = plane_of(tmp_path, {"on_http_request": [rule]})
    async with plane.gateway.lifespan():
        told = (await plane("POST", "/explain", json=ASKED)).text
    assert "inf" in told
    json.loads(told, parse_constant=pytest.fail)


async def test_what_is_shown_of_large_values_has_a_bound(tmp_path: Path) -> None:
    def tree(depth: int) -> Any:
        return {f"k{n}": tree(depth - 1) if depth else n for n in range(12)}

    rule = {"expressions": ["req.body.tree.size() == 1"], "actions": [{"type": "deny"}]}
    plane = plane_of(tmp_path, {"on_http_request": [rule]})
    async with plane.gateway.lifespan():
        sent, field = Plane(plane.gateway, "/admin"), {"x-gateway-explain": "1"}
        told = (await sent("POST", CHAT_PATH, headers=field, json={"tree": tree(3)})).json()
    assert 1_000 < len(json.dumps(told["rules"])) < 100_000


async def test_it_is_the_json_of_the_command(tmp_path: Path) -> None:
    policy = actions(("rate-limit", LIMIT), ("ai-gateway", KEYS))
    plane = plane_of(tmp_path, policy)
    async with plane.gateway.lifespan():
        told = await explained(plane)
    settings = Settings(data_dir=tmp_path)
    async with Rehearsal(load_policy(policy), settings, Gateway, given=VAULTS, own_secrets=False) as rehearsal:
        course = (await rehearsal.ask(of_data(ASKED))).as_json()
    for each in (told, course):
        each["fields"] = sorted(name for name, _ in each["fields"])  # their ids are not the same
    assert told == json.loads(json.dumps(course))
