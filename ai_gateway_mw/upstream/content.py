"""The content of an upstream request: the client's own bytes, or with what the policy and the model's name change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from typing import Any

from ai_gateway_mw.cel import Template, to_json
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import BadBody, PolicyDenied
from ai_gateway_mw.surfaces import Route
from ai_gateway_mw.upstream.asked_usage import MEMBER, asking, asks_for_usage
from ai_gateway_mw.upstream.candidate import Candidate

_NO_NAMES: frozenset[str] = frozenset()
_MODELS = frozenset({"models"})
# Both spellings of the output limit of chat completions; and Gemini's, whose JSON takes either for every member.
_CHAT_LIMITS = ("max_completion_tokens", "max_tokens")
_GEMINI_CONFIGS = ("generationConfig", "generation_config")
_GEMINI_LIMITS = ("maxOutputTokens", "max_output_tokens")


def content(
    ctx: Context, route: Route, candidate: Candidate, additions: Mapping[str, Any], max_output_tokens: int | None
) -> bytes:
    """The client's bytes, with only those top-level members changed that the policy or the model's name changes.

    Leaves of `additions` are values, or templates to be rendered.
    """
    model = candidate.model
    if model is None or (payload := ctx.payload) is None:
        return ctx.body or b""
    asked = payload.get("model")
    takes_all = not (candidate.surface.supported_params or model.unsupported_params)
    asks = False
    if ctx.account is not None:
        asks = ctx.account.usage_was_asked = MEMBER not in additions and asks_for_usage(ctx, payload, candidate)
    if takes_all and asked == model.upstream_id and max_output_tokens is None and not (additions or asks):
        return ctx.body or b"" if "models" not in payload.names else payload.edited({}, _MODELS)
    dropped = _dropped(payload.names, candidate)
    changes: dict[str, Any] = {}
    if route.model is None and asked != model.upstream_id and candidate.takes("model"):
        changes["model"] = model.sent_as(asked)
    if max_output_tokens is not None:
        changes |= _capped(payload.get, route, candidate, max_output_tokens)
    if additions:
        changes |= {name: rendered(value, ctx) for name, value in additions.items()}
    if asks:
        changes[MEMBER] = asking(payload.get(MEMBER))
    if not (changes or dropped):
        return ctx.body or b""
    ours = set(map(str.casefold, changes))
    for name in payload.names - changes.keys():
        if name.casefold() in ours:  # Go's JSON would take it for the one that is set here
            raise BadBody(f"Invalid request body: `{name.casefold()}` is spelled in another way.", param=name)
    return payload.edited(changes, dropped)


def _dropped(names: Set[str], candidate: Candidate) -> frozenset[str]:
    """The members that do not go on: ours alone, and those that this candidate does not take."""
    allowed = candidate.surface.supported_params
    denied = candidate.model.unsupported_params if candidate.model else _NO_NAMES
    if not allowed and not denied:
        return _MODELS if "models" in names else _NO_NAMES
    return _MODELS.union([name for name in names if not candidate.takes(name)])


def _capped(value_of: Callable[[str], Any], route: Route, candidate: Candidate, limit: int) -> dict[str, Any]:
    """The smaller of the client's own output limit and the policy's, in the member that this surface reads."""
    if route.format == "gemini":
        return _gemini_capped(value_of, limit)
    if route.surface == "chat-completions":
        return _chat_capped(value_of, candidate, limit)
    if route.surface == "responses":
        names = ["max_output_tokens"]
    elif route.surface == "messages" or route.path == "/v1/completions":
        names = ["max_tokens"]
    else:
        names = []
    return {name: _smaller(value_of(name), limit) for name in names}


def _chat_capped(value_of: Callable[[str], Any], candidate: Candidate, limit: int) -> dict[str, Any]:
    """The client's own spelling where the candidate takes it, else the surface's, else the other one."""
    asked = {name: value for name in _CHAT_LIMITS if (value := value_of(name)) is not None}
    kept = {name: _smaller(value, limit) for name, value in asked.items() if candidate.takes(name)}
    if kept:
        return kept
    usual = candidate.surface.output_limit_param
    name = next((name for name in (usual, *_CHAT_LIMITS) if candidate.takes(name)), usual)
    return {name: min([limit, *(_smaller(value, limit) for value in asked.values())])}


def _gemini_capped(value_of: Callable[[str], Any], limit: int) -> dict[str, Any]:
    changes = {}
    for name in [name for name in _GEMINI_CONFIGS if value_of(name) is not None] or _GEMINI_CONFIGS[:1]:
        given = value_of(name)
        config = dict(given) if isinstance(given, dict) else {}
        members = [member for member in _GEMINI_LIMITS if member in config] or _GEMINI_LIMITS[:1]
        changes[name] = config | {member: _smaller(config.get(member), limit) for member in members}
    return changes


def _smaller(value: Any, limit: int) -> int:
    """The client's limit where it is one and lies below: some providers read 0 and -1 as "no limit"."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < limit else limit


def rendered(value: Any, ctx: Context) -> Any:
    """A configured value with the templates at its leaves rendered, as JSON takes it. Raises `PolicyDenied`."""
    if isinstance(value, Template):
        return _as_json(value.value(ctx))
    if isinstance(value, Mapping):
        return {name: rendered(item, ctx) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rendered(item, ctx) for item in value]
    return _as_json(value)


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    made = to_json(value)  # first, since it refuses what is nested too deeply
    if _has_nan(value):
        raise PolicyDenied("ai-gateway, body: a number is infinite or none at all, which JSON cannot say")
    return made


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Mapping):
        return any(map(_has_nan, value.values()))
    return isinstance(value, list | tuple) and any(map(_has_nan, value))
