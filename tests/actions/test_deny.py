from __future__ import annotations

from typing import Any

import pytest

from tests.actions.configs import loads, refuses, shown
from tests.asgi import request
from tests.gateways import actions, gateway

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


GOOD: list[dict[str, Any]] = [
    {},
    {"status_code": 200},
    {"status_code": 404},
    {"status_code": 599},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"status_code": 199}, "199", "`status_code` must be at least 200, not 199"),
    ({"status_code": 600}, "600", "`status_code` must be at most 599, not 600"),
    ({"status_code": "403"}, '"403"', "`status_code` must be a whole number, not the text `403`"),
    ({"body": "x"}, '"body"', "unknown field `body`; known are `status_code`"),
    ({"status_code": None}, "null", "`status_code` must be a whole number, not nothing"),
    ({"status_code": 403.5}, "403.5", "`status_code` must be a whole number, not 403.5"),
    ({"status_code": True}, "true", "`status_code` must be a whole number, not true"),
    ({"status_code": [403]}, "[", "`status_code` must be a whole number, not a list"),
    ({"status_code": "${400 + 3}"}, '"${400 + 3}"', "`status_code` must be a whole number, not the text `${400 + 3}`"),
    ({"status_code": -403}, "-403", "`status_code` must be at least 200, not -403"),
    ({"status": 403}, '"status"', "unknown field `status`; did you mean `status_code`?"),
    ({"code": 403}, '"code"', "unknown field `code`; known are `status_code`"),
    ({"headers": {"x-a": "1"}}, '"headers"', "unknown field `headers`; known are `status_code`"),
    ({"enforce": "no"}, '"no"', "`enforce` must be true or false, not the text `no`"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("deny", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("deny", config, at, says)


async def test_it_does_not_meet_the_response_rules() -> None:
    policy = actions("deny") | actions(("custom-response", {"body": "replaced"}), phase="on_http_response")
    response = await request(gateway(policy).app, path="/v1/models")
    assert (response.status, response.body) == (403, b"")
