"""Model selection: from the names a client asked for to the models that are tried, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from ai_gateway_mw.cel import EvaluationError, Expression
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import (
    FormatNotServed,
    GatewayError,
    ModelNotAllowed,
    ModelNotFound,
    NothingSelected,
    ProviderNotAllowed,
    SelectionFailed,
    SelectionOfWrongType,
)
from ai_gateway_mw.keys import GatewayKey
from ai_gateway_mw.providers import Kind, Model, ModelIndex, Provider, Rejection, kind_of
from ai_gateway_mw.surfaces import Format, Route
from ai_gateway_mw.upstream.candidate import Offer
from ai_gateway_mw.upstream.requested import requested_names

_NOT_FOR_THIS_KEY = "not allowed for this API key"
# Requests name the same few models; a client that makes up names shall not fill memory.
_REMEMBERED, _FEW_NAMES = 1024, 4


@dataclass(frozen=True)
class Allowed:
    """Which providers and models this action may use."""

    only_configured_providers: bool = False
    only_configured_models: bool = False

    def provider(self, provider: Provider) -> bool:
        if provider.disabled:
            return False
        return provider.configured or not self.only_configured_providers

    def model(self, model: Model) -> bool:
        if model.disabled or not self.provider(model.provider):
            return False
        return not self.only_configured_models or model.custom

    def why_not(self, model: Model) -> str:
        """The reason, of one that may not be used."""
        if model.disabled or model.provider.disabled:
            return "disabled by configuration"
        if not self.provider(model.provider):
            return f"not allowed: {model.provider.id} is no provider of the policy"
        return "not allowed: it is no model of the policy"


@dataclass(slots=True)
class SelectionNotes:
    """What a selection did, kept as it happened; made readable only when somebody reads the action's result."""

    first_attempt: int  # attempts before it were those of an `ai-gateway` that gave up
    requested: Sequence[str] = ()
    rejected: Sequence[tuple[str, str]] = ()
    strategies: list[dict[str, Any]] | None = None


class Found(NamedTuple):
    """What some names lead to, whoever asks."""

    models: Sequence[Model]
    offers: Sequence[Offer]
    rejected: Sequence[tuple[str, str]] = ()


class ModelSelection:
    """Writes `ctx.models` for strategies and `ctx.offers` for what follows. Raises the 38xx errors of the request."""

    def __init__(
        self, providers: Sequence[Provider], allowed: Allowed, strategies: Sequence[tuple[str, Expression]]
    ) -> None:
        self._providers = providers
        self._index = ModelIndex(providers)
        self._allowed = allowed
        self._strategies = strategies
        self._on_offer: dict[tuple[Format, Kind | None], Found] = {}
        self._remembered = lru_cache(_REMEMBERED)(self._named)
        self._remembered_for_key = lru_cache(_REMEMBERED)(self._permitted)

    def on_offer(self, api_format: Format, kind: Kind | None = None) -> Sequence[Model]:
        """Every model that may be used for a format and a kind of task, in the order of configuration and catalogue."""
        return self._all(api_format, kind).models

    def named(self, name: str, api_format: Format) -> Sequence[Model]:
        """The known models that a name means, where they may be used."""
        models = self._index.resolve([name]).models
        return [m for m in models if m.known and self._allowed.model(m) and m.provider.serves(api_format)]

    def __call__(self, ctx: Context) -> None:
        route, key = ctx.route, ctx.gateway_key
        assert route is not None
        ctx.selection = notes = SelectionNotes(len(ctx.attempts))
        if key is not None and not key.restricts_models:
            key = None
        if route.task == "resource":
            ctx.offers = self._owners(route, key)
            return
        notes.requested = names = requested_names(ctx)
        if key is not None:
            found = self._for_key(names, route, key)
        elif not names:
            found = self._all(route.format, kind_of(route.path))
        elif len(names) <= _FEW_NAMES:
            found = self._remembered(names, route.format)
        else:
            found = self._named(names, route.format)
        ctx.models, ctx.offers, notes.rejected = found
        if not ctx.models:
            raise self._refusal(names, route)
        if self._strategies:
            ctx.offers = _offers(self._strategic(ctx, notes, names, key))

    def _owners(self, route: Route, key: GatewayKey | None) -> Sequence[Offer]:
        """For a path that names no model: the first provider whose own format it is, a configured one before others.

        Files and batches belong to one account, so there is no second provider to turn to.
        """
        api_format = route.format
        if key is not None and key.allowed_models is not None:
            raise ModelNotAllowed(f"This key is for some models only, and {route.path} could use any.")
        able = [p for p in self._providers if self._allowed.provider(p) and p.serves(api_format)]
        if not able:
            raise FormatNotServed(f"No provider serves the {api_format} format.")
        if key is not None:
            able = [provider for provider in able if key.allows_provider(provider.id)]
            if not able:
                raise ProviderNotAllowed(f"No provider of the {api_format} format is allowed for this API key")
        return [Offer(min(able, key=lambda p: (not p.configured, p.surfaces[0].format != api_format)), None)]

    def _all(self, api_format: Format, kind: Kind | None) -> Found:
        key = api_format, kind
        if key not in self._on_offer:
            models = tuple(filter(self._allowed.model, self._index.all(api_format, kind)))
            self._on_offer[key] = Found(models, _offers(models))
        return self._on_offer[key]

    def _named(self, names: Sequence[str], api_format: Format) -> Found:
        """The models that may be used and serve the format; without any, `_refusal` says why."""
        resolution = self._index.resolve(names)
        usable = [model for model in resolution.models if self._allowed.model(model)]
        refused = [model for model in resolution.models if not self._allowed.model(model)]
        served = tuple(model for model in usable if model.provider.serves(api_format))
        rejected = (
            *resolution.rejected,
            *((model.id, self._allowed.why_not(model)) for model in refused),
            *((model.id, f"not served in the {api_format} format") for model in usable if model not in served),
        )
        return Found(served, _offers(served), rejected)

    def _for_key(self, names: tuple[str, ...], route: Route, key: GatewayKey) -> Found:
        """What the key may be used for. Raises `ModelNotAllowed` where that leaves nothing."""
        kind = None if names else kind_of(route.path)
        found = self._remembered_for_key(names, route.format, kind, key.allowed_models, key.allowed_providers)
        if not found.models and found.rejected:
            model, reason = found.rejected[-1]
            if reason == _NOT_FOR_THIS_KEY:
                wanted = f"Model '{model}'" if names else "Every model"
                raise ModelNotAllowed(f"{wanted} is not allowed for this API key", param="model")
        return found

    def _permitted(
        self,
        names: tuple[str, ...],
        api_format: Format,
        kind: Kind | None,
        models: tuple[str, ...] | None,
        providers: tuple[str, ...] | None,
    ) -> Found:
        """The same for a key with these rules."""
        found = self._named(names, api_format) if names else self._all(api_format, kind)
        key = GatewayKey("", "", b"", allowed_models=models, allowed_providers=providers)
        kept = tuple(model for model in found.models if key.allows_model(model.provider_id, model.id))
        refused = [(model.id, _NOT_FOR_THIS_KEY) for model in found.models if model not in kept]
        return Found(kept, _offers(kept), (*found.rejected, *refused))

    def _refusal(self, names: Sequence[str], route: Route) -> GatewayError:
        """Why there is no model."""
        if not names:
            return FormatNotServed(f"No provider serves the {route.format} format of {route.path}.")
        resolution = self._index.resolve(names)
        refused = [model for model in resolution.models if not self._allowed.model(model)]
        if len(refused) < len(resolution.models):
            ids = ", ".join(sorted({model.provider.id for model in resolution.models if model not in refused}))
            return FormatNotServed(f"No selected model supports the {route.format} format (asked of: {ids}).")
        disabled = [name for name, reason in resolution.rejected if reason == Rejection.DISABLED]
        if disabled and not refused:
            return ModelNotAllowed(f"Model '{disabled[0]}' is not allowed by gateway configuration", param="model")
        if not refused:
            listed = ", ".join(names)
            return ModelNotFound(
                f"No matching models found: {listed}. Name a known model, or `provider:model` for one that is not.",
                param="model",
            )
        model = refused[0]
        if not self._allowed.provider(model.provider):
            return ProviderNotAllowed(
                f"Provider '{model.provider.id}' is not allowed by gateway configuration", param="model"
            )
        return ModelNotAllowed(f"Model '{model.id}' is not allowed by gateway configuration", param="model")

    def _usable(self, models: Sequence[Model], api_format: Format) -> Sequence[Model]:
        """Those that this action may use for a format: through `ai.providers` a strategy reaches all there are."""
        return [model for model in models if self._allowed.model(model) and model.provider.serves(api_format)]

    def _strategic(
        self, ctx: Context, notes: SelectionNotes, names: Sequence[str], key: GatewayKey | None
    ) -> Sequence[Model]:
        """The models of the first strategy that leaves any; strategies are alternatives, not a cascade."""
        route = ctx.route
        assert route is not None
        notes.strategies = []
        wrong: GatewayError | None = None
        for text, strategy in self._strategies:
            returned: Any = ()
            error = ""
            try:
                returned = strategy(ctx)
                chosen = [returned] if isinstance(returned, Model) else returned
                if not isinstance(chosen, Sequence) or not all(isinstance(model, Model) for model in chosen):
                    wrong = SelectionOfWrongType(f"Expression '{text}' must return an AIModel or a list of them.")
                    error, chosen = wrong.message, ()
            except EvaluationError as failure:
                error, chosen = str(failure), ()
                wrong = wrong or SelectionFailed(f"Model selection failed: {failure}")
            allowed = self._usable(chosen, route.format) if "ai.providers" in strategy.variables else chosen
            # Where the client named models, a strategy only filters them: the client's order stands.
            # By their ids: a model asked for by a dated name is a copy of the one in the catalogue.
            ids = {(model.provider_id, model.id) for model in chosen}
            kept = [m for m in ctx.models if (m.provider_id, m.id) in ids] if names else list(allowed)
            if key is not None:  # a strategy may return what it was not offered
                kept = [model for model in kept if key.allows_model(model.provider_id, model.id)]
            notes.strategies.append(
                {"strategy": text, "error": error, "returned": chosen, "allowed": allowed, "kept": kept}
            )
            if kept:
                return kept
        raise wrong or NothingSelected("Model selection returned no results: every strategy came back empty.")


def _offers(models: Sequence[Model]) -> Sequence[Offer]:
    return tuple([Offer(model.provider, model) for model in models])
