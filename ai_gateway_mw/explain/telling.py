"""What was chosen and sent, told once the exchange is over: models, keys, requests, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import httpx

from ai_gateway_mw.context import Context
from ai_gateway_mw.explain.course import Considered, Sent
from ai_gateway_mw.explain.observing import Observation
from ai_gateway_mw.providers import Model
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.key_ring import ProviderKey
from ai_gateway_mw.upstream.key_selection import KeyNote

MOST_SHOWN: Final = 4000  # characters of a body
_MODELS: Final = 40


def tell_choices(seen: Observation) -> None:
    """Write what `ai-gateway` did into the course."""
    ctx = seen.ctx
    for attempt, type_, request in seen.requests:
        if attempt is not None:
            seen.course.sent.append(_sent(seen, attempt, request))
        else:
            seen.course.called.append(_called(seen, type_, request))
    if ctx is None:
        return
    if ctx.selection is not None:
        _tell_models(seen, ctx)
    seen.course.keys = _keys(seen, ctx)


def _tell_models(seen: Observation, ctx: Context) -> None:
    assert ctx.selection is not None
    strategies = ctx.selection.strategies or []
    offered = [offer.model for offer in ctx.offers if offer.model is not None]
    if strategies and not strategies[-1]["kept"]:
        offered = []  # all of them came back empty
    chosen = "asked for" if ctx.names_models else "on offer"
    if strategies:
        chosen = f"chosen by strategy {len(strategies)}"
    ids = {(model.provider_id, model.id) for model in offered}
    dropped = [model for model in ctx.models if (model.provider_id, model.id) not in ids]
    why = "; ".join(_verdict(place, note) for place, note in enumerate(strategies, 1))
    seen.course.models = [
        *(Considered(_named(model), order, chosen) for order, model in enumerate(offered[:_MODELS], 1)),
        *(Considered(_named(model), None, seen.masks.text(why)) for model in dropped[:_MODELS]),
        *(Considered(name, None, str(reason)) for name, reason in ctx.selection.rejected[:_MODELS]),
    ]
    untold = max(0, len(offered) - _MODELS) + max(0, len(dropped) - _MODELS)
    if untold:
        seen.course.notes.append(f"{untold} more models are not shown")


def _verdict(place: int, note: dict[str, Any]) -> str:
    return f"strategy {place} failed: {note['error']}" if note["error"] else f"strategy {place} left it out"


def _named(model: Model) -> str:
    return f"{model.provider_id}:{model.id}"


def _keys(seen: Observation, ctx: Context) -> list[Considered]:
    """In the order of their turns; then those that had none."""
    considered: dict[str, Considered] = {}
    for candidate in (*(attempt.candidate for attempt in ctx.attempts), *seen.rest):
        name = f"{candidate.provider.id}: {_key_name(seen, candidate) or 'no key'}"
        reason = _why_kept(_notes_of(seen, candidate.provider.id))
        considered.setdefault(name, Considered(name, len(considered) + 1, reason))
    for provider, keys in seen.rings.items():
        for key in keys:
            name = f"{provider}: {seen.masks.name_of(key)}"
            considered.setdefault(name, Considered(name, None, _why_dropped(_notes_of(seen, provider), key)))
    return list(considered.values())


def _key_name(seen: Observation, candidate: Candidate) -> str:
    if candidate.key is not None:
        return seen.masks.name_of(candidate.key)
    return "the client's own key" if candidate.credential is not None else ""


def _notes_of(seen: Observation, provider: str) -> Sequence[KeyNote]:
    """What the strategies did for the first model of a provider."""
    found = (notes for model, notes in seen.key_notes if model is not None and model.provider_id == provider)
    return next(found, ())


def _why_kept(notes: Sequence[KeyNote]) -> str:
    return f"chosen by strategy {len(notes)}" if notes and notes[-1].keys else "in the order of the policy"


def _why_dropped(notes: Sequence[KeyNote], key: ProviderKey) -> str:
    if notes and not any(one is key for note in notes for one in note.keys):
        return "strategy 1 left it out" if len(notes) == 1 else "no strategy chose it"
    return f"stands back: it is {key.state}"


def _sent(seen: Observation, attempt: Attempt, request: httpx.Request) -> Sent:
    sent = _called(seen, attempt.candidate.name, request)
    sent.key = _key_name(seen, attempt.candidate)
    sent.url = seen.masks.text(attempt.url)  # the request has the address that HOSTS gives
    sent.outcome, sent.status = attempt.outcome.value, attempt.status
    return sent


def _called(seen: Observation, who: str, request: httpx.Request) -> Sent:
    masks = seen.masks
    content = masks.text(request.content.decode("utf-8", "replace"))
    fields = [(name.decode("latin-1"), masks.bounded(value.decode("latin-1"))) for name, value in request.headers.raw]
    url = masks.text(str(request.url))
    return Sent(who, "", request.method, url, fields, masks.bounded(content, MOST_SHOWN), "called", 0, content)
