from __future__ import annotations

import logging
from typing import Any

import pytest

from ai_gateway_mw import GatewayMiddleware
from tests.asgi import request
from tests.gateways import CHAT_PATH, Host, actions, gateway, records, request_log

pytestmark = pytest.mark.anyio

SAYS = ("custom-response", {"body": "matched"})


async def ask(policy: Any, path: str = "/v1/models", method: str = "GET", **exchange: Any) -> Any:
    return await request(gateway(policy).app, method, path, **exchange)


@pytest.mark.parametrize(
    ("expressions", "matches"),
    [
        ([], True),
        (["true"], True),
        (["false"], False),
        (["true", "true"], True),
        (["true", "false"], False),
        (["req.method == 'GET'", "req.url.path == '/v1/models'"], True),
        (["true // a comment", "true"], True),
        (["false || true", "false"], False),  # each is a whole: `||` does not reach into the next
        (["false", "req.headers['nope'][0] == ''"], False),  # CEL: an error beside false is false
    ],
)
async def test_a_rule_runs_when_all_its_expressions_are_true(expressions: list[str], matches: bool) -> None:
    policy = actions(SAYS, expressions=expressions)
    policy["on_http_request"].append({"actions": [{"type": "custom-response", "config": {"body": "no"}}]})
    response = await ask(policy)
    assert response.text == ("matched" if matches else "no")


async def test_actions_run_in_the_order_of_the_file_until_one_answers() -> None:
    policy = {
        "on_http_request": [
            {"actions": [{"type": "set-vars", "config": {"vars": [{"seen": "1"}]}}]},
            {
                "expressions": ["vars.seen == '1'"],
                "actions": [
                    {"type": "set-vars", "config": {"vars": [{"seen": "${vars.seen}2"}]}},
                    {"type": "custom-response", "config": {"body": "${vars.seen}"}},
                ],
            },
            {"actions": [{"type": "deny"}]},
        ]
    }
    assert (await ask(policy)).text == "12"


async def test_the_connection_phase_runs_before_the_request_phase() -> None:
    policy = actions(("set-vars", {"vars": [{"who": "${conn.client_ip}"}]}), phase="on_tcp_connect")
    policy |= actions(("custom-response", {"body": "${vars.who}"}))
    assert (await ask(policy)).text == "127.0.0.1"


async def test_a_connection_that_is_denied_goes_no_further() -> None:
    policy = actions("deny", phase="on_tcp_connect") | actions(SAYS)
    response = await ask(policy)
    assert (response.status, response.body) == (403, b"")


FAILING = [
    pytest.param("req.headers['authorization'][0] != 'Bearer evil'", id="a header that is left out"),
    pytest.param("req.headers['x-n'][5] == 'a'", id="an index beyond the end"),
    pytest.param("vars.nope == 1", id="a variable that was never set"),
    pytest.param("int(req.headers['x-n'][0]) > 1", id="a conversion"),
    pytest.param("1 / int(req.content_length) > 0", id="a division by zero"),
    pytest.param("!actions.ngrok.rate_limit.limited", id="the contrary of what an action that has not run says"),
]  # fmt: skip


@pytest.mark.parametrize("expression", FAILING)
async def test_an_expression_that_fails_refuses(expression: str, caplog: pytest.LogCaptureFixture) -> None:
    """A guard that denies must not be opened by leaving out what it looks at."""
    log = request_log(caplog)
    response = await ask(actions("deny", expressions=[expression]), headers={"x-n": "abc"})
    assert response.status == 403
    error = {"message": "The request was refused by policy.", "type": "permission_error", "code": "policy_denied"}
    assert response.json()["error"] == error | {"param": None}
    (record,) = log()
    assert (record["status"], record["refused"]) == (403, "policy_denied")
    assert record["reason"].startswith("rule 1 of on_http_request: ")


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer evil"}, {"authorization": ""}])
async def test_a_guard_on_a_header_stays_shut_without_it(headers: dict[str, str]) -> None:
    policy = actions("deny", expressions=["req.headers['authorization'][0] != 'Bearer good'"])
    policy["on_http_request"].append({"actions": [{"type": "custom-response", "config": {"body": "in"}}]})
    assert (await ask(policy, headers=headers)).status == 403
    assert (await ask(policy, headers={"authorization": "Bearer good"})).text == "in"


async def test_a_template_that_fails_refuses_and_names_its_action(caplog: pytest.LogCaptureFixture) -> None:
    log = request_log(caplog)
    response = await ask(actions(("custom-response", {"body": "${vars.nope}"})))
    assert response.status == 403
    assert "custom-response" in log()[0]["reason"]
    assert "nope" not in response.text


@pytest.mark.parametrize(
    "expression",
    ["req.body.model == 'a'", "has(req.body.model)", "req.body.model in ['a']", "!(req.body.model == 'a')"],
)
@pytest.mark.parametrize(
    ("path", "read"),
    [
        (CHAT_PATH, lambda body: body["error"]["type"] == "invalid_request_error"),
        ("/v1/messages", lambda body: body["error"]["type"] == "invalid_request_error" and body["type"] == "error"),
        ("/v1beta/models/g:generateContent", lambda body: body["error"]["status"] == "INVALID_ARGUMENT"),
    ],
    ids=["openai", "anthropic", "gemini"],
)
async def test_a_body_that_is_no_json_is_the_clients_fault(expression: str, path: str, read: Any) -> None:
    response = await ask(actions("deny", expressions=[expression]), path, "POST", body=b'{"model":')
    assert response.status == 400
    assert read(response.json())


async def test_a_broken_body_is_told_on_paths_of_the_host_too() -> None:
    policy = actions("deny", expressions=["req.body.model == 'a'"])
    app = _around(Host(), policy)
    response = await request(app, "POST", "/orders", body=b"a=1")
    assert (response.status, response.json()["error"]["code"]) == (400, "invalid_request")


def _around(host: Any, policy: Any) -> Any:
    return GatewayMiddleware(host, gateway=gateway(policy), intercept="all")


async def test_a_log_action_never_fails_the_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ai_gateway_mw.log")
    host = Host()
    app = _around(host, actions(("log", {"metadata": {"m": "${req.body.model}", "n": "${vars.nope}"}})))
    response = await request(app, "POST", "/orders", body=b"a=1")
    assert (response.status, host.bodies) == (200, [b"a=1"])
    assert records(caplog, "ai_gateway_mw.log")[0]["metadata"] == {"m": None, "n": None}


async def test_the_body_is_handed_on_after_a_rule_has_read_it() -> None:
    host = Host()
    app = _around(host, actions("deny", expressions=["req.body.a == 2"]))
    assert (await request(app, "POST", "/orders", body=b'{"a": 1}')).status == 200
    assert host.bodies == [b'{"a": 1}']


async def test_response_rules_can_read_the_request_body_that_the_app_has_taken() -> None:
    host = Host()
    policy = actions(("add-headers", {"headers": {"x-model": "${req.body.model}"}}), phase="on_http_response")
    response = await request(_around(host, policy), "POST", "/orders", json={"model": "m"})
    assert (response.headers["x-model"], host.bodies) == ("m", [b'{"model": "m"}'])


async def test_what_a_rule_sets_is_seen_in_the_response_phase() -> None:
    policy = actions(("set-vars", {"vars": [{"team": "blue"}]}), SAYS)
    policy |= actions(("add-headers", {"headers": {"x-team": "${vars.team}"}}), phase="on_http_response")
    assert (await ask(policy)).headers["x-team"] == "blue"
