"""Key selection: for each model whose turn comes, which provider keys serve it, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ai_gateway_mw.cel import EvaluationError, Expression
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import KeySelectionFailed, NoProviderKey
from ai_gateway_mw.providers import Model, Provider
from ai_gateway_mw.upstream.candidate import Candidate
from ai_gateway_mw.upstream.key_ring import KeyRing, ProviderKey

_KEYS = frozenset({ProviderKey})


class KeyNote(NamedTuple):
    """What one strategy made of a provider's keys, as it happened; made readable when somebody reads the result."""

    strategy: str
    error: str
    keys: Sequence[ProviderKey]


class KeySelection:
    """Writes `ctx.candidates`: a generator, so that a model's keys are picked when its turn comes."""

    def __init__(self, rings: Mapping[str, KeyRing], strategies: Sequence[tuple[str, Expression]]) -> None:
        self._rings = rings
        self._strategies = [(text, strategy.run) for text, strategy in strategies]

    def __call__(self, ctx: Context) -> None:
        ctx.key_notes = []  # those of an `ai-gateway` that gave up are not ours
        ctx.candidates = self._candidates(ctx)

    def _candidates(self, ctx: Context) -> Iterator[Candidate]:
        """One for each selected key of a model's provider, or one with the client's own key, or with none."""
        route = ctx.route
        assert route is not None
        failure: NoProviderKey | None = None
        served = operators = False
        for provider, model in ctx.offers:
            surface = provider.surface(route.format, route.surface)
            if surface is None:
                continue
            ring = self._rings.get(provider.id)
            if ring is not None:
                for key in self._selected(ctx, ring, model):
                    served = operators = True
                    yield Candidate(provider, surface, model, key)
                continue
            try:
                _check_own_key(ctx, provider)
            except NoProviderKey as error:
                failure = error
                continue
            # Where the operator's keys serve, the client's is a placeholder of its SDK: nobody whom the policy does
            # not name gets it, and its refusal must not hide why the operator's keys failed.
            if operators and not provider.configured and ctx.credential is not None:
                continue
            served = True
            yield Candidate(provider, surface, model, credential=ctx.credential)
        if not served:
            raise failure or KeySelectionFailed("API key selection left no key to try.")

    def _selected(self, ctx: Context, ring: KeyRing, model: Model | None) -> Sequence[ProviderKey]:
        """The keys of the first strategy that returns any; without strategies, all in the order of the file."""
        ctx.keys = keys = ring.keys(ctx)
        if not self._strategies:
            return keys
        notes: list[KeyNote] = []
        ctx.key_notes.append((model, notes))
        for text, strategy in self._strategies:
            try:
                keys = strategy(ctx)
            except EvaluationError as error:
                notes.append(KeyNote(text, str(error), ()))
                continue
            if type(keys) is ProviderKey:
                keys = (keys,)
            if not isinstance(keys, (list, tuple)) or not _KEYS.issuperset(map(type, keys)):
                notes.append(KeyNote(text, "the strategy must return a key or a list of keys", ()))
                continue
            notes.append(KeyNote(text, "", keys))
            if keys:
                return keys
        return ()


def _check_own_key(ctx: Context, provider: Provider) -> None:
    """Raises `NoProviderKey` where the client's own key is missing, or not meant for a provider without keys."""
    if provider.needs_key and ctx.credential is None:
        reason = f"the policy has no key for {provider.id}, and the request brings none"
        raise NoProviderKey(f"No API key found for provider '{provider.id}'.", reason=reason)
    if ctx.credential is not None and not (provider.configured or ctx.names_models):
        raise NoProviderKey("Name a model: your API key goes only to the provider that it is meant for.")
