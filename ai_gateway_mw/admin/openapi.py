"""The OpenAPI 3.1 document of the admin plane, made of its operations and of the models of their inputs and answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from ai_gateway_mw.admin.answers import Error
from ai_gateway_mw.admin.operations import PREFIX, Operation, Text
from ai_gateway_mw.admin.parameters import KEY_ID
from ai_gateway_mw.version import VERSION

_REF: Final = "#/components/schemas/{model}"
_ALWAYS: Final = {
    401: "No valid admin token.",
    403: "The token does not permit this.",
    422: "A field or parameter has a value that it cannot have; `field` names it.",
    429: "Too many requests without a valid token from this address.",
    500: "The gateway failed.",
    503: "The database cannot be reached.",
}
_WITH_QUERY: Final = {400: "The query cannot be read."}
_WITH_BODY: Final = {
    400: "The body or the query cannot be read.",
    413: "The body is too large.",
    415: "The body is not of the media type.",
}
_ID: Final = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The id of a key.",
    "schema": {"type": "string", "pattern": KEY_ID},
}
_ABOUT: Final = (
    "Looks after one installation of ai-gateway: its keys, what they used, its audit log and its policy. Every request "
    "needs the admin token; no gateway key is one. Times have a zone; `+` in a query is written as `%2B`."
)


def document(operations: Iterable[Operation], root: str = "") -> dict[str, Any]:
    """The document for a plane that is mounted at `root`."""
    listed = tuple(operations)
    schemas = _schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "ai-gateway admin API", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": root + PREFIX}],
        "security": [{"adminToken": []}],
        "paths": paths,
        "components": {
            "schemas": _referred(paths, schemas),
            "securitySchemes": {
                "adminToken": {"type": "http", "scheme": "bearer", "description": "AI_GATEWAY_ADMIN_TOKEN"}
            },
            "headers": {"x-request-id": {"description": "Names this exchange.", "schema": {"type": "string"}}},
        },
    }


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    models: dict[type[BaseModel], Literal["validation", "serialization"]] = {Error: "serialization"}
    for operation in operations:
        if operation.answer is not None:
            models[operation.answer] = "serialization"
        given = (operation.query, operation.body)
        models |= {model: "validation" for model in given if isinstance(model, type)}
    _, made = models_json_schema(list(models.items()), ref_template=_REF)
    schemas: dict[str, Any] = _without_nothing(made["$defs"])
    return schemas


def _referred(paths: Any, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas that something leads to."""
    found: dict[str, Any] = {}
    left: list[Any] = [paths]
    while left:
        each = left.pop()
        name = each.get("$ref", "").rpartition("/schemas/")[2] if isinstance(each, dict) else ""
        if name in schemas and name not in found:
            found[name] = schemas[name]
            left.append(schemas[name])
        if isinstance(each, dict | list):
            left += each.values() if isinstance(each, dict) else each
    return dict(sorted(found.items()))


def _without_nothing(schema: Any) -> Any:
    """A default of null is none: what may be left out is simply not given."""
    if isinstance(schema, list):
        return [_without_nothing(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _without_nothing(value) for name, value in schema.items() if not (name == "default" and value is None)
    }


def _described(operation: Operation, schemas: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "tags": [operation.path.split("/")[1].removesuffix(".json")],
        "summary": operation.summary,
        "description": f"Needs the permission `{operation.permission}`.",
        "parameters": [*([_ID] if "{id}" in operation.path else []), *_parameters(operation, schemas)],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        described["requestBody"] = _body(operation.body)
    return described


def _parameters(operation: Operation, schemas: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, schema in schemas[operation.query.__name__].get("properties", {}).items():
        told = {"description": schema["description"]} if "description" in schema else {}
        kept = {key: value for key, value in schema.items() if key not in ("title", "description", "anyOf")}
        choice: dict[str, Any] = next((each for each in schema.get("anyOf", ()) if each.get("type") != "null"), {})
        yield {"name": name, "in": "query", "required": False, **told, "schema": {**kept, **choice}}


def _body(body: type[BaseModel] | Text) -> dict[str, Any]:
    if isinstance(body, Text):
        content = {media_type: {"schema": {"type": "string"}} for media_type in body.media_types}
        return {"description": body.description, "required": True, "content": content}
    required = any(field.is_required() for field in body.model_fields.values())
    return {"required": required, "content": {"application/json": {"schema": _ref(body)}}}


def _responses(operation: Operation) -> dict[str, Any]:
    schema = {"type": "string"} if operation.answer is None else _ref(operation.answer)
    headers = {"x-request-id": {"$ref": "#/components/headers/x-request-id"}}
    if operation.status == 201:
        headers["location"] = {"description": "The new key.", "schema": {"type": "string"}}  # type: ignore[dict-item]
    content: dict[str, Any] = {operation.media_type: {"schema": schema}}
    if operation.also_text:
        content["text/plain"] = {"schema": {"type": "string"}}
    good = {"description": operation.summary, "headers": headers, "content": content}
    refusals = {**_ALWAYS, **(_WITH_BODY if operation.body is not None else _WITH_QUERY), **operation.refusals}
    error = {"application/json": {"schema": _ref(Error)}}
    refused = {str(status): {"description": refusals[status], "content": error} for status in sorted(refusals)}
    return {str(operation.status): good, **refused}


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
