"""Whatever a file holds, loading it ends in a Policy or a PolicyError, whose places are in the file."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.policy import Node, Policy, Text, load_policy, validated
from tests.policy.configs import CONFIGS

SEEDS = [
    """
# yaml-language-server: $schema=policy.json
on_http_request:
  - name: guard
    expressions:
      - "!hasReqHeader('x') || req.method == \\"GET\\""
      - 'req.url.path.startsWith(''/v1'')'
    actions:
      - type: set-vars
        config:
          vars: [{a: 1.10}, {b: [true, ~, "\\u00e9"]}]
  - type: gateway
    config: &config
      on_error: continue
      timeout: 1m30s
      headers: {x-a: ${vars.a}, x-b: 1, x-c: no}
      strategy:
        - |
          ai.keys
            .filter(k, true)
        - >-
          ai.keys
          .randomize()
      providers:
        - id: openai
          models: [{id: gpt, weight: 3}]
          params: [x, {name: y}]
      choice: [{name: z}]
on_http_response:
  actions: [{type: deny, config: {status_code: 404}}]
on_event_stream_message: [{type: gateway, config: *config}]
""",
    '{"on_http_request": [{"type": "deny", "config": {"status_code": 404}, "name": "\\ud83d\\ude00"}]}',
    "version: 3\nendpoints:\n  - name: a\n    traffic_policy: |\n      on_http_request:\n        - type: gateway\n",
    '{"traffic_policy": "on_http_request:\\n  - type: gateway\\n    config:\\n      capacity: \'5\'\\n"}',
    "kind: CloudEndpoint\nspec:\n  trafficPolicy:\n    policy:\n      inbound: [{type: deny}]\n",
]
PIECES = [
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\t",
    "'",
    '"',
    "\\",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&config ",
    "*config",
    "!",
    "!!str ",
    "? ",
]
PIECES += [
    "|",
    ">",
    "#",
    "%",
    "@",
    "`",
    "~",
    "---\n",
    "...\n",
    "<<",
    "null",
    "no",
    "0x",
    "1e999",
    "\r",
    "\x00",
    "\ufeff",
    "\ud800",
]
PIECES += [
    "\u2028",
    "\x85",
    "😀",
    "${",
    "on_http_request",
    "type",
    "config",
    "actions",
    "traffic_policy",
    "kind",
    "endpoints",
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good policy with some stretches cut out, repeated elsewhere, or replaced by something awkward."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 6))):
        start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        end = draw(st.sampled_from([start, min(start + 1, end), end]))
        insert = draw(st.one_of(st.just(""), st.just(text[start:end]), st.sampled_from(PIECES), st.text(max_size=3)))
        text = text[:start] + insert + text[end if draw(st.booleans()) else start :]
    return text


def lines(text: str) -> list[str]:
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")


def check_places(problems: tuple[Problem, ...], text: str) -> None:
    for problem in problems:
        assert str(problem)
        assert problem.place is not None
        assert 1 <= problem.place.line <= len(lines(text))
        assert 1 <= problem.place.column <= len(lines(text)[problem.place.line - 1]) + 1


def check_nodes(node: Node) -> None:
    """Every text can say where each of its characters stands."""
    if isinstance(node.value, Text):
        for offset in {-1, 0, len(node.value) // 2, len(node.value), len(node.value) + 1}:
            assert node.value.place_of(offset).line >= 1
    for child in node.children.values():
        check_nodes(child)


def check_configs(policy: Policy) -> tuple[Problem, ...]:
    """Tries every action as each kind that there is."""
    specs = [spec for rules in policy.rules.values() for rule in rules for spec in rule.actions]
    found: list[Problem] = []
    for config_class in CONFIGS.values():
        for spec in specs:
            try:
                validated(config_class, spec, policy.document)
            except PolicyError as error:
                found.extend(error.problems)
    return tuple(found)


def check(text: str) -> None:
    try:
        policy = load_policy(text)
    except PolicyError as error:
        check_places(error.problems, text)
        return
    check_places(policy.warnings, text)
    check_nodes(policy.document.root)
    check_places(check_configs(policy), text)


@settings(max_examples=400, deadline=None)
@given(mutated())
def test_mutated_policies(text: str) -> None:
    check(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from(list("{}[]:,-&*!|>'\"%@#? \n\t\\ab01")))))
def test_any_text(text: str) -> None:
    check(text)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["on_http_request", "on_http_response", "traffic_policy", "endpoints", "kind", "spec", "type"]),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("deny")),
            lambda inner: st.one_of(
                st.lists(inner, max_size=4),
                st.dictionaries(
                    st.sampled_from(
                        ["type", "config", "actions", "expressions", "name", "traffic_policy", "policy", "if"]
                    ),
                    inner,
                    max_size=4,
                ),
            ),
            max_leaves=12,
        ),
        max_size=3,
    )
)
def test_any_mapping(source: dict[str, Any]) -> None:
    with suppress(PolicyError):
        check_configs(load_policy(source))
