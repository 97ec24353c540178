"""The provider keys that are configured, in rings: those of one provider, with their live state."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from ai_gateway_mw.cel import EvaluationError, Template
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import SecretError
from ai_gateway_mw.headers import Field
from ai_gateway_mw.providers import ApiSurface, Provider
from ai_gateway_mw.secrets import DEFAULT_VAULT, Reading, Secret, SecretStore, usable
from ai_gateway_mw.state import ErrorRates, KeyState, Latency, ProviderKeys, Quota

_log = logging.getLogger("ai_gateway_mw.upstream")


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
        self._numbers: dict[str, int] = {}  # the place of each of them in the file, by its id
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

    def reread(self, ctx: Context, key: ProviderKey, *, forget: bool) -> ProviderKey | None:
        """The key that took this one's place in its secret's source meanwhile, if one did; with `forget`, the source is
        asked again unless the place is known to have changed, as for the first of many that were refused at once."""
        number = self._numbers.get(key.id)
        if forget and any(now.id == key.id for now in self.keys(ctx)):
            self.secrets.forget()
        there = (now for now in self.keys(ctx) if self._numbers.get(now.id) == number and now.id != key.id)
        return next(there, None)

    def _rendered(self, ctx: Context) -> list[ProviderKey]:
        keys = []
        if len(self._numbers) > 4 * len(self._values):
            self._numbers.clear()
        for number, template in enumerate(self._values, 1):
            try:
                keys.append(self._key(template.render(ctx)))
                self._numbers.setdefault(keys[-1].id, number)
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


def _vault_and_name(arguments: tuple[str, ...]) -> tuple[str, str]:
    """What `secrets.get` was called with, in full."""
    return (arguments[0], arguments[1]) if len(arguments) == 2 else (DEFAULT_VAULT, arguments[0])


class ShownKey:
    """A provider key as one API surface takes it: its field, and the line of a head that this becomes. Neither shows
    itself."""

    __slots__ = ("field", "line")

    def __init__(self, field: Field, line: bytes) -> None:
        self.field = field
        self.line = line

    def __getstate__(self) -> None:
        """Nothing, as of a `Secret`."""


@dataclass(frozen=True, slots=True, eq=False)
class ProviderKey:
    """A provider key as strategies see it: its live state, and a value that nobody can print.

    `id` is a digest of the value, so the same key keeps its state wherever it is configured; `ring` is where it came
    from. `shown` holds what its value has become for the surfaces that were asked, and goes where the value goes.
    """

    id: str
    value: Secret
    live: KeyState
    ring: KeyRing
    shown: dict[ApiSurface, ShownKey] = field(default_factory=dict, init=False, repr=False)
    quota: Quota = field(init=False, repr=False)
    error_rate: ErrorRates = field(init=False, repr=False)
    latency: Latency = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("quota", "error_rate", "latency"):  # of its live state, where strategies look for them
            object.__setattr__(self, name, getattr(self.live, name))

    @property
    def samples(self) -> int:
        return self.live.samples

    @property
    def in_flight(self) -> int:
        return self.live.in_flight

    @property
    def cooling(self) -> bool:
        return self.live.cooling

    @property
    def state(self) -> str:
        return self.live.state
