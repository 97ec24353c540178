"""The same policy in each of the shapes in which people have one."""

from __future__ import annotations

import json
from textwrap import dedent, indent

import pytest

from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.policy import Phase, Policy, load_policy

RULES = """
    on_http_request:
      - name: guard
        expressions:
          - a
        actions:
          - type: log
          - type: deny
            config:
              status_code: 404
    on_http_response:
      - actions:
          - type: log
"""
CANONICAL = dedent(RULES).lstrip()
DATA = {
    "on_http_request": [
        {
            "name": "guard",
            "expressions": ["a"],
            "actions": [{"type": "log"}, {"type": "deny", "config": {"status_code": 404}}],
        }
    ],
    "on_http_response": [{"actions": [{"type": "log"}]}],
}
KUBERNETES = "apiVersion: ngrok.k8s.ngrok.com/v1alpha1\nkind: {kind}\nmetadata:\n  name: x\nspec:\n"


def under(keys: str, policy: str = CANONICAL) -> str:
    """A document in which `policy` stands below a path of keys."""
    document, depth = "", 0
    for depth, key in enumerate(keys.split("."), 1):
        document += "  " * (depth - 1) + f"{key}:\n"
    return document + indent(policy, "  " * depth)


def said(policy: Policy) -> object:
    """A policy as plain data, without places."""
    return {
        phase: [
            (rule.name, list(map(str, rule.expressions)), [(spec.type, dict(spec.config)) for spec in rule.actions])
            for rule in rules
        ]
        for phase, rules in policy.rules.items()
        if rules
    }


EXPECTED = said(load_policy(CANONICAL))

SHAPES = {
    "canonical": CANONICAL,
    "JSON": json.dumps(DATA),
    "JSON with a schema": json.dumps({"$schema": "https://example.com/policy.json", **DATA}),
    "mapping": DATA,
    "mapping of tuples": {**DATA, "on_http_response": ({"actions": ({"type": "log"},)},)},
    "mapping with phases as keys": {Phase(key): rules for key, rules in DATA.items()},
    "byte order mark": "\ufeff" + CANONICAL,
    "CRLF": CANONICAL.replace("\n", "\r\n"),
    "document markers": "---\n" + CANONICAL + "...\n",
    "phase with one rule": CANONICAL.replace("  - actions:\n      - type: log\n", "  actions:\n    - type: log\n"),
    "shorthand": CANONICAL.replace("  - actions:\n      - type: log\n", "  - type: log\n"),
    "shorthand without a list": CANONICAL.replace("  - actions:\n      - type: log\n", "  type: log\n"),
    "NgrokTrafficPolicy": KUBERNETES.format(kind="NgrokTrafficPolicy") + indent(under("policy"), "  "),
    "AgentEndpoint": KUBERNETES.format(kind="AgentEndpoint") + indent(under("trafficPolicy.inline"), "  "),
    "CloudEndpoint": KUBERNETES.format(kind="CloudEndpoint") + indent(under("trafficPolicy.policy"), "  "),
    "CloudEndpoint, policy inline": KUBERNETES.format(kind="CloudEndpoint")
    + indent(under("trafficPolicy.inline"), "  "),
    "CloudEndpoint, phases direct": KUBERNETES.format(kind="CloudEndpoint") + indent(under("trafficPolicy"), "  "),
    "CloudEndpoint, policy as text": KUBERNETES.format(kind="CloudEndpoint")
    + indent(under("trafficPolicy.policy", CANONICAL).replace("policy:\n", "policy: |\n"), "  "),
    "agent file": "version: 3\nendpoints:\n  - name: a\n    url: x\n" + indent(under("traffic_policy"), "    "),
    "agent file, policy as text": "version: 3\nagent: {authtoken: x}\nendpoints:\n  - name: a\n"
    + indent(under("traffic_policy").replace("traffic_policy:", "traffic_policy: |"), "    "),
    "REST request": json.dumps({"url": "https://x", "type": "cloud", "traffic_policy": CANONICAL}),
    "REST request, JSON in it": json.dumps({"traffic_policy": json.dumps(DATA)}),
    "REST request, mapping": json.dumps({"traffic_policy": DATA}),
}


@pytest.mark.parametrize("source", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_says_the_same(source: str | dict[str, object]) -> None:
    policy = load_policy(source)
    assert said(policy) == EXPECTED
    assert policy.warnings == ()


@pytest.mark.parametrize("source", SHAPES.values(), ids=SHAPES.keys())
def test_every_shape_knows_its_places(source: str | dict[str, object]) -> None:
    policy = load_policy(source)
    deny = policy.rules[Phase.ON_HTTP_REQUEST][0].actions[1]
    place = policy.document.place((*deny.path, "config", "status_code"))
    assert place.text[place.column - 1 :].startswith("404") or len(place.text) == 0 or place.text.startswith("{")
    assert policy.document.place((*deny.path, "config"), key=True).line >= deny.place.line


@pytest.mark.parametrize(
    ("source", "rules"),
    [
        pytest.param("", {}, id="nothing"),
        pytest.param("# nothing yet\n", {}, id="comment"),
        pytest.param("{}", {}, id="empty mapping"),
        pytest.param("on_http_request: []\n", {}, id="empty phase"),
        pytest.param('{"traffic_policy": ""}', {}, id="empty text"),
        pytest.param("traffic_policy:\n", {}, id="null"),
        pytest.param(
            "on_http_request:\n  - type: a\n  - name: r\n    actions: [{type: b}, {type: c}]\n  - type: d\n",
            {"on_http_request": [("", [], [("a", {})]), ("r", [], [("b", {}), ("c", {})]), ("", [], [("d", {})])]},
            id="shorthand among rules",
        ),
        pytest.param(
            "on_tcp_connect:\n  - type: a\n    name: n\n    expressions: [x, y]\n    config:\n",
            {"on_tcp_connect": [("n", ["x", "y"], [("a", {})])]},
            id="shorthand with name and expressions",
        ),
        pytest.param(
            "on_event_stream_message:\n  - name: 404\n    expressions: []\n    actions: [{type: a, config: {}}]\n",
            {"on_event_stream_message": [("404", [], [("a", {})])]},
            id="name that is a number",
        ),
        pytest.param(
            "on_http_request:\n  - name:\n    actions: [{type: a}]\n",
            {"on_http_request": [("", [], [("a", {})])]},
            id="name that is empty",
        ),
        pytest.param(
            "on_http_request:\n  - &rule\n    type: a\n    config: {n: 1.10}\n  - *rule\n",
            {"on_http_request": [("", [], [("a", {"n": 1.1})])] * 2},
            id="alias",
        ),
    ],
)
def test_rules(source: str, rules: object) -> None:
    policy = load_policy(source)
    assert said(policy) == rules
    assert set(policy.rules) == set(Phase)
    without_rules = "this policy has no rules: every AI path is answered with 404"
    assert [warning.message for warning in policy.warnings] == ([] if rules else [without_rules])


@pytest.mark.parametrize(
    ("source", "phase", "warning"),
    [
        pytest.param(
            "- type: log\n",
            Phase.ON_HTTP_REQUEST,
            "1:1: a list of rules without a phase; it is taken for `on_http_request`",
            id="list of rules",
        ),
        pytest.param(
            "inbound:\n  - type: log\n",
            Phase.ON_HTTP_REQUEST,
            "1:1: `inbound` is the old name of `on_http_request`",
            id="inbound",
        ),
        pytest.param(
            "outbound:\n  - type: log\n",
            Phase.ON_HTTP_RESPONSE,
            "1:1: `outbound` is the old name of `on_http_response`",
            id="outbound",
        ),
    ],
)
def test_old_and_partial_shapes_load_with_a_warning(source: str, phase: Phase, warning: str) -> None:
    policy = load_policy(source)
    assert said(policy) == {phase: [("", [], [("log", {})])]}
    assert [f"{found.severity}: {found}".split("\n")[0] for found in policy.warnings] == [
        f"warning: <policy>:{warning}"
    ]


def test_a_phase_whose_rules_are_all_commented_out_gets_a_warning() -> None:
    policy = load_policy("on_http_request:\n  # - type: deny\n")
    assert [problem.headline for problem in policy.warnings] == ["`on_http_request` has no rules"]


TWO = """
version: 3
endpoints:
  - name: one
    traffic_policy: {on_http_request: [{type: a}]}
  - url: https://two
    traffic_policy: "on_http_request: [{type: b}]"
  - name: one
    traffic_policy: {on_http_request: [{type: c}]}
"""


@pytest.mark.parametrize(("endpoint", "action"), [("one", "a"), ("https://two", "b"), ("one#3", "c")])
def test_an_endpoint_of_an_agent_file_is_chosen_by_name(endpoint: str, action: str) -> None:
    policy = load_policy(TWO, endpoint=endpoint)
    assert policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0].type == action


@pytest.mark.parametrize(
    ("source", "endpoint", "message"),
    [
        pytest.param(TWO, None, "several endpoints have a policy; choose `one`, `https://two` or `one#3`", id="none"),
        pytest.param(TWO, "onne", "there is no endpoint `onne`; did you mean `one`?", id="misspelt"),
        pytest.param(
            CANONICAL, "one", "endpoint `one` was asked for, but this is not an agent file", id="no agent file"
        ),
        pytest.param(
            '{"traffic_policy": {}}', "one", "endpoint `one` was asked for, but this is not an agent file", id="REST"
        ),
        pytest.param(
            "endpoints: [{name: a}, {name: b, traffic_policy: {}}]",
            "a",
            "endpoint `a` has no `traffic_policy`",
            id="without",
        ),
    ],
)
def test_a_choice_that_cannot_be_made(source: str, endpoint: str | None, message: str) -> None:
    with pytest.raises(PolicyError) as raised:
        load_policy(source, endpoint=endpoint)
    assert [problem.headline for problem in raised.value.problems] == [message]


def test_the_only_endpoint_with_a_policy_is_taken() -> None:
    policy = load_policy("endpoints:\n  - name: a\n  - name: b\n    traffic_policy: {on_http_request: [{type: b}]}\n")
    assert policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0].type == "b"
