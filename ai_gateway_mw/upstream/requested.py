"""Which models a request names, and in which order it wants them tried."""

from __future__ import annotations

from functools import lru_cache

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import BadBody

_AUTO = "ngrok/auto"
_MAX_NAMES = 16  # a request that names a thousand models is no request for a thousand attempts
_MAX_NAME = 256  # characters; names end up in fields, logs and measurements


def requested_names(ctx: Context) -> tuple[str, ...]:
    """The models that the client names, first `model`, then `models`; none of them for automatic choice."""
    route = ctx.route
    assert route is not None
    if route.model is not None:
        return _of_fair_length((route.model,))
    payload = ctx.payload
    if payload is None:
        return ()
    model, models = payload.get("model"), payload.get("models")
    if models is None and type(model) is str:
        return _one(model)
    if model is not None and not isinstance(model, str):
        raise BadBody("Invalid request body: `model` must be a string.", param="model")
    if models is not None and not (isinstance(models, list) and all(isinstance(name, str) for name in models)):
        raise BadBody("Invalid request body: `models` must be a list of strings.", param="models")
    if not models:
        return _one(model or "")
    names = [name for name in (model, *models) if name and name.lower() != _AUTO]
    if len(names) > _MAX_NAMES:
        raise BadBody(f"Invalid request body: at most {_MAX_NAMES} models may be named.", param="models")
    return _of_fair_length(tuple(dict.fromkeys(names)))


@lru_cache(maxsize=1024)
def _one(name: str) -> tuple[str, ...]:
    return _of_fair_length((name,)) if name and name.lower() != _AUTO else ()


def _of_fair_length(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if len(name) > _MAX_NAME:
            raise BadBody(f"Invalid request: a model's name has at most {_MAX_NAME} characters.", param="model")
    return names
