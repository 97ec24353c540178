"""The fields of a config, out of the JSON Schema of policies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from tests.policy_reference.markdown import table

Schema = dict[str, Any]


def config_of(name: str, schema: Schema) -> Schema:
    """The config of an action type."""
    (branch,) = (each for each in schema["$defs"]["action"]["oneOf"] if each["title"] == name)
    return _referred(branch["properties"]["config"], schema)


def _referred(node: Schema, schema: Schema) -> Schema:
    found: Schema = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return found


def field_table(model: Schema, schema: Schema) -> str:
    """A row for each field of a model; nothing if it has none."""
    rows = [
        (f"`{name}`", _type(field, schema), _default(name, field, model), _meaning(field, schema))
        for name, field in model.get("properties", {}).items()
    ]
    return table(("Field", "Type", "Default", "Meaning"), rows) if rows else ""


def _meaning(field: Schema, schema: Schema) -> str:
    said = field.get("description") or (_referred(field, schema)["description"] if "$ref" in field else "")
    return " ".join(said.split())


def _default(name: str, field: Schema, model: Schema) -> str:
    if name in model.get("required", ()):
        return "required"
    value = field.get("default")
    if value in (None, "", [], {}):
        return "none"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(node: Schema, schema: Schema, *, many: bool = False) -> str:
    """In a few words; those of several, if there are many."""
    if "$ref" in node:
        target = _referred(node, schema)
        title = _title(node["$ref"])
        return _choice(target["enum"]) if "enum" in target else f"[{title}](#{title.lower()})"
    if "anyOf" in node:
        return " or ".join(_type(each, schema, many=many) for each in node["anyOf"] if each.get("type") != "null")
    if "enum" in node or "const" in node:
        return _choice(node.get("enum", [node.get("const")]))
    if node.get("type") == "array":
        return f"list of {_type(node['items'], schema, many=True)}{_range(node, 'minItems', 'maxItems')}"
    if node.get("type") == "object":
        return _map(node, schema, many=many)
    word = {"template": "template", "cel": "expression", "go-duration": "duration", "date-time": "time"}.get(
        node.get("format", "")
    )
    limits = _range(node, "minimum", "maximum") + _range(node, "minLength", "maxLength", " characters")
    return f"{word or node.get('type', 'anything')}{'s' if many else ''}{limits}"


def _map(node: Schema, schema: Schema, *, many: bool) -> str:
    if "properties" in node:
        return f"{'maps' if many else 'map'} with {_choice(node['properties'])}"
    values = node.get("additionalProperties")
    to = f" of {_type(values, schema, many=True)}" if isinstance(values, dict) else ""
    return f"{'maps' if many else 'map'}{to}{_range(node, 'minProperties', 'maxProperties')}"


def _choice(values: Iterable[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _range(node: Schema, least: str, most: str, unit: str = "") -> str:
    low, high = node.get(least), node.get(most)
    if high is None:
        return "" if low is None else f" ({low} or more{unit})"
    if low == high:
        return f" (exactly {low}{unit})"
    return f" (at most {high}{unit})" if low is None else f" ({low} to {high}{unit})"


def nested_models(model: Schema, schema: Schema) -> Iterator[tuple[str, Schema]]:
    """The models that the fields of one refer to, at any depth, in the order in which a reader meets them."""
    pending, known = [model], set()
    while pending:
        for reference in _references(pending.pop(0).get("properties", {})):
            target = schema["$defs"][reference.rpartition("/")[2]]
            if reference not in known and "properties" in target:
                known.add(reference)
                pending.append(target)
                yield _title(reference), target


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for below in node.values():
            yield from _references(below)
    elif isinstance(node, list):
        for below in node:
            yield from _references(below)


def _title(reference: str) -> str:
    return reference.rpartition("/")[2].lstrip("_").removesuffix("Document")
