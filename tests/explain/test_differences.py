"""Changes between two policies, each with its places."""

from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw.explain import changes
from ai_gateway_mw.policy import load_policy

A = """\
on_http_request:
  - name: a
    expressions: ["req.method == 'GET'"]
    actions: [{type: deny, config: {status_code: 404}}]
  - name: b
    actions: [{type: add-headers, config: {headers: {x: "1"}}}]
  - actions: [{type: ai-gateway}]
"""


def told(old: str, new: str) -> list[tuple[Any, ...]]:
    return [(c.kind, c.what, c.rule, c.old, c.new) for c in changes(load_policy(old), load_policy(new))]


def test_the_same_policy_otherwise_written_has_no_changes() -> None:
    assert told(A, f"# comment\n{A}") == []


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("'GET'", "'PUT'", ("changed", "expression", "a", "req.method == 'GET'", "req.method == 'PUT'")),
        ("404", "410", ("changed", "deny: status_code", "a", 404, 410)),
        ('{x: "1"}', '{x: "1", y: "2"}', ("added", "add-headers: headers.y", "b", None, "2")),
        ("name: b", "name: c", ("changed", "name", "c", "b", "c")),
        ("{type: ai-gateway}", "{type: log, config: {metadata: {}}}", None),
        (
            "actions: [{type: ai-gateway}]",
            "actions: [{type: gateway-auth}, {type: ai-gateway}]",
            ("added", "action", "3 of on_http_request", None, "gateway-auth"),
        ),
    ],
)
def test_one_change(before: str, after: str, expected: tuple[Any, ...] | None) -> None:
    found = told(A, A.replace(before, after))
    if expected is None:
        assert [(kind, what, old, new) for kind, what, _, old, new in found] == [
            ("added", "rule", None, "log"),
            ("removed", "rule", "ai-gateway", None),
        ]
    else:
        assert found == [expected]


def test_a_rule_that_moved() -> None:
    rules = A.splitlines(keepends=True)
    assert told(A, "".join([rules[0], *rules[4:6], *rules[1:4], rules[6]])) in (
        [("moved", "rule", "a", "rule 1", "rule 2")],
        [("moved", "rule", "b", "rule 2", "rule 1")],
    )


def test_changes_have_their_places() -> None:
    old, new = load_policy(A), load_policy(A.replace("404", "410"))
    (change,) = changes(old, new)
    assert (change.phase, change.old_place, change.new_place) == ("on_http_request", "<policy>:4:50", "<policy>:4:50")


def test_a_key_that_stands_in_a_policy_is_not_told() -> None:
    key = "sk-proj-0123456789abcdef"
    config = f'{{providers: [{{id: openai, api_keys: [{{value: "{key}"}}]}}]}}'
    new = A.replace("{type: ai-gateway}", f"{{type: ai-gateway, config: {config}}}")
    assert key not in str(told(A, new))
