"""Section 1.10 of Traffic Policy's documentation: what is unambiguous loads, and the rest says what to write."""

from __future__ import annotations

import pytest

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.errors import PolicyError
from tests.asgi import request
from tests.gateways import gateway, problems_of

DENY = "{on_http_request: [{type: deny}]}"


def rule(*expressions: str, phase: str = "on_http_request", action: str = "log") -> str:
    config = ", config: {metadata: {}}" if action == "log" else ""
    listed = "".join(f'      - "{each}"\n' for each in expressions)
    return f"{phase}:\n  - expressions:\n{listed}    actions: [{{type: {action}{config}}}]\n"


def template(text: str) -> str:
    return f"on_http_request:\n  - type: custom-response\n    config: {{status_code: 200, body: '{text}'}}\n"


@pytest.mark.parametrize(
    ("source", "warning"),
    [
        ("inbound: [{type: deny}]", "`inbound` is the old name of `on_http_request`"),
        ("outbound: [{type: log, config: {metadata: {}}}]", "`outbound` is the old name of `on_http_response`"),
        ("enabled: true\non_http_request: [{type: deny}]", "`enabled` is no longer part of a policy and does nothing"),
        (f"version: 3\nendpoints: [{{name: a, policy: {DENY}}}]", "`policy` is the old name of `traffic_policy`"),
        (f"policy: {DENY}", "`policy` is the old name of `traffic_policy`"),
    ],
)
def test_what_is_unambiguous_loads_with_a_warning(source: str, warning: str) -> None:
    assert [problem.message for problem in gateway(source).warnings] == [warning]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("enabled: false\non_http_request: []", "switched a policy off"),
        (f"version: 3\nendpoints: [{{policy: {DENY}, traffic_policy: {DENY}}}]", "are the same thing"),
        (f"policy: {DENY}\ntraffic_policy: {DENY}", "are the same thing"),
        ("edges: []", "write what their modules did as rules"),
        ("tunnels: {a: {addr: 80}}", "`ai-gateway import` makes policies of it"),
        (f"apiVersion: v1\nkind: List\nitems: [{DENY}]", "`ai-gateway import` makes policies of them"),
        (f"policy: {DENY}\n---\na: 1", "`ai-gateway import` takes files of several objects"),
        (rule("req.ContentLength > 1"), "did you mean `req.content_length`?"),
        (rule("conn.ClientIP == ''"), "did you mean `conn.client_ip`?"),
        (rule("conn.Geo.CountryCode == ''"), "did you mean `conn.geo.country_code`?"),
        (rule("res.StatusCode == 200", phase="on_http_response"), "did you mean `res.status_code`?"),
        (rule("req.Headers.size() == 0"), "did you mean `req.headers`?"),
        (template("${.ngrok.geo.country_code}"), "did you mean `conn.geo.country_code`?"),
        (template("${.basic_auth.username}"), "did you mean `actions.ngrok.basic_auth.credentials.username`?"),
        (rule("'${secrets.get(1)}' == req.host"), "write what stands in it, without quotes"),
        (rule("req.host == ${vars.test}"), "write it without `${ }`"),
    ],
)
def test_the_rest_is_refused_and_says_what_to_write(source: str, says: str) -> None:
    assert any(says in problem.headline for problem in problems_of(source))


@pytest.mark.parametrize(
    ("variable", "means"),
    [
        ("args", "req.url.query"),
        ("query_string", "req.url.query"),
        ("authority", "req.url.authority"),
        ("is_args", "(req.url.query == '' ? '' : '?')"),
        ("uri", "req.url.path"),
        ("arg_page", "req.url.query_params['page'][0]"),
        ("scheme", "req.url.scheme"),
        ("host", "req.url.host"),
        ("port", "req.url.port"),
        ("user", "req.url.user_password"),
        ("is_user", "req.url.user_password != ''"),
    ],
)
def test_variables_of_nginx_are_text_and_say_what_to_write(variable: str, means: str) -> None:
    (warning,) = gateway(template(f"a ${variable} b")).warnings
    assert f"`${variable}` is plain text" in warning.message
    assert f"write `${{{means}}}`" in warning.message


@pytest.mark.parametrize("text", ["$1", "$name", "$$", "costs $5", "$hostage"])
def test_other_dollars_are_fine(text: str) -> None:
    assert gateway(template(text)).warnings == ()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "config",
    [
        "{content: hi, content_type: text/x-old}",
        "{body: hi, headers: {content-type: text/x-old}}",
        "{content: hi, content_type: text/x-old, headers: {x-a: b}}",
    ],
)
async def test_the_old_fields_of_custom_response(config: str) -> None:
    made = gateway(f"on_http_request:\n  - type: custom-response\n    config: {config}\n")
    answer = await request(made.app, "GET", "/v1/models")
    assert (answer.body, answer.headers["content-type"]) == (b"hi", "text/x-old")


def test_both_ways_to_name_a_content_type_are_refused() -> None:
    config = "{body: a, content_type: b/c, headers: {Content-Type: d/e}}"
    (problem,) = problems_of(f"on_http_request: [{{type: custom-response, config: {config}}}]")
    assert "say the same" in problem.message


@pytest.mark.parametrize("old", ["webhook-verification", "webhook-validation"])
def test_the_old_names_of_verify_webhook(old: str) -> None:
    source = f"on_http_request: [{{type: {old}, config: {{provider: github, secret: 0123456789abcdef}}}}]"
    try:
        found = gateway(source).warnings
    except PolicyError as error:
        assert "verify-webhook" not in ACTIONS
        found = error.problems
    assert found[0].message == f"`{old}` is the old name of `verify-webhook`"
    assert found[0].severity == "warning"


@pytest.mark.parametrize(
    ("old", "new"), [("rolling_window", "window_duration"), ("error_threshold_percentage", "error_threshold")]
)
def test_the_old_fields_of_circuit_breaker(old: str, new: str) -> None:
    from ai_gateway_mw.policy import ActionConfig, load_policy, validated

    class Config(ActionConfig):
        window_duration: str = ""
        error_threshold: float = 0.5

    policy = load_policy(f"on_http_request: [{{type: circuit-breaker, config: {{{old}: 1}}}}]")
    spec = next(spec for rules in policy.rules.values() for each in rules for spec in each.actions)
    with pytest.raises(PolicyError) as raised:
        validated(Config, spec, policy.document)
    assert [problem.headline for problem in raised.value.problems] == [f"unknown field `{old}`; did you mean `{new}`?"]


@pytest.mark.parametrize(
    ("type_", "config", "told"),
    [
        ("redirect", "{location: /new}", ["unknown field `location`; did you mean `to`?"]),
        (
            "url-rewrite",
            "{match: /a, replace: /b}",
            ["unknown field `match`; did you mean `from`?", "unknown field `replace`; did you mean `to`?"],
        ),
    ],
)
def test_fields_that_never_were_any_are_refused_once_with_the_right_name(
    type_: str, config: str, told: list[str]
) -> None:
    with pytest.raises(PolicyError) as refusal:
        gateway(f"on_http_request:\n  - type: {type_}\n    config: {config}\n")
    assert [problem.headline for problem in refusal.value.problems] == told
