"""An admin plane over a database of its own, and what asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.services import Services
from tests.asgi import Response, request
from tests.gateways import actions, bearer, gateway

TOKEN = "an-admin-token-of-good-length-7f3c"
POLICY = actions("gateway-auth", ("custom-response", {"body": "served"}))


class Plane:
    """A gateway with an admin plane, and its client."""

    def __init__(self, gate: Gateway, base: str = "/admin/api/v1") -> None:
        self.gateway = gate
        self.app: Any = gate.app
        self.base = base

    @property
    def services(self) -> Services:
        return self.gateway.stores.accounts.services

    async def __call__(self, method: str, path: str, *, token: str | None = TOKEN, **more: Any) -> Response:
        headers = [*(bearer(token).items() if token is not None else ()), *dict(more.pop("headers", {})).items()]
        return await request(self.app, method, self.base + path, headers=headers, **more)

    async def good(self, method: str, path: str, *, status: int = 200, **more: Any) -> Any:
        """The JSON of an answer that has this status."""
        response = await self(method, path, **more)
        assert response.status == status, response.text
        return response.json()

    async def refusal(self, method: str, path: str, **more: Any) -> tuple[int, str, str]:
        """Status, code and field of a refusal."""
        response = await self(method, path, **more)
        error = response.json()["error"]
        assert error["request_id"] == response.headers["x-request-id"]
        assert error["message"]
        return response.status, error["code"], error.get("field", "")

    async def key(self, name: str = "production-api-primary", **more: Any) -> dict[str, Any]:
        """A new key, as it was answered."""
        made: dict[str, Any] = await self.good("POST", "/keys", json={"name": name, **more}, status=201)
        return made

    async def serves(self, text: str) -> bool:
        """Whether this process takes the key."""
        return (await request(self.app, path="/v1/models", headers=bearer(text))).status == 200


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[Plane]:
    made = Plane(gateway(POLICY, data_dir=tmp_path, admin_token=TOKEN))
    async with made.gateway.lifespan():
        yield made
