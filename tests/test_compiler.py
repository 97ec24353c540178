from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw.compiler import compile_policy
from ai_gateway_mw.policy import Phase, load_policy
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from tests.gateways import actions, problems_of, secret_store


def compiled(policy: Any) -> Any:
    return compile_policy(load_policy(policy, name="p.yaml"), Stores(Settings(), secrets=secret_store()))


MANY = """\
on_http_request:
  - expressions: ["req.url.path.startWith('/v1/')"]
    actions:
      - type: denny
  - actions:
      - type: add-headers
        config: {headers: {"bad name": "1", x-a: "${nope}"}}
      - type: restrict-ips
        config: {allow: ["10.0.0.1", "${1 +}"]}
  - actions:
      - type: deny
        config: {status: 403}
      - type: log
        config: {metadata: {}}
on_http_response:
  - actions: [{type: gateway-auth}]
"""


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    found = [(p.place.line, p.place.column) if p.place else None for p in problems_of(MANY)]
    assert found == sorted(found)  # type: ignore[type-var]
    messages = "\n".join(map(str, problems_of(MANY)))
    for expected in [
        "startsWith",
        "denny",
        "bad name",
        "nope",
        "10.0.0.1/32",
        "status",
        "never reached",
        "on_http_response",
    ]:
        assert expected in messages, messages


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("{varss: [], vars: [{a: '${nope}'}]}", ["unknown field `varss`", "unknown name `nope`"]),
        ("{vars: [{a: '${nope}'}, {b: {}}], x: 1}", ["unknown name `nope`", "unknown field `x`"]),
    ],
)
def test_a_field_that_is_wrong_hides_no_other(config: str, expected: list[str]) -> None:
    found = problems_of(f"on_http_request:\n  - type: set-vars\n    config: {config}\n")
    assert [problem.message.partition(";")[0] for problem in found] == expected


def test_fields_of_every_depth_are_looked_at_without_those_that_are_wrong() -> None:
    found = problems_of(
        "on_http_request:\n"
        "  - type: ai-gateway\n"
        "    config:\n"
        "      total_timeout: 5\n"
        "      providers:\n"
        "        - {id: mine, base_ur: 'https://a.test', api_keys: [{value: '${nope}'}]}\n"
        "        - {id: openai, api_keys: x}\n"
        "        - {id: other}\n"
        "      model_selection: {strategy: [5]}\n"
        "      api_key_selection: {strategy: ['ai.key']}\n"
    )
    assert [(p.place.line, p.place.column) for p in found if p.place] == [
        (4, 22),
        (6, 22),  # and not that `mine` has no base_url
        (6, 71),
        (7, 34),
        (8, 16),
        (9, 36),
        (10, 39),
    ]


def test_an_action_in_the_wrong_phase_is_looked_at_all_the_same() -> None:
    found = problems_of("on_http_response:\n  - type: gateway-auth\n    config: {requird: true}\n")
    assert [problem.message.partition(";")[0] for problem in found] == [
        "`gateway-auth` cannot run in on_http_response",
        "unknown field `requird`",
    ]


def test_one_mistake_is_one_problem() -> None:
    """A template that does not parse is not also complained about as a range or a key."""
    for action in [
        ("restrict-ips", {"allow": ["${nope}"]}),
        ("gateway-auth", {"keys": [{"name": "k", "value": "${nope}"}]}),
        ("custom-response", {"body": "${nope}"}),
        ("add-headers", {"headers": {"x-a": "${nope}"}}),
        ("set-vars", {"vars": [{"a": "${nope}"}]}),
        ("log", {"metadata": {"a": {"b": ["${nope}"]}}}),
    ]:
        assert len(problems_of(actions(action))) == 1, action


@pytest.mark.parametrize(
    ("written", "hint"), [("denny", "deny"), ("add_headers", "add-headers"), ("gateway_auth", "gateway-auth")]
)
def test_an_unknown_action_is_refused_with_what_was_meant(written: str, hint: str) -> None:
    (problem,) = problems_of(actions(written))
    assert (problem.hint, written in problem.message) == (hint, True)


@pytest.mark.parametrize("kind", ["saml", "owasp-crs-response", "owasp-crs-request", "terminate-tls"])
def test_an_action_that_we_lack_is_refused_by_name(kind: str) -> None:
    """Passing over one would drop a protection without a word."""
    (problem,) = problems_of(actions(kind))
    assert "is not supported" in problem.message


@pytest.mark.parametrize(
    ("kind", "phase"),
    [
        ("deny", "on_http_response"),
        ("ai-gateway", "on_http_response"),
        ("gateway-auth", "on_tcp_connect"),
        ("custom-response", "on_tcp_connect"),
        ("custom-response", "on_event_stream_message"),
    ],
)
def test_an_action_in_a_phase_where_it_cannot_run_is_refused(kind: str, phase: str) -> None:
    (problem,) = problems_of(actions(kind, phase=phase))
    assert phase in problem.message


@pytest.mark.parametrize("last", ["deny", "custom-response", "ai-gateway"])
def test_an_action_behind_one_that_ends_the_phase_is_refused(last: str) -> None:
    (problem,) = problems_of(actions(last, ("log", {"metadata": {}})))
    assert f"`{last}` before it" in problem.message


def test_an_action_may_follow_a_gateway_that_goes_on_after_failing() -> None:
    compiled(actions(("ai-gateway", {"on_error": "continue"}), "deny"))


@pytest.mark.parametrize(
    "expression",
    ["", "1", "'a'", "req.method", "req.method ==", "req.methd == 'GET'", "nope()", "true) || (true", "1 == 'a'"],
)
def test_an_expression_that_cannot_work_is_refused(expression: str) -> None:
    assert problems_of(actions("deny", expressions=[expression]))


def test_two_halves_of_an_expression_do_not_make_a_whole() -> None:
    assert len(problems_of(actions("deny", expressions=["(true", "true)"]))) == 2


@pytest.mark.parametrize(
    ("policy", "needs"),
    [
        (actions("deny", expressions=["req.body.model == 'a'"]), True),
        (actions("deny", expressions=["req.method == 'GET'", "has(req.body.model)"]), True),
        (actions(("set-vars", {"vars": [{"a": {"b": ["${req.body}"]}}]})), True),
        (actions(("custom-response", {"body": "$<req.body.model>"})), True),
        (actions(("log", {"metadata": {"a": "${req.body.model}"}})), True),
        (actions("deny", expressions=["req.headers['body'][0] == 'req.body'"]), False),
        (actions(("custom-response", {"body": "req.body"})), False),
    ],
)
def test_a_rule_knows_whether_it_needs_the_body(policy: Any, needs: bool) -> None:
    program, _ = compiled(policy)
    assert program.needs_body(Phase.ON_HTTP_REQUEST) is needs
    assert not program.needs_body(Phase.ON_HTTP_RESPONSE)


def test_a_strategy_that_reads_the_body_counts_too() -> None:
    strategy = "ai.models.filter(m, m.id == req.body.model)"
    program, _ = compiled(actions(("ai-gateway", {"model_selection": {"strategy": [strategy]}})))
    assert program.needs_body(Phase.ON_HTTP_REQUEST)


def test_warnings_do_not_keep_a_policy_from_loading() -> None:
    _, warnings = compiled("[{type: deny}]")
    assert [warning.severity for warning in warnings] == ["warning"]


def test_rules_are_called_by_their_name_or_number() -> None:
    program, _ = compiled(
        {"on_http_request": [{"name": "who", "actions": [{"type": "deny"}]}, {"actions": [{"type": "deny"}]}]}
    )
    assert [rule.name for rule in program.rules[Phase.ON_HTTP_REQUEST]] == ["who", "2 of on_http_request"]


def test_an_empty_policy_has_no_rules() -> None:
    program, _ = compiled("")
    assert not any(program.rules.values())
    assert not program.has_response_rules


LEAK = "${secrets.get('v', 'n')}"


@pytest.mark.parametrize(
    ("action", "phase"),
    [
        (("custom-response", {"body": LEAK}), "on_http_request"),
        (("custom-response", {"body": f"key: {LEAK}"}), "on_http_response"),
        (("custom-response", {"headers": {"x-a": LEAK}}), "on_http_request"),
        (("add-headers", {"headers": {"x-a": LEAK}}), "on_http_response"),
        (("log", {"metadata": {"a": LEAK}}), "on_http_request"),
        (("log", {"metadata": {"a": [{"b": LEAK}]}}), "on_http_request"),
        (("custom-response", {"body": "${secrets.get('n')}"}), "on_http_request"),
        (("custom-response", {"body": "$<base64.encode(secrets.get('v', 'n'))>"}), "on_http_request"),
        (("custom-response", {"body": "${secrets.get('v', 'n').size()}"}), "on_http_request"),
        (("custom-response", {"body": "${[secrets.get('v', 'n')].map(s, s)[0]}"}), "on_http_request"),
        (("custom-response", {"body": "${true ? secrets.get('v', 'n') : ''}"}), "on_http_request"),
    ],
)
def test_a_secret_where_others_can_read_it_is_refused(action: Any, phase: str) -> None:
    (problem,) = problems_of(actions(action, phase=phase))
    assert "secret must not be used here" in problem.message


@pytest.mark.parametrize(
    "policy",
    [
        actions(("add-headers", {"headers": {"x-a": LEAK}})),
        actions(("set-vars", {"vars": [{"a": LEAK}]})),
        actions(("custom-response", {"body": "${req.method == secrets.get('v', 'n')}"})),
        actions("deny", expressions=["req.method == secrets.get('v', 'n')"]),
        actions(("gateway-auth", {"keys": [{"name": "k", "value": LEAK}]})),
    ],
    ids=["sent upstream", "named", "compared", "in an expression", "a key"],
)
def test_a_secret_where_it_is_meant_to_be_is_fine(policy: Any) -> None:
    program, _ = compiled(policy)
    assert program.secrets == {("v", "n")}


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        (("basic-auth", {"credentials": ["${'ann'}:password-1"], "realm": "${req.host}"}), ["${req.host}"]),
        (
            ("http-request", {"url": "https://a.test/", "query_params": [{"key": "${'a'}", "value": "${'b'}"}]}),
            ["${'a'}"],
        ),
        (("restrict-ips", {"allow": [{"cidr": "${'10.0.0.0/8'}", "label": "${req.id}"}]}), ["${req.id}"]),
        (("set-vars", {"vars": [{"a": ["${req.id}", {"b": "${req.id}"}]}]}), []),
        (("log", {"metadata": {"a": {"b": "${req.id}"}}}), []),
        (("redirect", {"from": "${req.id}", "to": "/${req.id}", "headers": {"x-a": "${req.id}"}}), []),
        (("ai-gateway", {"body": {"user": "${req.id}"}, "headers": {"x-a": "${req.id}"}}), []),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_an_interpolation_where_none_is_evaluated_is_warned_of(action: Any, fields: list[str]) -> None:
    _, warnings = compiled(actions(action))
    assert [warning.message for warning in warnings] == [
        "`${ }` is not evaluated in this field: it is plain text" for _ in fields
    ]
    for warning, text in zip(warnings, fields, strict=True):
        assert warning.place is not None
        assert warning.place.text[warning.place.column - 1 :].startswith(f'"{text}"')


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("actions.ngrok.rate_limit.limitd", "actions.ngrok.rate_limit.limited"),
        ("actions.ngrok.ai_gatway.status", "actions.ngrok.ai_gateway.status"),
        ("actions.ngrok.ai_gateway.error.kode", "actions.ngrok.ai_gateway.error.code"),
        ("actions.nope", ""),
        ("actions.ngrok.nope", ""),
        ("actions.restrict_ips.action", "actions.ngrok.restrict_ips.action"),
    ],
)
def test_a_result_that_no_action_has_is_warned_of(path: str, meant: str) -> None:
    rule = f"on_http_request:\n- expressions: [1 == {path}]\n  actions: [{{type: deny}}]\n"
    _, warnings = compiled(f"{rule}- type: log\n  config: {{metadata: {{it: 'so ${{{path}}}'}}}}\n")
    told = (f"no action has the result `{path}`: to read it fails", meant, "warning")
    assert [(each.message, each.hint, each.severity) for each in warnings] == [told, told]
    assert [(each.place.line, each.place.column) for each in warnings] == [(2, 22), (5, 33)]


def test_what_is_in_a_result_that_no_action_has_is_not_warned_of_as_well() -> None:
    text = "actions.ngrok.http_request.res.headers['x-a'] == ''"
    _, warnings = compiled({"on_http_request": [{"expressions": [text], "actions": [{"type": "deny"}]}]})
    assert [each.hint for each in warnings] == ["actions.ngrok.http_request.res.header"]


@pytest.mark.parametrize(
    "text",
    [
        "size(actions) > 0",
        "actions.ngrok != null",
        "actions.ngrok.ai_gateway != null",
        "actions.ngrok.ai_gateway.success == null",
        "actions.ngrok.ai_gateway.models_tried[0].model == 'm'",
        "actions.ngrok.ai_gateway.client.model == 'm'",
        "actions.gateway_auth.key.metadata.team == 'red'",
    ],
)
def test_a_result_that_an_action_has_is_not(text: str) -> None:
    _, warnings = compiled({"on_http_request": [{"expressions": [text], "actions": [{"type": "deny"}]}]})
    assert warnings == ()
