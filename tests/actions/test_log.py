from __future__ import annotations

import logging
from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.actions.configs import loads, refuses, shown
from tests.asgi import request
from tests.gateways import Host, actions, gateway, records

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ai_gateway_mw.log")


async def noted(metadata: Any, caplog: pytest.LogCaptureFixture, *before: Any, path: str = "/v1/models") -> Any:
    app = gateway(actions(*before, ("log", {"metadata": metadata})), vaults={"v": {"n": "sk-very-secret"}})
    await request(GatewayMiddleware(Host(), gateway=app), path=path)
    (record,) = records(caplog, "ai_gateway_mw.log")
    return record["metadata"]


@pytest.mark.parametrize(
    ("metadata", "written"),
    [
        ({}, {}),
        ({"a": "text", "b": 1, "c": False, "d": None}, {"a": "text", "b": 1, "c": False, "d": None}),
        ({"m": "${req.method}", "t": "method: ${req.method}"}, {"m": "GET", "t": "method: GET"}),
        ({"h": "${req.headers}"}, {"h": {"host": ["gateway.test"]}}),
        ({"deep": [{"er": ["${1 + 1}"]}]}, {"deep": [{"er": [2]}]}),
        ({"nope": "${req.headers['nope'][0]}", "a": 1}, {"nope": None, "a": 1}),
        ({"e": "${actions.ngrok.restrict_ips.error.code}"}, {"e": None}),
        ({"t": "${duration('1.5s')}", "b": "${b'ab'}"}, {"t": "1.5s", "b": "YWI="}),
    ],
    ids=str,
)
async def test_what_is_written(metadata: Any, written: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert await noted(metadata, caplog) == written


GOOD: list[dict[str, Any]] = [
    {"metadata": {}},
    {"metadata": {"a": "text", "b": 1, "c": False, "d": None}},
    {"metadata": {"m": "${req.method}", "deep": [{"er": ["$<1 + 1>"]}]}},
    {"metadata": {"e": "${actions.ngrok.restrict_ips.error.code}"}},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "{}", "the config of `log` needs `metadata`"),
    ({"metadata": "x"}, '"x"', "`metadata` must be a mapping, not the text `x`"),
    ({"metadata": ["x"]}, "[", "`metadata` must be a mapping, not a list"),
    ({"metadata": {"a": "${nope}"}}, "nope}", "unknown name `nope`"),
    ({"metadata": {"a": "${"}}, "${", "`${` is never closed with `}`"),
    ({"metadata": None}, "null", "`metadata` must be a mapping, not nothing"),
    ({"metadata": {"a": "${1 + 'a'}"}}, "+", "int and string cannot be added with `+`"),
    ({"metadata": {"a": [{"b": "${req.nope}"}]}}, "req.nope}", "unknown name `req.nope`"),
    (
        {"metadata": {"a": "${res.status_code}"}},
        "res.status_code}",
        "unknown name `res.status_code` (`res.*` is known in",
    ),
    (
        {"metadata": {"a": "${secrets.get('v', 'n')}"}},
        "${secrets.get('v'",
        "a secret must not be used here: this text is shown to clients or",
    ),
    ({"metadata": {"": "a"}}, '""', "a key may not be empty"),
    ({"metadata": {}, "level": "debug"}, '"level"', "unknown field `level`; known are `metadata`"),
    ({"metadata": {}, "meta": {}}, '"meta"', "unknown field `meta`; known are `metadata`"),
]


@pytest.mark.parametrize("config", GOOD, ids=shown)
def test_configs_that_load(config: dict[str, Any]) -> None:
    loads("log", config)


@pytest.mark.parametrize(("config", "at", "says"), BAD)
def test_configs_that_are_refused(config: dict[str, Any], at: str, says: str) -> None:
    refuses("log", config, at, says)


async def test_a_secret_that_came_by_way_of_a_variable_is_redacted(caplog: pytest.LogCaptureFixture) -> None:
    before = ("set-vars", {"vars": [{"k": "${secrets.get('v', 'n')}"}]})
    assert await noted({"k": "Bearer ${vars.k}"}, caplog, before) == {"k": "Bearer [redacted]"}
    assert "sk-very-secret" not in caplog.text


@pytest.mark.parametrize("text", ["%0d%0aERROR%20forged", "%1b[2J", "%e2%80%a8", "%00"])
async def test_a_client_cannot_write_lines_of_its_own(text: str, caplog: pytest.LogCaptureFixture) -> None:
    metadata = {"q": "${req.url.query_params['q'][0]}"}
    await noted(metadata, caplog, path=f"/v1/models?q={text}")
    for record in caplog.records:
        line = record.getMessage()
        assert line.isascii()
        assert line.isprintable()


async def test_one_record_for_each_action_with_the_id_of_the_request(caplog: pytest.LogCaptureFixture) -> None:
    policy = actions(("log", {"metadata": {"n": 1}}), ("log", {"metadata": {"n": 2}}), ("custom-response", {}))
    policy |= actions(("log", {"metadata": {"status": "${res.status_code}"}}), phase="on_http_response")
    response = await request(gateway(policy).app, path="/v1/models")
    found = records(caplog, "ai_gateway_mw.log")
    assert [record["metadata"] for record in found] == [{"n": 1}, {"n": 2}, {"status": 200}]
    assert {record["request"] for record in found} == {response.headers["x-request-id"]}


async def test_what_was_noted_can_be_read_as_a_result() -> None:
    policy = actions(
        ("log", {"metadata": {"a": "${1}"}}), ("custom-response", {"body": "${actions.ngrok.log.metadata}"})
    )
    assert (await request(gateway(policy).app, path="/v1/models")).json() == {"a": 1}
