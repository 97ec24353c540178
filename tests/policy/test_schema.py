from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from ai_gateway_mw.errors import PolicyError
from ai_gateway_mw.policy import ActionConfig, Phase, load_policy, policy_schema, validated
from tests.policy.configs import CONFIGS

SCHEMA = policy_schema(CONFIGS)
VALIDATOR = Draft202012Validator(SCHEMA)

GOOD = {
    "nothing": {},
    "empty phase": {"on_http_request": []},
    "empty phase, null": {"on_http_request": None},
    "schema": {"$schema": "https://example.com/schema.json"},
    "old names": {"inbound": [{"type": "deny"}], "outbound": []},
    "canonical": {
        "on_http_request": [
            {"name": "a", "expressions": ["x == 'y'"], "actions": [{"type": "deny"}, {"type": "gateway", "config": {}}]}
        ]
    },
    "shorthand": {
        "on_http_request": [{"type": "deny", "config": {"status_code": 404}, "name": "n", "expressions": []}]
    },
    "one rule": {"on_http_response": {"actions": [{"type": "deny"}]}},
    "one action": {"on_event_stream_message": {"type": "deny"}},
    "name that is a number": {"on_tcp_connect": [{"name": 404, "actions": [{"type": "deny"}]}]},
    "all kinds of fields": {
        "on_http_request": [
            {
                "type": "gateway",
                "config": {
                    "on_error": "continue",
                    "format": "anthropic",
                    "timeout": "1m30s",
                    "window": "60s",
                    "headers": {"a": "${x}", "b": 1, "c": True},
                    "strategy": ["ai.keys"],
                    "body": None,
                    "tags": ["a"],
                    "providers": [
                        {"id": "a", "models": [{"id": "b"}], "params": ["x", {"name": "y"}], "metadata": {"x": [1]}}
                    ],
                    "either": "x",
                    "choice": [{"name": "a"}],
                },
            },
            {"type": "set-vars", "config": {"vars": [{"a": 1}]}},
        ]
    },
}
BAD = {
    "list": [],
    "unknown phase": {"on_http_requests": []},
    "text": {"on_http_request": "deny"},
    "rule without actions": {"on_http_request": [{"name": "a"}]},
    "no actions": {"on_http_request": [{"actions": []}]},
    "unknown key of a rule": {"on_http_request": [{"if": "a", "actions": [{"type": "deny"}]}]},
    "unknown action": {"on_http_request": [{"type": "denny"}]},
    "unknown field": {"on_http_request": [{"type": "deny", "config": {"status": 404}}]},
    "field of another action": {"on_http_request": [{"type": "deny", "config": {"vars": []}}]},
    "setting beside the type": {"on_http_request": [{"type": "deny", "status_code": 404}]},
    "type and actions": {"on_http_request": [{"type": "deny", "actions": [{"type": "deny"}]}]},
    "name inside actions": {"on_http_request": [{"actions": [{"type": "deny", "name": "a"}]}]},
    "config that is needed": {"on_http_request": [{"type": "set-vars"}]},
    "number out of range": {"on_http_request": [{"type": "deny", "config": {"status_code": 200}}]},
    "duration without unit": {"on_http_request": [{"type": "gateway", "config": {"timeout": 30}}]},
    "duration in days": {"on_http_request": [{"type": "gateway", "config": {"timeout": "1d"}}]},
    "expression that is no text": {"on_http_request": [{"expressions": [True], "actions": [{"type": "deny"}]}]},
}


def loads(document: Any) -> bool:
    try:
        policy = load_policy(document)
        for rules in policy.rules.values():
            for spec in (spec for rule in rules for spec in rule.actions):
                if spec.type not in CONFIGS:
                    return False
                validated(CONFIGS[spec.type], spec, policy.document)
    except PolicyError:
        return False
    return True


def test_the_schema_itself_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["$id"]


@pytest.mark.parametrize("document", GOOD.values(), ids=GOOD.keys())
def test_what_the_schema_allows_loads(document: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []
    assert loads(document)


@pytest.mark.parametrize("document", [document for document in BAD.values() if document], ids=list(BAD)[1:])
def test_what_the_schema_refuses_does_not_load(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)
    assert not loads(document)


def fields(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that the schema declares, with its path."""
    if isinstance(schema, dict):
        for name, field in schema.get("properties", {}).items():
            yield f"{path}.{name}", field
        for name, below in schema.items():
            yield from fields(below, f"{path}.{name}")
    elif isinstance(schema, list):
        for number, below in enumerate(schema):
            yield from fields(below, f"{path}.{number}")


def test_every_field_has_a_description() -> None:
    found = list(fields(SCHEMA))
    assert len(found) > 50
    assert [path for path, field in found if not field.get("description")] == []


def test_actions_are_chosen_by_their_type() -> None:
    types = [option["properties"]["type"]["const"] for option in SCHEMA["$defs"]["action"]["oneOf"]]
    assert types == list(CONFIGS)
    descriptions = [option["description"] for option in SCHEMA["$defs"]["action"]["oneOf"]]
    assert descriptions == ["Sends the request on.", "Refuses the request.", "The action `set-vars`."]


def test_every_phase_is_described() -> None:
    assert set(SCHEMA["properties"]) == {"$schema", *Phase, "inbound", "outbound"}


def config_schema(type_: str) -> dict[str, Any]:
    action = next(option for option in SCHEMA["$defs"]["action"]["oneOf"] if option["title"] == type_)
    schema: dict[str, Any] = SCHEMA["$defs"][action["properties"]["config"]["$ref"].rpartition("/")[2]]
    return schema


def test_durations_have_their_defaults_as_durations() -> None:
    properties = config_schema("gateway")["properties"]
    assert (properties["timeout"]["default"], properties["window"]["default"]) == ("3m", "1m")


def test_expressions_and_templates_are_marked() -> None:
    properties = config_schema("gateway")["properties"]
    assert properties["strategy"]["items"] == {"type": "string", "format": "cel"}
    assert properties["headers"]["additionalProperties"]["format"] == "template"


def test_models_of_the_same_name_do_not_clash() -> None:
    class Provider(ActionConfig):
        url: str

    class Config(ActionConfig):
        providers: tuple[Provider, ...]

    validator = Draft202012Validator(policy_schema({**CONFIGS, "other": Config}))
    document = {"on_http_request": [{"type": "other", "config": {"providers": [{"url": "x"}]}}]}
    assert validator.is_valid(document)
    document["on_http_request"][0]["config"] = {"providers": [{"id": "x"}]}
    assert not validator.is_valid(document)


def test_two_types_may_share_a_config() -> None:
    schema = policy_schema({"deny": CONFIGS["deny"], "refuse": CONFIGS["deny"]})
    assert Draft202012Validator(schema).is_valid(
        {"on_http_request": [{"type": "refuse", "config": {"status_code": 404}}]}
    )
