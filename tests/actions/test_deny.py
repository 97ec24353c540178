from __future__ import annotations

from typing import Any

import pytest

from tests.asgi import request
from tests.gateways import actions, gateway, problems_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("phase", ["on_http_request", "on_tcp_connect"])
@pytest.mark.parametrize(
    ("config", "status"),
    [({}, 403), ({"status_code": 401}, 401), ({"status_code": 200}, 200), ({"status_code": 599}, 599)],
)
async def test_it_is_a_bare_status(config: dict[str, Any], status: int, phase: str) -> None:
    response = await request(gateway(actions(("deny", config), phase=phase)).app, path="/v1/models")
    assert (response.status, response.body) == (status, b"")
    assert response.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    "config",
    [{"status_code": 199}, {"status_code": 600}, {"status_code": "403"}, {"body": "x"}, {"status_code": None}],
    ids=str,
)
def test_configs_that_are_refused(config: dict[str, Any]) -> None:
    assert problems_of(actions(("deny", config)))


async def test_it_does_not_meet_the_response_rules() -> None:
    policy = actions("deny") | actions(("custom-response", {"body": "replaced"}), phase="on_http_response")
    response = await request(gateway(policy).app, path="/v1/models")
    assert (response.status, response.body) == (403, b"")
