"""Key selection: for each model whose turn comes, which provider keys serve it, and in which order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ai_gateway_mw.cel import EvaluationError, Expression, Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import KeySelectionFailed, NoProviderKey, SecretError
from ai_gateway_mw.providers import Model, Provider
from ai_gateway_mw.secrets import DEFAULT_VAULT, Reading, SecretStore, usable
from ai_gateway_mw.state import ProviderKeys
from ai_gateway_mw.upstream.candidate import Candidate, ProviderKey

_log = logging.getLogger("ai_gateway_mw.upstream")
_KEYS = frozenset({ProviderKey})


class KeyNote(NamedTuple):
    """What one strategy made of a provider's keys, as it happened; made readable when somebody reads the result."""

    strategy: str
    error: str
    keys: Sequence[ProviderKey]


class KeyRing:
    """The configured keys of one provider, in the order of the file; their secrets are read when they are used.

    Where they depend on nothing but secrets, the keys stay as they are until one of those may have changed.
    """

    def __init__(self, provider: Provider, values: Sequence[Template], states: ProviderKeys, secrets: SecretStore):
        self._provider = provider
        self._values = values
        self._states = states
        self.secrets = secrets
        self._made: dict[str, ProviderKey] = {}
        self._settled = all(value.settled for value in values)
        self._names = {_vault_and_name(names) for value in values for names in value.secrets}
        self._keys: Sequence[ProviderKey] = ()
        self._reading: Reading | None = None

    @property
    def provider_id(self) -> str:
        return self._provider.id

    def keys(self, ctx: Context) -> Sequence[ProviderKey]:
        """Every key whose secret can be had; a missing one is logged by its place and left out."""
        if self._reading is not None and self.secrets.still_holds(self._reading):
            return self._keys
        epoch = self.secrets.epoch
        keys = self._rendered(ctx)
        if self._settled and len(keys) == len(self._values):
            self._keys, self._reading = keys, self.secrets.reading(self._names, epoch)
        return keys

    def reread(self, ctx: Context) -> ProviderKey | None:
        """The key that took another's place in its secret's source meanwhile, if one did."""
        before = {key.id for key in self.keys(ctx)}
        self.secrets.forget()
        changed = [key for key in self.keys(ctx) if key.id not in before]
        return changed[0] if changed else None

    def _rendered(self, ctx: Context) -> list[ProviderKey]:
        keys = []
        for number, template in enumerate(self._values, 1):
            try:
                keys.append(self._key(template.render(ctx)))
            except (EvaluationError, SecretError) as error:
                _log.warning("key %d of provider %s is left out: %s", number, self._provider.id, error)
        return keys

    def _key(self, value: str) -> ProviderKey:
        key = self._made.get(value)
        if key is None:
            if len(self._made) > 4 * len(self._values):  # rotated values would pile up
                self._made.clear()
            secret = usable(value, f"{self._provider.id}/api-key", "the policy")
            self.secrets.remember(secret)
            live = self._states.state(secret.fingerprint)
            key = self._made[value] = ProviderKey(secret.fingerprint, secret, live, self)
        return key


class KeySelection:
    """Writes `ctx.candidates`: a generator, so that a model's keys are picked when its turn comes."""

    def __init__(self, rings: Mapping[str, KeyRing], strategies: Sequence[tuple[str, Expression]]) -> None:
        self._rings = rings
        self._strategies = strategies

    def __call__(self, ctx: Context) -> None:
        ctx.key_notes = []  # those of an `ai-gateway` that gave up are not ours
        ctx.candidates = self._candidates(ctx)

    def _candidates(self, ctx: Context) -> Iterator[Candidate]:
        """One for each selected key of a model's provider, or one with the client's own key, or with none."""
        assert ctx.route is not None
        failure: NoProviderKey | None = None
        served = operators = False
        for provider, model in ctx.offers:
            surface = provider.surface(ctx.route.format, ctx.route.surface)
            if surface is None:
                continue
            ring = self._rings.get(provider.id)
            if ring is not None:
                for key in self._selected(ctx, ring, model):
                    served = operators = True
                    yield Candidate(provider, surface, model, key=key)
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
        ctx.keys = ring.keys(ctx)
        if not self._strategies:
            return ctx.keys
        notes: list[KeyNote] = []
        ctx.key_notes.append((model, notes))
        for text, strategy in self._strategies:
            try:
                returned = strategy(ctx)
            except EvaluationError as error:
                notes.append(KeyNote(text, str(error), ()))
                continue
            keys = [returned] if isinstance(returned, ProviderKey) else returned
            if not isinstance(keys, (list, tuple)) or not _KEYS.issuperset(map(type, keys)):
                notes.append(KeyNote(text, "the strategy must return a key or a list of keys", ()))
                continue
            notes.append(KeyNote(text, "", keys))
            if keys:
                return keys
        return ()


def _vault_and_name(arguments: tuple[str, ...]) -> tuple[str, str]:
    """What `secrets.get` was called with, in full."""
    return (arguments[0], arguments[1]) if len(arguments) == 2 else (DEFAULT_VAULT, arguments[0])


def _check_own_key(ctx: Context, provider: Provider) -> None:
    """Raises `NoProviderKey` where the client's own key is missing, or not meant for a provider without keys."""
    if provider.needs_key and ctx.credential is None:
        raise NoProviderKey(f"No API key found for provider '{provider.id}'.")
    if ctx.credential is not None and not (provider.configured or ctx.names_models):
        raise NoProviderKey("Name a model: your API key goes only to the provider that it is meant for.")
