from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw import Gateway
from tests.admin.conftest import POLICY, TOKEN, Plane
from tests.gateways import gateway, secret_store

pytestmark = pytest.mark.anyio

YAML = {"content-type": "application/yaml"}
TEXT = """\
# The team's policy
on_http_request:
  - actions:
      - type: gateway-auth
      - type: ai-gateway
        config:
          providers:
            - id: openai
              api_keys:
                - value: hunter2-as-a-literal
                - value: ${secrets.get('openai', 'one')}
          headers:
            x-internal: another-literal
"""


async def opened(tmp_path: Path, policy: Any = POLICY, **more: Any) -> Plane:
    return Plane(gateway(policy, data_dir=tmp_path / "data", admin_token=TOKEN, **more))


# Health -----------------------------------------------------------------------------------------------------------


async def test_health_says_what_is_known(plane: Plane) -> None:
    health = await plane.good("GET", "/health")
    assert (health["status"], health["database"]) == ("ok", {"status": "ok", "kind": "sqlite"})
    assert health["policy"]["missing_secrets"] == 0


async def test_a_missing_secret_is_counted(tmp_path: Path) -> None:
    plane = await opened(tmp_path, TEXT)
    async with plane.gateway.lifespan():
        health = await plane.good("GET", "/health")
    assert (health["status"], health["policy"]["missing_secrets"]) == ("degraded", 1)


# Policy -----------------------------------------------------------------------------------------------------------


async def test_the_policy_in_force_is_shown_without_credentials(tmp_path: Path) -> None:
    file = tmp_path / "team.yaml"
    file.write_text(TEXT)
    secrets = secret_store({"openai": {"one": "sk-secret-value"}})
    gate = Gateway.from_file(file, secrets=secrets, data_dir=tmp_path / "data", admin_token=TOKEN)
    plane = Plane(gate)
    async with gate.lifespan():
        answer = await plane.good("GET", "/policy")
        assert answer["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert (answer["name"], [warning["line"] for warning in answer["warnings"]]) == (str(file), [10])
        shown = TEXT.replace("hunter2-as-a-literal", '"***"').replace("another-literal", '"***"')
        assert answer["text"] == shown
        await plane.good("GET", "/health")


async def test_what_stands_around_a_policy_in_its_file_is_not_shown(tmp_path: Path) -> None:
    text = "agent: {authtoken: hunter2}\nendpoints:\n  - name: a\n    traffic_policy:\n      on_http_request:\n"
    text += "        - actions: [{type: deny}]\n    upstream: {url: 'http://user:hunter2@host'}\n"
    plane = await opened(tmp_path, text)
    async with plane.gateway.lifespan():
        answer = await plane.good("GET", "/policy")
    assert "hunter2" not in answer["text"]
    assert answer["text"].startswith("      on_http_request:\n        - actions: [{type: deny")


@pytest.mark.parametrize("media_type", ["application/yaml", "text/plain; charset=utf-8"])
async def test_a_policy_is_checked_and_not_put_in_force(plane: Plane, media_type: str) -> None:
    before = await plane.good("GET", "/policy")
    headers = {"content-type": media_type}
    good = await plane.good("POST", "/policy/check", body=TEXT.encode(), headers=headers)
    assert (good["valid"], [problem["severity"] for problem in good["problems"]]) == (True, ["warning"])
    wrong = TEXT.replace("providers:", "providor:")
    bad = await plane.good("POST", "/policy/check", body=wrong.encode(), headers=headers)
    problem = next(problem for problem in bad["problems"] if problem["severity"] == "error")
    assert (bad["valid"], problem["file"], problem["line"], problem["column"]) == (False, "policy.yaml", 7, 11)
    assert (problem["severity"], problem["hint"]) == ("error", "providers")
    assert await plane.good("GET", "/policy") == before


@pytest.mark.parametrize(
    "text", ["", "[", "\x00", "a: &a [*a]", "{}", "- " * 5000, "é: 1", "!!python/object:os.system x"]
)
async def test_whatever_is_no_policy_has_its_problems(plane: Plane, text: str) -> None:
    answer = await plane.good("POST", "/policy/check", body=text.encode(), headers=YAML)
    assert answer["problems"]


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"\xff", YAML, (400, "invalid_text")),
        (b"{}", {"content-type": "application/json"}, (415, "unsupported_media")),
        (b"{}", {}, (415, "unsupported_media")),
        (b"#" * (1024 * 1024 + 1), YAML, (413, "request_too_large")),
    ],
    ids=["bytes", "json", "nothing", "large"],
)
async def test_what_cannot_be_a_policy_text(plane: Plane, body: bytes, headers: Any, expected: Any) -> None:
    assert (await plane.refusal("POST", "/policy/check", body=body, headers=headers))[:2] == expected


# Failures ---------------------------------------------------------------------------------------------------------


async def test_without_its_database_it_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plane = await opened(tmp_path)
    async with plane.gateway.lifespan():
        made = await plane.key()
        await plane.services.installation.database.aclose()
        for file in (tmp_path / "data").glob("gateway.db*"):
            file.unlink()
        (tmp_path / "data" / "gateway.db").write_bytes(b"this is no database, whoever looks at it" * 100)
        key = made["key"]["id"]
        for method, path, more in (
            ("GET", "/keys", {}),
            ("POST", "/keys", {"json": {"name": "b"}}),
            ("POST", f"/keys/{key}/revoke", {}),
            ("GET", "/usage/days", {}),
            ("GET", "/audit/export", {}),
            ("GET", "/audit/verify", {}),
        ):
            response = await plane(method, path, client=("192.0.2.5", 1), **more)
            error = response.json()["error"]
            assert (response.status, error["code"]) == (503, "database_unavailable"), path
            assert response.headers["retry-after"] == "1"
            assert "gateway.db" not in response.text
        health = await plane.good("GET", "/health")
        assert (health["status"], health["database"]) == ("degraded", {"status": "unavailable", "kind": "sqlite"})
        assert (await plane.good("GET", "/policy"))["name"] == "<policy>"
    assert "could not be written to the audit log" in caplog.text


async def test_a_database_that_was_never_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'not-a-directory' / 'x.db'}"
    (tmp_path / "not-a-directory").write_text("")
    plane = await opened(tmp_path, actions_only(), database_url=url)
    async with plane.gateway.lifespan():
        assert (await plane.refusal("GET", "/keys"))[:2] == (503, "database_unavailable")
        health = await plane.good("GET", "/health")
        assert health["database"] == {"status": "unavailable", "kind": None}


def actions_only() -> dict[str, Any]:
    return {"on_http_request": [{"actions": [{"type": "deny"}]}]}


async def test_a_failure_of_ours_is_told_without_details(plane: Plane, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> list[Any]:
        raise RuntimeError("the details")

    plane.gateway.missing_secrets = broken  # type: ignore[method-assign]
    response = await plane("GET", "/health")
    assert (response.status, response.json()["error"]["code"]) == (500, "internal_error")
    assert "the details" not in response.text
    assert "the details" in caplog.text


# Secrets ----------------------------------------------------------------------------------------------------------


async def test_neither_the_token_nor_a_key_is_told_anywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    plane, told, texts = await opened(tmp_path, TEXT, vaults={"openai": {"one": "sk-secret-value"}}), list[bytes](), []
    async with plane.gateway.lifespan():
        made = await plane.key("a")
        key = made["key"]["id"]
        rotated = await plane.good("POST", f"/keys/{key}/rotate", status=201)
        revoked = await plane.good("POST", f"/keys/{rotated['key']['id']}/revoke", json={"successor": True})
        texts = [made["text"], rotated["text"], revoked["successor"]["text"]]
        asked: list[tuple[str, str, dict[str, Any]]] = [
            *(
                ("GET", path, {})
                for path in ("/keys", f"/keys/{key}", f"/keys/{key}/callers", "/audit", "/audit/export")
            ),
            *(("GET", path, {}) for path in ("/audit/verify", "/health", "/policy", "/openapi.json", "/usage/keys")),
            ("GET", f"/keys/{made['text']}", {"token": "wrong"}),
            ("GET", f"/keys?name={TOKEN}x&limit=0", {}),
            ("POST", "/keys", {"json": {"name": "a", "nested": made["text"]}}),
            ("POST", "/keys", {"body": made["text"].encode(), "headers": {"content-type": "application/json"}}),
            ("POST", "/keys", {"json": {"name": "b", "expires_at": TOKEN}}),
            ("POST", "/policy/check", {"body": f"{made['text']}: 1\n".encode(), "headers": YAML}),
            ("POST", "/policy/check", {"body": f"on_http_request: {TOKEN}\n".encode(), "headers": YAML}),
        ]
        for method, path, more in asked:
            response = await plane(method, path, **more)
            told += [response.body, *(value for _, value in response.headers.raw)]
    everything = b"\n".join([*told, caplog.text.encode()])
    for secret in (TOKEN, "sk-secret-value", *texts):
        assert secret.encode() not in everything
    for file in (tmp_path / "data").rglob("*"):
        assert file.is_dir() or not [secret for secret in (TOKEN, *texts) if secret.encode() in file.read_bytes()]
