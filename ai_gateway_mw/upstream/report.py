"""The action result `actions.ngrok.ai_gateway`: what was asked, chosen, tried and answered.

Made only when somebody reads it: see `Context.publish_lazily`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ai_gateway_mw.body import JSONBody
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import BadBody, GatewayError
from ai_gateway_mw.form import FormBody
from ai_gateway_mw.headers import PRIVATE_FIELDS
from ai_gateway_mw.providers import Model, Provider
from ai_gateway_mw.upstream.candidate import Attempt
from ai_gateway_mw.upstream.key_selection import KeyNote
from ai_gateway_mw.upstream.outcome import Outcome
from ai_gateway_mw.upstream.tokens import input_estimate


def gateway_result(ctx: Context, error: GatewayError | None) -> dict[str, Any]:
    """The result as expressions and logs see it; holds no credential. A provider's error is one, also where the client
    gets it as it is."""
    attempts = _own_attempts(ctx)
    relayed = attempts[-1] if attempts and attempts[-1].outcome is not Outcome.ACCEPTED else None
    result: dict[str, Any] = {
        "status": "error" if error or relayed else "success",
        "client": _client(ctx),
        "input_ngrok_tokens": _estimate(ctx),
        "output_ngrok_tokens": 0,
        "gateway_latency_ms": max(0, ctx.elapsed_ms - sum(attempt.ms_so_far for attempt in ctx.attempts)),
        "model_selection": _selections(ctx),
        "models_tried": _models_tried(ctx),
    }
    if error is not None:
        code = f"ERR_NGROK_{error.ngrok_code}" if error.ngrok_code else error.code
        result["error"] = {"code": code, "message": error.message}
    elif relayed is not None:
        result["error"] = {"code": relayed.outcome.value, "message": relayed.detail}
    elif attempts:
        result["success"] = _success(attempts, result["models_tried"])
    return result


def _client(ctx: Context) -> dict[str, Any]:
    fields = {name: values for name, values in ctx.request_fields.map.items() if name.encode() not in PRIVATE_FIELDS}
    asked = _asked(ctx)
    return {
        "method": ctx.method,
        "path": ctx.path,
        "user_agent": (ctx.request_fields.get(b"user-agent") or b"").decode("latin-1"),
        "request_headers": fields,
        "model": (asked.get("model") if asked else None) or "",
        "models": (asked.get("models") if asked else None) or [],
        "api_key_hash": ctx.credential.secret.fingerprint if ctx.credential else "",
        "rejected_models": [
            {"model": name, "reason": reason} for name, reason in (ctx.selection.rejected if ctx.selection else ())
        ],
    }


def _estimate(ctx: Context) -> int:
    """How long the prompt is, made now where no limit has asked for it; 0 where it cannot be read."""
    try:
        return input_estimate(ctx)
    except BadBody:
        return 0


def _asked(ctx: Context) -> JSONBody | FormBody | None:
    """What the client sent, None where it cannot be read."""
    try:
        return ctx.payload if ctx.body else None
    except BadBody:
        return None


def _ids(models: Sequence[Model]) -> list[str]:
    return [model.id for model in models]


def _selections(ctx: Context) -> list[dict[str, Any]]:
    if ctx.selection is None or ctx.selection.strategies is None:
        return []
    return [
        {
            "strategy": note["strategy"],
            "error": note["error"],
            "candidates_returned": _ids(note["returned"]),
            "candidates_after_allowed_filter": _ids(note["allowed"]),
            "candidates_after_client_filter": _ids(note["kept"]),
            "models_to_try": _ids(note["kept"]),
        }
        for note in ctx.selection.strategies
    ]


def _models_tried(ctx: Context) -> list[dict[str, Any]]:
    """One entry for each model, in the order of their turns; one without attempts shows why no key was selected."""
    tried: dict[int, dict[str, Any]] = {}
    for model, notes in ctx.key_notes:
        if model is not None:
            tried[id(model)] = _tried(model, model.provider, list(map(_key_selection, notes)))
    for attempt in _own_attempts(ctx):
        model, provider = attempt.candidate.model, attempt.candidate.provider
        entry = tried.setdefault(id(model), _tried(model, provider, []))
        entry["requests_made"].append(attempt.as_result())
    return list(tried.values())


def _key_selection(note: KeyNote) -> dict[str, Any]:
    return {"strategy": note.strategy, "error": note.error, "keys_to_try": [key.id for key in note.keys]}


def _own_attempts(ctx: Context) -> Sequence[Attempt]:
    """Those of this action: an `ai-gateway` before it may have given up."""
    return ctx.attempts[ctx.selection.first_attempt if ctx.selection else 0 :]


def _tried(model: Model | None, provider: Provider, key_selection: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "model": model.id if model else "",
        "provider": provider.id,
        "author": model.author_id if model else "",
        "api_key_selection": key_selection,
        "requests_made": [],
    }


def _success(attempts: Sequence[Attempt], tried: list[dict[str, Any]]) -> dict[str, Any]:
    model = attempts[-1].candidate.model
    provider = attempts[-1].candidate.provider
    indexes = [
        index
        for index, entry in enumerate(tried)
        if entry["provider"] == provider.id and entry["model"] == (model.id if model else "")
    ]
    return {
        "model_index": indexes[0],
        "request_index": len(tried[indexes[0]]["requests_made"]) - 1,
        "model": model.id if model else "",
        "provider": provider.id,
        "author": (model.author_id or "") if model else "",
    }
