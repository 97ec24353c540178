"""What a running gateway knows, taken down for a rehearsal: that is as things stand, and nothing comes back from it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.clocks import utc_now
from ai_gateway_mw.errors import KeyStoreUnavailable, LimitsUnavailable
from ai_gateway_mw.explain.doubles import PretendedAccounts
from ai_gateway_mw.keys import Found, GatewayKey, generate, well_formed
from ai_gateway_mw.limits import Counters
from ai_gateway_mw.replies import Reply
from ai_gateway_mw.secrets import SecretSource
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.usage import Prices

if TYPE_CHECKING:
    from ai_gateway_mw.middleware import Gateway

_READ_ONCE: Final[tuple[str, ...]] = ("catalog", "intelligence")
_INTERNAL: Final = Reply(200, ((b"content-type", b"text/plain; charset=utf-8"),), b"This is a canned answer.")


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The gateway keys of the database that one request is about; None where it could not be asked.

    `presented` are those whose text the request holds, `named` the one that it is to come with.
    """

    presented: Mapping[str, GatewayKey] | None = field(default_factory=dict)
    named: GatewayKey | None = None


class LiveAccounts(PretendedAccounts):
    """Stored keys as they are: what is not among these is none. Nothing is noted or written."""

    def __init__(self, settings: Settings, counters: Callable[[], Counters], keys: StoredKeys, prices: Prices) -> None:
        super().__init__(settings, counters)
        self.prices = prices
        self._is_reached = keys.presented is not None
        self._keys = dict(keys.presented or {})
        self._named = keys.named

    def pretend(self, name: str) -> str | None:
        if self._named is None:
            return None
        token = generate(random.Random(f"named {name}"))
        self._keys[token] = self._named
        return token

    def known(self, presented: str) -> GatewayKey | None:
        return None  # so that `find` is asked, which tells those that work from others

    async def find(self, presented: str) -> Found:
        key = self._keys.get(presented)
        if key is None and well_formed(presented) and not self._is_reached:
            raise KeyStoreUnavailable("it cannot be reached")
        return Found(key) if key is not None and key.works(utc_now) else Found(None, dead=key)

    def note_dead_use(self, key: GatewayKey, address: str) -> None:
        """Nothing is written."""


class Live:
    """The state of a gateway at this moment, apart from it."""

    def __init__(self, gateway: Gateway, keys: StoredKeys, hidden: Iterable[tuple[str, str]] = ()) -> None:
        """`hidden` are texts that nobody shall read, each with what is shown in its place. To be made where the gateway
        runs: in its event loop, between two requests."""
        stores = gateway.stores
        self.sources: tuple[SecretSource, ...] = stores.secrets.sources
        self.hidden = tuple(hidden)
        self.internal: Mapping[str, ASGIApp] = dict.fromkeys(stores.internal.apps, _INTERNAL)
        self._keys = keys
        self._prices = stores.accounts.prices
        self._read = {name: stores.__dict__[name] for name in _READ_ONCE if name in stores.__dict__}
        self._provider_keys = copy.deepcopy(stores.provider_keys)
        self._breakers = copy.deepcopy(stores.breakers)
        self._circuits = copy.deepcopy(stores.circuits)
        self._model_metrics = stores.model_metrics.as_told()
        self._counters = _copied(stores)

    def put_into(self, stores: Stores) -> LiveAccounts:
        """Have a rehearsal go on from there; what it finds of gateway keys."""
        stores.__dict__.update(self._read)
        stores.provider_keys = self._provider_keys
        stores.breakers = self._breakers
        stores.circuits = self._circuits
        stores.model_metrics = self._model_metrics
        if self._counters is not None:
            stores.count_with(self._counters)
        accounts = LiveAccounts(stores.settings, lambda: stores.counters, self._keys, self._prices)
        stores.accounts = accounts
        return accounts


def _copied(stores: Stores) -> Counters | None:
    """What is counted, where anything ever was."""
    if not (stores.settings.data_dir / "counters").exists():
        return None
    try:
        return stores.counters.copied()
    except LimitsUnavailable:
        return None
