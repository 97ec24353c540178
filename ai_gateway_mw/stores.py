"""Stores: what a gateway has and its policies share (secrets, learned state, counters, transport, catalogue), made when
it is first needed and closed once. What one policy is given of it is the runtime's.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import httpx

from ai_gateway_mw.accounts import Accounts
from ai_gateway_mw.addresses import Ranges
from ai_gateway_mw.asgi import ASGIApp
from ai_gateway_mw.cel import DOUBLE, INT, STANDARD_FUNCTIONS, STRING, Environment, EvaluationError, Observer, Overload
from ai_gateway_mw.context import Limits
from ai_gateway_mw.errors import CountersUnusable, LimitsUnavailable, SecretError
from ai_gateway_mw.facts import Intelligence, IPPolicy, load_intelligence, load_ip_policies
from ai_gateway_mw.hops import Hops
from ai_gateway_mw.internal import Internal
from ai_gateway_mw.limits import Counters
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.providers import Catalog
from ai_gateway_mw.secrets import DEFAULT_VAULT, SecretStore, build_store
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.state import Breakers, Circuits, MemoryProviderKeys, ModelMetrics, ProviderKeys
from ai_gateway_mw.telemetry import Shadow
from ai_gateway_mw.upstream.http1 import HTTPTransport
from ai_gateway_mw.variables import Sources, functions, variables

_log = logging.getLogger("ai_gateway_mw")


class Stores:
    """What all policies of one gateway share and what a reload keeps: secrets, learned state, the transport."""

    def __init__(
        self,
        settings: Settings,
        *,
        secrets: SecretStore | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        randomness: random.Random | None = None,
        internal: Mapping[str, ASGIApp] | None = None,
    ) -> None:
        self.settings = settings
        self.internal = Internal(settings.internal, internal or {})
        self.hops = Hops()
        self.secrets = secrets or build_store(settings)
        self.random = randomness or random.Random()
        self.provider_keys: ProviderKeys = MemoryProviderKeys(jitter=self.random.random)
        self.breakers = Breakers(jitter=self.random.random)
        self.circuits = Circuits()
        self.model_metrics = ModelMetrics()
        self.shadow = Shadow()
        self.accounts = Accounts(settings, lambda: self.counters)
        self.observer: Observer | None = None
        self._given_transport = transport
        self._own_transport: httpx.AsyncBaseTransport | None = None
        self._counters: Counters | None = None
        self._warned_of_counters = False
        self._environments: dict[Phase, Environment] = {}

    @cached_property
    def catalog(self) -> Catalog:
        return Catalog.load(self.settings.catalog)

    @cached_property
    def intelligence(self) -> Intelligence | None:
        """What the files of `IP_INTELLIGENCE` say; read on first use. Raises `PolicyError`."""
        return load_intelligence(self.settings.ip_intelligence)

    def ip_policies(self) -> Mapping[str, IPPolicy]:
        """What `IP_POLICIES` says; its files are read anew each time, so that a reload knows them as they are. Raises
        `PolicyError`."""
        return load_ip_policies(self.settings.ip_policies)

    @cached_property
    def sources(self) -> Sources:
        """What expressions may read beside the exchange."""
        settings = self.settings
        return Sources(lambda: self.intelligence, settings.tls_fields, settings.region, settings.endpoint_id)

    @property
    def limits(self) -> Limits:
        """What one exchange may take up."""
        settings = self.settings
        trusted = Ranges(settings.trusted_proxies) if settings.trusted_proxies else None
        return Limits(settings.max_body, trusted, settings.dialect_errors)

    def transport(self) -> httpx.AsyncBaseTransport:
        """The upstream transport; opened on first use, in the event loop that serves."""
        if self._given_transport is not None:
            return self._given_transport
        if self._own_transport is None:
            self._own_transport = HTTPTransport()
        return self._own_transport

    @property
    def counters(self) -> Counters:
        """What is used of limits; opened on first use. Raises `LimitsUnavailable`, and the log says why, once."""
        if self._counters is None:
            try:
                self._counters = Counters.shared(self.settings.data_dir / "counters")
            except CountersUnusable as error:
                if not self._warned_of_counters:
                    self._warned_of_counters = True
                    _log.warning("requests that a limit applies to are refused: %s", error)
                raise LimitsUnavailable from None
        return self._counters

    def count_with(self, counters: Counters) -> None:
        """Count there and nowhere else; it is closed with this."""
        self._counters = counters

    def environment(self, phase: Phase) -> Environment:
        """What expressions of a phase may use; made once, since every rule and action asks for it."""
        made = self._environments.get(phase)
        if made is None:
            made = self._environments[phase] = Environment(
                variables=variables(phase, self.sources),
                functions=(*STANDARD_FUNCTIONS, *functions(phase), *self._functions()),
                observer=self.observer,
            )
        return made

    def observe(self, observer: Observer) -> None:
        """Tell this observer of every evaluation of what is compiled from now on."""
        self.observer = observer
        self._environments.clear()

    def _functions(self) -> tuple[Overload, ...]:
        secret = self._revealed

        def rand_double(_: Any) -> float:
            return self.random.random()

        def rand_int(_: Any, low: int = 0, high: int = 1) -> int:
            if low > high:
                raise EvaluationError("rand.int wants the smaller number first")
            return self.random.randint(low, high)

        def from_default(name: str) -> str:
            return secret(DEFAULT_VAULT, name)

        return (
            Overload("secrets.get", (STRING, STRING), STRING, secret, sensitive=True),
            Overload("secrets.get", (STRING,), STRING, from_default, sensitive=True),
            # Contextual: what is not is worked out once, at load, where its arguments are constant.
            Overload("rand.double", (), DOUBLE, rand_double, contextual=True),
            Overload("rand.int", (), INT, rand_int, contextual=True),
            Overload("rand.int", (INT, INT), INT, rand_int, contextual=True),
        )

    def _revealed(self, vault: str, name: str) -> str:
        try:
            return self.secrets.get(vault, name).reveal()
        except SecretError as error:
            raise EvaluationError(str(error)) from None

    async def aclose(self) -> None:
        """Close what was opened here; a transport that was handed in stays open."""
        await self.accounts.aclose()
        if self._counters is not None:
            self._counters.close()
            self._counters = None
        if self._own_transport is not None:
            await self._own_transport.aclose()
            self._own_transport = None
