"""The JSON Schema of a whole policy file, for editors; made from the configs of the actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from ai_gateway_mw.policy.durations import JSON_FORMAT, duration_text
from ai_gateway_mw.policy.model import ActionConfig, Phase
from ai_gateway_mw.policy.shapes import LEGACY_PHASES

_Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
IDENTIFIER = "urn:ai-gateway-mw:policy"

_NO_EXAMPLE: Mapping[str, Any] = {}


class About(NamedTuple):
    """What an editor shows of an action type: what it does, and a config to begin with, if there is one."""

    description: str
    example: Mapping[str, Any] = _NO_EXAMPLE


_PHASES = {
    Phase.ON_TCP_CONNECT: "Rules that run first, when only the connection is known.",
    Phase.ON_HTTP_REQUEST: "Rules that run for each request; the first action that answers ends the phase.",
    Phase.ON_HTTP_RESPONSE: "Rules that run when there is a response, before its head is sent.",
    Phase.ON_EVENT_STREAM_MESSAGE: "Rules that run for each message of an event stream.",
}
_NAME: _Schema = {"description": "A label for logs and messages.", "type": ["string", "number", "boolean", "null"]}
_EXPRESSIONS: _Schema = {
    "description": "CEL expressions that must all be true for the actions to run; without any, they always run.",
    "type": "array",
    "items": {"type": "string", "format": "cel", "minLength": 1},
    "examples": [["req.method == 'POST'", "!inCidrRange(conn.client_ip, '10.0.0.0/8')"]],
}
_RULE: _Schema = {
    "title": "rule",
    "description": "Actions that run, in order, when all expressions are true.",
    "type": "object",
    "properties": {
        "name": _NAME,
        "expressions": _EXPRESSIONS,
        "actions": {
            "description": "What happens, in this order.",
            "type": "array",
            "minItems": 1,
            "items": {"$ref": "#/$defs/action"},
        },
    },
    "required": ["actions"],
    "additionalProperties": False,
    "examples": [
        {"name": "reading only", "expressions": ["req.method != 'GET'"], "actions": [{"type": "deny"}]},
    ],
}


_LABELS: _Schema = {"name": _NAME, "expressions": _EXPRESSIONS}


class _Generator(GenerateJsonSchema):
    """Leaves out titles that only repeat the name of a field, and writes durations as a policy does."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def default_schema(self, schema: Any) -> _Schema:
        made = super().default_schema(schema)
        if made.get("format") == JSON_FORMAT and isinstance(made.get("default"), int | float):
            made["default"] = duration_text(made["default"])
        return made


def policy_schema(configs: Mapping[str, type[ActionConfig]], about: Mapping[str, About] | None = None) -> _Schema:
    """JSON Schema 2020-12 of a policy in every form that stands alone; `configs` has the config of each action type,
    `about` what to say of it."""
    classes: list[Any] = [(config, "validation") for config in dict.fromkeys(configs.values())]
    references, made = models_json_schema(classes, schema_generator=_Generator)
    definitions: _Schema = made.get("$defs", {})
    actions = [(name, references[config, "validation"]["$ref"]) for name, config in configs.items()]
    return {
        "$schema": DIALECT,
        "$id": IDENTIFIER,
        "title": "Traffic Policy",
        "description": "What the gateway does with each exchange: phases of rules of actions.",
        "type": "object",
        "properties": _properties(),
        "additionalProperties": False,
        "$defs": definitions | _structure(actions, definitions, about or {}),
    }


def _properties() -> _Schema:
    phases = {phase.value: {**_ref("phase"), "description": text} for phase, text in _PHASES.items()}
    legacy = {
        old: {**_ref("phase"), "description": f"The old name of `{phase}`.", "deprecated": True}
        for old, phase in LEGACY_PHASES.items()
    }
    return {"$schema": {"description": "Where editors find this schema.", "type": "string"}} | phases | legacy


def _structure(actions: list[tuple[str, str]], definitions: _Schema, about: Mapping[str, About]) -> _Schema:
    """A phase is a list of items, or one item; an item is a rule, or an action that is a rule of its own."""
    item = {"anyOf": [_ref("rule"), _ref("shorthand")]}
    return {
        "phase": {
            "description": "A list of rules, or one rule.",
            "anyOf": [{"type": "array", "items": item}, *item["anyOf"], {"type": "null"}],
        },
        "rule": _RULE,
        "action": {
            "description": "One action: its type and its settings.",
            "oneOf": [_action(name, config, definitions, {}, about.get(name)) for name, config in actions],
        },
        "shorthand": {
            "description": "An action that is a rule of its own.",
            "oneOf": [_action(name, config, definitions, _LABELS, about.get(name)) for name, config in actions],
        },
    }


def _action(name: str, config: str, definitions: _Schema, labels: _Schema, about: About | None) -> _Schema:
    """The branch of the choice by `type` that is this action; with labels it is a rule."""
    schema = definitions[config.rpartition("/")[2]]
    said = about.description if about else schema.get("description", f"The action `{name}`.")
    return {
        "title": name,
        "description": said,
        **(_examples(name, about.example) if about and about.example else {}),
        "type": "object",
        "properties": {
            "type": {"description": said if about else "Which action this is.", "const": name},
            "config": {"description": f"The settings of `{name}`.", "$ref": config},
            **labels,
        },
        "required": ["type", "config"] if schema.get("required") else ["type"],
        "additionalProperties": False,
    }


def _examples(name: str, config: Mapping[str, Any]) -> _Schema:
    """The same twice: as JSON Schema has it, and as the YAML language server offers it (`defaultSnippets`)."""
    written = {"type": name, "config": dict(config)}
    return {"examples": [written], "defaultSnippets": [{"label": f"{name}, for example", "body": written}]}


def _ref(name: str) -> _Schema:
    return {"$ref": f"#/$defs/{name}"}
