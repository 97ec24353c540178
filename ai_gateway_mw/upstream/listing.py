"""`GET /v1/models`: the models on offer, answered from configuration and catalogue in the caller's format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import ModelNotFound
from ai_gateway_mw.providers import Model
from ai_gateway_mw.replies import Reply, json_reply
from ai_gateway_mw.surfaces import Format, Route
from ai_gateway_mw.upstream.model_selection import ModelSelection

_EPOCH = "1970-01-01T00:00:00Z"  # when a model came out is not in the catalogue, and the SDKs demand a date


def model_listing(ctx: Context, route: Route, selection: ModelSelection) -> Reply:
    """The list, or the one model that the path names. Raises `ModelNotFound`."""
    api_format = ctx.spoken_format  # all three list models under the same path, and differ in their fields
    models: dict[str, Model] = {}
    for model in selection.on_offer(api_format):
        if _visible(ctx, model):
            models.setdefault(model.id, model)
    card = _CARDS[api_format]
    if route.model is None:
        return json_reply(200, _listed(api_format, [card(model) for model in models.values()]))
    named = (model for model in selection.named(route.model, api_format) if _visible(ctx, model))
    found = models.get(route.model) or next(named, None)
    if found is None:
        raise ModelNotFound(f"No matching models found: {route.model}.", param="model")
    return json_reply(200, card(found))


def _visible(ctx: Context, model: Model) -> bool:
    """Whether the client's key may be used for it."""
    return ctx.gateway_key is None or ctx.gateway_key.allows_model(model.provider_id, model.id)


def _openai(model: Model) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": 0, "owned_by": model.author_id or model.provider.id}


def _anthropic(model: Model) -> dict[str, Any]:
    return {"type": "model", "id": model.id, "display_name": model.display_name, "created_at": _EPOCH}


def _gemini(model: Model) -> dict[str, Any]:
    return {
        "name": f"models/{model.id}",
        "displayName": model.display_name,
        "inputTokenLimit": model.max_context_window or 0,
        "outputTokenLimit": model.max_output_tokens or 0,
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
    }


_CARDS = {"openai": _openai, "anthropic": _anthropic, "gemini": _gemini}


def _listed(api_format: Format, cards: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if api_format == "anthropic":
        ends = {"first_id": cards[0]["id"], "last_id": cards[-1]["id"]} if cards else {}
        return {"data": cards, "has_more": False, **ends}
    if api_format == "gemini":
        return {"models": cards}
    return {"object": "list", "data": cards}
