from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from fastapi import FastAPI

from ai_gateway_mw.admin import PREFIX, AdminApp, Operation, Permission, Principal, operations
from tests.admin.conftest import POLICY, TOKEN, Plane
from tests.asgi import Lifespan, request
from tests.gateways import bearer, gateway

pytestmark = pytest.mark.anyio

OPERATIONS = operations()
NO_KEY = "key_" + "0" * 23


def each() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)


# Permissions ------------------------------------------------------------------------------------------------------


def test_every_operation_must_declare_one() -> None:
    field = next(field for field in dataclasses.fields(Operation) if field.name == "permission")
    assert (field.default, field.default_factory) == (dataclasses.MISSING, dataclasses.MISSING)
    assert all(isinstance(operation.permission, Permission) for operation in OPERATIONS)


def test_who_may_only_read_changes_nothing() -> None:
    changing = {op.id for op in OPERATIONS if op.method != "GET" and op.permission is not Permission.KEYS_WRITE}
    assert changing == {"checkPolicy", "explainRequest"}  # which only look
    assert not [op.id for op in OPERATIONS if op.method == "GET" and op.permission is Permission.KEYS_WRITE]


@each()
async def test_a_token_without_the_permission_is_refused(operation: Operation, plane: Plane) -> None:
    others = frozenset(Permission) - {operation.permission}
    app = AdminApp(plane.gateway, Principal("auditor", others))
    path = PREFIX + operation.path.replace("{id}", NO_KEY)
    response = await request(app, operation.method, path, headers=bearer(TOKEN))
    assert (response.status, response.json()["error"]["code"]) == (403, "permission_denied")


@each()
async def test_with_it_alone_it_is_not(operation: Operation, plane: Plane) -> None:
    app = AdminApp(plane.gateway, Principal("one", frozenset({operation.permission})))
    path = PREFIX + operation.path.replace("{id}", NO_KEY)
    assert (await request(app, operation.method, path, headers=bearer(TOKEN))).status not in (401, 403)


@each()
async def test_nobody_gets_in_without_the_token(operation: Operation, plane: Plane) -> None:
    path = operation.path.replace("{id}", NO_KEY)
    assert (await plane.refusal(operation.method, path, token=None))[0] == 401


async def test_the_actor_is_the_principal(plane: Plane) -> None:
    app = AdminApp(plane.gateway, Principal("second", frozenset(Permission)))
    body = {"name": "a"}
    made = await request(app, "POST", PREFIX + "/keys", headers=bearer(TOKEN), json=body)
    assert made.status == 201
    assert (await plane.services.audit.latest(limit=1))[0].actor == "second"


# Methods, paths, fields -------------------------------------------------------------------------------------------


@each()
async def test_other_methods_are_told_which_ones_there_are(operation: Operation, plane: Plane) -> None:
    path = operation.path.replace("{id}", NO_KEY)
    known = {op.method for op in OPERATIONS if op.path == operation.path}
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - known:
        response = await plane(method, path)
        assert (response.status, response.json()["error"]["code"]) == (405, "method_not_allowed")
        allowed = known | ({"HEAD"} if "GET" in known else set())
        assert response.headers["allow"] == ", ".join(sorted(allowed))


async def test_head_is_get_without_the_body(plane: Plane) -> None:
    for path in ("/keys", "/audit/export"):
        head, get = await plane("HEAD", path), await plane("GET", path)
        assert (head.status, head.body, head.headers["content-type"]) == (200, b"", get.headers["content-type"])


@each()
async def test_no_answer_is_kept_or_shared(operation: Operation, plane: Plane) -> None:
    path = operation.path.replace("{id}", NO_KEY)
    for token in (TOKEN, None):
        response = await plane(operation.method, path, token=token, headers={"origin": "https://evil.test"})
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["x-request-id"].startswith("req_")
        assert not [name for name in response.headers if name.startswith(("access-control", "set-cookie"))]


@pytest.mark.parametrize(
    "path", ["", "/", "/keys/", "//keys", "/Keys", "/keys/x/y/z", "/../v1/keys", "/keys%00", "/usage", "/keys/a\r\nb"]
)
async def test_there_is_nothing_elsewhere(path: str, plane: Plane) -> None:
    response = await plane("GET", path)
    assert response.status in (400, 404)
    assert response.json()["error"]["code"] in ("not_found", "ambiguous_path", "key_not_found")
    assert b"\r" not in response.body


# Mounts -----------------------------------------------------------------------------------------------------------


async def test_mounted_in_an_app(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = gateway(POLICY, data_dir=tmp_path, admin_token=TOKEN)
    app, outer = FastAPI(lifespan=gate.lifespan), FastAPI(lifespan=gate.lifespan)
    app.mount("/ai-admin", gate.admin_app)
    outer.mount("/outer", app)
    for asked, base in ((app, "/ai-admin"), (outer, "/outer/ai-admin")):
        async with Lifespan(asked):
            plane = Plane(gate, base + "/api/v1")
            plane.app = asked
            response = await plane("POST", "/keys", json={"name": base.replace("/", "-")})
            where = response.headers["location"]
            assert where == f"{base}/api/v1/keys/{response.json()['key']['id']}"
            assert (await request(asked, path=where, headers=bearer(TOKEN))).json()["name"] == base.replace("/", "-")
            assert (await plane.good("GET", "/openapi.json"))["servers"] == [{"url": f"{base}/api/v1"}]
            assert (await plane.refusal("GET", "/keys", token=None))[0] == 401
            assert (await request(asked, path="/admin/api/v1/keys", headers=bearer(TOKEN))).status == 404
    assert "opened by its first request" not in caplog.text


@pytest.mark.parametrize("root", ["", "/a", "/a/b"])
async def test_stand_alone_under_a_root_path(root: str, plane: Plane) -> None:
    response = await plane("POST", "/keys", json={"name": "x"}, root_path=root)
    assert response.headers["location"].startswith(f"{root}/admin/api/v1/keys/key_")
    where = response.headers["location"].removeprefix(root)
    assert (await request(plane.app, path=where, headers=bearer(TOKEN), root_path=root)).status == 200


async def test_a_server_that_keeps_the_root_out_of_the_path(plane: Plane) -> None:
    scope = {"path": "/admin/api/v1/keys", "raw_path": b"/admin/api/v1/keys"}
    assert (await request(plane.app, headers=bearer(TOKEN), root_path="/a", **scope)).status == 200


async def test_where_no_lifespan_reaches_it_it_opens_with_the_first_who_may(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = gateway(POLICY, data_dir=tmp_path / "data", admin_token=TOKEN)
    assert (await request(gate.admin_app, path="/api/v1/keys")).status == 401
    assert not (tmp_path / "data").exists()
    assert (await request(gate.admin_app, path="/api/v1/keys", headers=bearer(TOKEN))).status == 200
    assert "opened by its first request" in caplog.text
    await gate.stores.aclose()


async def test_ai_paths_are_served_as_before(plane: Plane) -> None:
    assert await plane.serves((await plane.key())["text"])


# The documents ----------------------------------------------------------------------------------------------------


def test_the_documentation_has_a_row_for_each() -> None:
    text = (Path(__file__).parents[2] / "docs" / "admin-api.md").read_text()
    rows = [f"| `{op.method} {op.path}` | `{op.permission}` | {op.summary} |" for op in OPERATIONS]
    table = text.partition("| --- | --- | --- |\n")[2].partition("\n\n")[0]
    assert table.splitlines() == rows


async def test_what_is_told_is_all_ascii(plane: Plane) -> None:
    made = await plane("POST", "/keys", json={"name": "ключ \U0001f511"})
    assert made.body.isascii()
    assert json.loads(made.body)["key"]["name"] == "ключ \U0001f511"
