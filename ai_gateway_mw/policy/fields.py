"""Which fields a config knows at a path: read off its JSON Schema, which sees through unions, lists and mappings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ai_gateway_mw.policy.document import Path

_Schema = dict[str, Any]


def fields_at(root: _Schema, path: Path) -> list[str]:
    """The names of the fields that may stand in the mapping at `path`, in the order of their declaration."""
    schemas = [root]
    for step in path:
        schemas = [below for schema in schemas for below in _below(schema, step, root)]
    options = [option for schema in schemas for option in _options(schema, root)]
    return list(dict.fromkeys(name for option in options for name in option.get("properties", ())))


def _below(schema: _Schema, step: str | int, root: _Schema) -> Iterator[_Schema]:
    for option in _options(schema, root):
        field = option.get("properties", {}).get(step)
        below = option.get("items") if isinstance(step, int) else field or option.get("additionalProperties")
        if isinstance(below, dict):
            yield below


def _options(schema: _Schema, root: _Schema) -> Iterator[_Schema]:
    """The schema itself with its references followed, or the members of its union."""
    if "$ref" in schema:
        yield from _options(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for option in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        yield from _options(option, root)
    yield schema
