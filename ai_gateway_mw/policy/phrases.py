"""pydantic's errors in our words, to be read after the name of a field: what must be so, and what was found."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import ErrorDetails

from ai_gateway_mw.policy.durations import duration_text
from ai_gateway_mw.policy.wording import found, listed

_SHAPES = {
    "string_type": "text",
    **dict.fromkeys(("int_type", "int_from_float"), "a whole number"),
    "float_type": "a number",
    "bool_type": "true or false",
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "a mapping"),
}
_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
}
_FORMS = {
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} or fewer entries",
    "string_pattern_mismatch": "must match `{pattern}`",
}
_LENGTHS = ("too_short", "too_long")  # also of texts that are validated by our own code


def sentence(name: str, errors: tuple[ErrorDetails, ...], value: Any) -> str:
    """What is wrong with a field, or with the whole config if it has no name; "must ..." reads on from the name."""
    said = _predicate(errors, value)
    if not name:
        return said
    return f"`{name}` {said}" if said.startswith("must ") else f"`{name}`: {said}"


def _predicate(errors: tuple[ErrorDetails, ...], value: Any) -> str:
    """What one error says, or those of a union of which no member has the shape of the value."""
    if shapes := [shape for error in errors if (shape := shape_of(error))]:
        return f"must be {' or '.join(dict.fromkeys(shapes))}, not {found(value)}"
    error = errors[0]
    kind, context = error["type"], error.get("ctx", {})
    if kind in _BOUNDS:
        return f"must be {_BOUNDS[kind].format(**_bounds(context, value))}, not {found(value)}"
    if kind in _FORMS:
        return _FORMS[f"string_{kind}" if kind in _LENGTHS and isinstance(value, str) else kind].format(**context)
    return str(context["error"]) if "error" in context else _lowered(error["msg"])


def demand(error: ErrorDetails) -> str:
    """What must be so, without what was found: for values that are not told again."""
    kind, context = error["type"], error.get("ctx", {})
    if shape := shape_of(error):
        return f"must be {shape}"
    if kind in _BOUNDS:
        return f"must be {_BOUNDS[kind].format(**context)}"
    if kind in _FORMS:
        is_text = context.get("field_type") == "Value"
        return _FORMS[f"string_{kind}" if is_text else kind].format(**context)
    if kind == "missing":
        return "must be given"
    return str(context["error"]) if "error" in context else _lowered(error["msg"])


def shape_of(error: ErrorDetails) -> str:
    """What kind of value was expected, if that is what the error is about."""
    if error["type"] in ("literal_error", "enum"):
        return listed(options_of(error)) or str(error["ctx"]["expected"])
    return str(error["ctx"]["expected"]) if error["type"] == "shape" else _SHAPES.get(error["type"], "")


def options_of(error: ErrorDetails) -> list[str]:
    """The names that an enum or a literal allows."""
    return re.findall(r"'([^']*)'", error["ctx"]["expected"]) if error["type"] in ("literal_error", "enum") else []


def _bounds(context: dict[str, Any], value: Any) -> dict[str, Any]:
    """The bounds as the value is written: those of a duration are seconds."""
    return {name: duration_text(bound) for name, bound in context.items()} if isinstance(value, str) else context


def _lowered(message: str) -> str:
    """A message without its capital; an abbreviation keeps it."""
    return message[:1].lower() + message[1:] if message[1:2].islower() else message
