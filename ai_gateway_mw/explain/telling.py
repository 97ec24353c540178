"""What was chosen and sent, told once the exchange is over: models, keys, requests, each with its reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import httpx

from ai_gateway_mw.context import Context
from ai_gateway_mw.explain.course import Considered, Sent
from ai_gateway_mw.explain.observing import Observation
from ai_gateway_mw.providers import Model, Provider
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.failover import MAX_ATTEMPTS
from ai_gateway_mw.upstream.key_ring import ProviderKey
from ai_gateway_mw.upstream.key_selection import KeyNote

MOST_SHOWN: Final = 4000  # characters of a body
_MODELS: Final = 40
_OWN_KEY: Final = "the client's own key"


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
    seen.course.then = _then(seen, ctx)


def _tell_models(seen: Observation, ctx: Context) -> None:
    assert ctx.selection is not None
    strategies = ctx.selection.strategies or []
    offered = [offer.model for offer in ctx.offers if offer.model is not None]
    if strategies and not strategies[-1]["kept"]:
        offered = []  # all of them came back empty
    chosen = "" if ctx.names_models else "on offer"
    if strategies:
        chosen = f"chosen by strategy {len(strategies)}"
    ids = {(model.provider_id, model.id) for model in offered}
    dropped = [model for model in ctx.models if (model.provider_id, model.id) not in ids]
    why = "; ".join(_verdict(place, note) for place, note in enumerate(strategies, 1))
    seen.course.models = [
        *(
            Considered(_named(model), order, _why_offered(seen, model, ctx.selection.requested, chosen))
            for order, model in enumerate(offered[:_MODELS], 1)
        ),
        *(Considered(_named(model), None, seen.masks.text(why)) for model in dropped[:_MODELS]),
        *(Considered(name, None, str(reason)) for name, reason in ctx.selection.rejected[:_MODELS]),
    ]
    untold = max(0, len(offered) - _MODELS) + max(0, len(dropped) - _MODELS)
    if untold:
        seen.course.notes.append(f"{untold} more models are not shown")


def _why_offered(seen: Observation, model: Model, requested: Sequence[str], chosen: str) -> str:
    """How it was chosen, and by which name it was asked for where that is not its own."""
    own = {model.id.casefold(), _named(model).casefold()}
    if requested and not any(name.casefold() in own for name in requested):
        name = next((name for name in requested if _means(name, model)), "")
        if name:
            asked = f"asked for as `{seen.masks.text(name)}`"
            return f"{asked}, {chosen}" if chosen else asked
    return chosen or "asked for"


def _means(name: str, model: Model) -> bool:
    """Whether a name, with or without a provider or an author, is one of the model's."""
    folded = name.casefold()
    return not model.names.isdisjoint((folded, folded.partition(":")[2], folded.partition("/")[2]))


def _verdict(place: int, note: dict[str, Any]) -> str:
    return f"strategy {place} failed: {note['error']}" if note["error"] else f"strategy {place} left it out"


def _named(model: Model) -> str:
    return f"{model.provider_id}:{model.id}"


def _keys(seen: Observation, ctx: Context) -> list[Considered]:
    """In the order of their turns; then those that had none."""
    considered: dict[str, Considered] = {}
    for candidate in (*(attempt.candidate for attempt in ctx.attempts), *seen.rest):
        name = f"{candidate.provider.id}: {_key_name(seen, candidate) or 'no key'}"
        reason = _why_kept(_notes_of(seen, candidate.provider.id), candidate)
        if candidate in seen.rest and (poor := _poor_prospect(candidate)):
            reason = f"{reason}; last, {poor}"
        considered.setdefault(name, Considered(name, len(considered) + 1, reason))
    for provider_id, keys in seen.rings.items():
        for key in keys:
            name = f"{provider_id}: {seen.masks.name_of(key)}"
            considered.setdefault(name, Considered(name, None, _why_dropped(_notes_of(seen, provider_id), key)))
    served = {name.partition(": ")[0] for name in considered}
    for provider in dict.fromkeys(offer.provider for offer in ctx.offers):
        if own := _without_turn(seen, ctx, provider, is_served=provider.id in served):
            considered.setdefault(own.name, own)
    return list(considered.values())


def _without_turn(seen: Observation, ctx: Context, provider: Provider, *, is_served: bool) -> Considered | None:
    """What is to be said of the client's own key at a provider that does not get it, or of there being none."""
    own = Considered(f"{provider.id}: {_OWN_KEY}", None, "")
    if provider.id in seen.rings:
        own.reason = "not used: the policy has keys for this provider"
        return own if ctx.credential is not None else None
    if is_served or not provider.needs_key:
        return None
    if ctx.credential is None:
        reason = "the policy has none that can be had, and the request brings none"
        return Considered(f"{provider.id}: no key", None, reason)
    own.reason = "a client's own key gets one attempt"
    if not (ctx.names_models or provider.configured):
        own.reason = "it goes to no provider that neither the client nor the policy names"
    return own


def _then(seen: Observation, ctx: Context) -> list[Considered]:
    """Whose turn would come next, one after the other."""
    left = MAX_ATTEMPTS - len(ctx.attempts)
    if len(seen.rest) > left:
        seen.course.notes.append(f"no more than {MAX_ATTEMPTS} attempts are made for one request")
    return [
        Considered(
            _candidate_name(seen, candidate), order, (poor := _poor_prospect(candidate)) and f"stands back {poor}"
        )
        for order, candidate in enumerate(seen.rest[:left], len(ctx.attempts) + 1)
    ]


def _candidate_name(seen: Observation, candidate: Candidate) -> str:
    key = _key_name(seen, candidate)
    return f"{candidate.name} with {key}" if key else candidate.name


def _poor_prospect(candidate: Candidate) -> str:
    """Why a candidate stands back until all others have had their turn."""
    key, model = candidate.key, candidate.model
    if key is None:
        return ""
    if key.cooling:
        return f"since it is {_set_aside(key)}"
    if model is not None and key.live.unfit_for(model.id):
        return "since it was refused for this model"
    return ""


def _set_aside(key: ProviderKey) -> str:
    """The state of a key that is better left alone, as expressions read it, and for how long."""
    return f"{key.state} for another {key.live.cooling_left:.0f} s"


def _key_name(seen: Observation, candidate: Candidate) -> str:
    if candidate.key is not None:
        return seen.masks.name_of(candidate.key)
    return _OWN_KEY if candidate.credential is not None else ""


def _notes_of(seen: Observation, provider: str) -> Sequence[KeyNote]:
    """What the strategies did for the first model of a provider."""
    found = (notes for model, notes in seen.key_notes if model is not None and model.provider_id == provider)
    return next(found, ())


def _why_kept(notes: Sequence[KeyNote], candidate: Candidate) -> str:
    if candidate.key is None:
        own = candidate.credential is not None
        return "the policy has none for this provider" if own else "this provider needs none"
    return f"chosen by strategy {len(notes)}" if notes and notes[-1].keys else "in the order of the policy"


def _why_dropped(notes: Sequence[KeyNote], key: ProviderKey) -> str:
    if notes and not any(one is key for note in notes for one in note.keys):
        return "strategy 1 left it out" if len(notes) == 1 else "no strategy chose it"
    return f"stands back: it is {_set_aside(key)}" if key.cooling else "its turn does not come"


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
