from __future__ import annotations

from typing import Any

import pytest

from tests.asgi import request
from tests.gateways import actions, gateway

pytestmark = pytest.mark.anyio

DENY = actions("deny")
NEEDS = actions(
    ("ai-gateway", {"providers": [{"id": "openai", "api_keys": [{"value": "${secrets.get('openai', 'one')}"}]}]})
)


async def test_it_says_that_it_is_alive() -> None:
    response = await request(gateway(DENY).app, path="/healthz")
    assert (response.status, response.json()) == (200, {"status": "ok"})


async def test_it_is_ready_when_its_secrets_can_be_had() -> None:
    response = await request(gateway(NEEDS, vaults={"openai": {"one": "sk-secret-value"}}).app, path="/readyz")
    assert (response.status, response.json()["status"]) == (200, "ready")
    assert "sk-secret-value" not in response.text


@pytest.mark.parametrize("vaults", [{}, {"openai": {"one": ""}}, {"openai": {"one": "sk-secret\nvalue"}}], ids=str)
async def test_it_is_not_ready_while_one_is_missing_and_tells_strangers_no_names(vaults: Any) -> None:
    response = await request(gateway(NEEDS, vaults=vaults).app, path="/readyz")
    assert (response.status, response.json()["status"]) == (503, "unready")
    assert response.json()["checks"] == {"policy": "ok", "secrets": "1 cannot be had"}


@pytest.mark.parametrize(
    ("client", "fields", "ip"),
    [
        (("192.0.2.1", 1), {}, "192.0.2.1"),
        (("::ffff:192.0.2.1", 1), {}, "192.0.2.1"),
        (("10.0.0.1", 1), {"x-forwarded-for": "192.0.2.1"}, "192.0.2.1"),
        (("192.0.2.1", 1), {"x-forwarded-for": "6.6.6.6"}, "192.0.2.1"),
        (None, {}, None),
    ],
)
async def test_it_tells_callers_their_address(client: Any, fields: Any, ip: str | None) -> None:
    app = gateway(DENY, trusted_proxies="10.0.0.0/8").app
    response = await request(app, path="/ip", client=client, headers=fields)
    assert (response.status, response.json()) == (200, {"ip": ip})


async def test_an_address_that_cannot_be_parsed_is_refused() -> None:
    app = gateway(DENY, trusted_proxies="10.0.0.0/8").app
    response = await request(app, path="/ip", client=("10.0.0.1", 1), headers={"x-forwarded-for": "junk"})
    assert response.status == 403


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/ip"])
async def test_these_paths_take_get_and_head(path: str) -> None:
    app = gateway(DENY).app
    head = await request(app, "HEAD", path)
    assert (head.status, head.body, int(head.headers["content-length"]) > 0) == (200, b"", True)
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        response = await request(app, method, path)
        assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/v1/nothing", "/healthz/", "/HEALTHZ", "/v1/é", "/a\r\nb", "/" + "x" * 60_000]
)
async def test_there_is_nothing_elsewhere(path: str) -> None:
    response = await request(gateway(actions("ai-gateway")).app, path=path.encode().decode("latin-1"))
    assert (response.status, response.json()["error"]["code"]) == (404, "not_found")


async def test_a_policy_that_answers_nothing_is_told_so() -> None:
    response = await request(gateway(actions(("set-vars", {"vars": []}))).app, "POST", "/v1/chat/completions", json={})
    assert (response.status, response.json()["error"]["code"]) == (404, "not_found")
    assert response.json()["error"]["message"].endswith("No rule of the policy has answered.")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/ip", "/nothing", "/v1/models", "/v1//models"])
async def test_every_answer_has_an_id(path: str) -> None:
    response = await request(gateway(DENY).app, path=path)
    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("path", ["/healthz", "/ip", "/v1/models", "/nothing"])
async def test_mounted_it_answers_below_its_mount(path: str) -> None:
    app = gateway(actions(("custom-response", {"body": "${req.url.path}"}))).app
    response = await request(app, path=path, root_path="/a/b")
    assert response.status == (404 if path == "/nothing" else 200)
    assert path != "/v1/models" or response.text == "/v1/models"
