"""What an operation is given: the query and the body of its request, read strictly and checked whole."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from jiter import from_json
from pydantic import BaseModel, ConfigDict, ValidationError

from ai_gateway_mw.admin.refusals import Refusal, invalid
from ai_gateway_mw.asgi import read_body
from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import demand

_MAX_PARAMETERS: Final = 20
_MAX_DEPTH: Final = 32

_Model = TypeVar("_Model", bound=BaseModel)


class Input(BaseModel):
    """Base of what is given. What it does not know is refused, and what was given is never told again."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NoQuery(Input):
    """No parameters."""


def query_of(ctx: Context, model: type[_Model]) -> _Model:
    """The parameters of the query. Raises `Refusal`; a parameter that is given twice is refused, too."""
    try:
        pairs = parse_qsl(
            ctx.query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except ValueError:
        raise Refusal(400, "invalid_query", "The query is not percent-encoded UTF-8, or too long.") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise invalid(name, "It is given twice.")
        values[name] = value
    return checked(values, model)


async def text_of(ctx: Context, media_types: tuple[str, ...], limit: int) -> str:
    """A body that is text. Raises `Refusal`, and `BodyTooLarge` and `ClientGone`."""
    body = await _body(ctx, media_types, limit)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refusal(400, "invalid_text", "The body is not UTF-8 text.") from None


async def json_of(ctx: Context, model: type[_Model], limit: int) -> _Model:
    """A body that is a JSON object; one that is not there is an empty one, where all of it may be left out."""
    body = await _body(ctx, ("application/json",), limit)
    optional = not any(field.is_required() for field in model.model_fields.values())
    return checked({} if optional and not body else _object(body), model)


def checked(values: dict[str, Any], model: type[_Model]) -> _Model:
    """The values as the model has them. Raises `Refusal` with the first that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
    message = "There is no such field." if first["type"] == "extra_forbidden" else demand(first)
    raise invalid(".".join(str(step)[:100] for step in first["loc"]), message)


async def _body(ctx: Context, media_types: tuple[str, ...], limit: int) -> bytes:
    encoding = ctx.request_fields.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise Refusal(415, "unsupported_media", "A compressed body is not supported.")
    body = await read_body(ctx.receive, limit)
    if body and not _is_of(ctx, media_types):
        raise Refusal(415, "unsupported_media", f"The body has to be {' or '.join(media_types)}, in UTF-8.")
    return body


def _is_of(ctx: Context, media_types: tuple[str, ...]) -> bool:
    given = ctx.request_fields.all(b"content-type")
    if len(given) != 1:
        return False
    media_type, _, parameters = given[0].decode("latin-1").lower().partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]*)", parameters)
    return media_type.strip() in media_types and (charset is None or charset[1] in ("utf-8", "utf8", "us-ascii"))


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = from_json(body, allow_inf_nan=False, cache_mode="none", catch_duplicate_keys=True)
    except ValueError as error:
        raise Refusal(400, "invalid_json", f"The body is not JSON: {_reason(error)}.") from None
    if not isinstance(value, dict):
        raise Refusal(400, "invalid_json", "The body is not a JSON object.")
    if _depth(value) > _MAX_DEPTH:
        raise Refusal(400, "invalid_json", "The body is nested too deeply.")
    return value


def _reason(error: ValueError) -> str:
    """What is wrong and where, and not what stands there."""
    place = re.search(r"at line \d+ column \d+", str(error))
    what = "a member is given twice" if "uplicate" in str(error) else "it cannot be read"
    return f"{what} {place[0]}" if place else what


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= _MAX_DEPTH:
        depth += 1
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [item for items in inside for item in items if isinstance(item, dict | list)]
    return depth
