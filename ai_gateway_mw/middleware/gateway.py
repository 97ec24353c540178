"""Gateway: a loaded policy with all it needs; GatewayMiddleware: that policy around an app."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import httpx

from ai_gateway_mw.asgi import ASGIApp, Message, Receive, Scope, Send, raw_route_path, route_path, run_lifespan
from ai_gateway_mw.compiler import compile_policy
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import AmbiguousPath, GatewayError, InstallationError, PolicyError, Problem, SecretError
from ai_gateway_mw.middleware.exchange import serve
from ai_gateway_mw.middleware.standalone import Standalone
from ai_gateway_mw.middleware.websocket import refuse_websocket
from ai_gateway_mw.policy import Policy, load_file, load_policy
from ai_gateway_mw.secrets import SecretStore
from ai_gateway_mw.settings import Settings, SettingsError
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.watches import Watches

_log = logging.getLogger("ai_gateway_mw")

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
Intercept = Literal["ai-paths", "all"]


class Gateway:
    """A policy, compiled, with the stores that it needs.

    Making one validates everything and opens nothing. Two gateways in one process share nothing.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        secrets: SecretStore | Sequence[str] | str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        settings: Settings | None = None,
        internal: Mapping[str, ASGIApp | str] | str = "",
        **overrides: Any,
    ) -> None:
        """`internal` are apps that `forward-internal` knows by these names, and whose lifespan is left to others; URLs
        in it are those of the setting. `secrets` is a store, or names of sources as in the setting. `overrides` are
        settings by their lower-case names, such as `trusted_proxies`. Raises `PolicyError`."""
        if not isinstance(policy, Policy):
            raise TypeError("Gateway takes a Policy: `Gateway.from_file` loads one, `Gateway.from_policy` reads text")
        apps, urls = _apps_and_urls(internal)
        if urls:
            overrides["internal"] = urls
        if isinstance(secrets, str | Sequence):
            overrides["secrets"], secrets = secrets, None
        if settings is not None and overrides:
            raise TypeError("Gateway takes either `settings` or single ones by name")
        self.settings = settings or Settings(**overrides)
        self.stores = Stores(self.settings, secrets=secrets, transport=transport, internal=apps)
        self.limits = self.stores.limits
        self.watches = Watches()
        self.is_open = False
        self._users = 0  # lifespans that run now
        self.policy = policy
        self.program, self.warnings = compile_policy(policy, self.stores)

    @classmethod
    def from_file(cls, path: str | Path, **options: Any) -> Gateway:
        """The gateway of a policy file. Raises `PolicyError` with every problem and its place."""
        return cls(load_file(path, strict=False), **options)

    @classmethod
    def from_policy(cls, source: str | Mapping[str, Any], **options: Any) -> Gateway:
        """The gateway of a policy given as text (YAML or JSON) or as data."""
        return cls(load_policy(source, strict=False), **options)

    def reload(self, policy: Policy) -> tuple[Problem, ...]:
        """Put another policy in force, and return its warnings.

        Raises `PolicyError` and keeps the old one where it does not compile. Requests go on with the program they
        began with; learned state (quotas, error rates) stays.
        """
        program, warnings = compile_policy(policy, self.stores)
        self.policy, self.program, self.warnings = policy, program, warnings
        return warnings

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """Opens the gateway for as long as an app runs: `FastAPI(lifespan=gateway.lifespan)`. Harmless when nested."""
        self._users += 1
        try:
            if self.program.needs or self.settings.admin_token is not None:
                await self.stores.accounts.open()
            self.is_open = True
            yield
        finally:
            self._users -= 1
            if not self._users:
                self.is_open = False
                await self.stores.aclose()

    def lifespan_with(self, other: Lifespan) -> Lifespan:
        """The app's own lifespan inside this one."""

        @asynccontextmanager
        async def both(app: Any) -> AsyncIterator[Any]:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self.lifespan(app))
                yield await stack.enter_async_context(other(app))

        return both

    def open_lazily(self) -> None:
        """For a gateway that is mounted where no lifespan reaches it."""
        self.is_open = True
        _log.warning(
            "the gateway was opened by its first request: pass `lifespan=gateway.lifespan` to the app, or add "
            "GatewayMiddleware, so that it is closed when the app stops"
        )

    def interrupt(self, reason: GatewayError) -> None:
        """Give up all exchanges that wait for a provider now, as when the server has no more time for them: they
        answer with this error, or end their stream with it."""
        self.watches.interrupt(reason)

    def missing_secrets(self) -> list[SecretError]:
        """What is wrong with the secrets that the policy names; each says which secret, and where it was looked for."""
        failures = []
        for vault, name in sorted(self.program.secrets):
            try:
                self.stores.secrets.get(vault, name)
            except SecretError as error:
                failures.append(error)
        return failures

    @cached_property
    def app(self) -> ASGIApp:
        """The gateway as an app of its own, to serve or to mount."""
        return GatewayMiddleware(Standalone(self), gateway=self)

    @cached_property
    def admin_app(self) -> ASGIApp:
        """The admin plane as an app, to mount where only those who need it can reach it; 404 throughout without an
        admin token. Raises `InstallationError` where the `server` extra is not installed."""
        # Only here: it needs SQLAlchemy, and apps that have no use for it need not wait for that.
        try:
            from ai_gateway_mw.admin import AdminApp  # noqa: PLC0415
        except ImportError as error:
            raise InstallationError(f"{error.name} is not installed; do: pip install 'ai-gateway-mw[server]'") from None
        return AdminApp(self)


def _gateway_of(policy: str | Path, settings: Settings | None) -> Gateway:
    """The gateway of a file; what is wrong is logged, too: an app makes its middleware at startup, and uvicorn
    takes an error there for a lifespan that is not supported."""
    try:
        return Gateway.from_file(policy, settings=settings)
    except (PolicyError, SettingsError) as error:
        _log.error("the gateway cannot be made, and nothing is served:\n%s", error)
        raise


def _apps_and_urls(internal: Mapping[str, ASGIApp | str] | str) -> tuple[dict[str, ASGIApp], Mapping[str, str] | str]:
    """What is an app of what Python code gives, and what is for the settings."""
    if isinstance(internal, str):
        return {}, internal
    apps = {name: to for name, to in internal.items() if not isinstance(to, str)}
    return apps, {name: to for name, to in internal.items() if isinstance(to, str)}


class GatewayMiddleware:
    """A whole policy around an app, as pure ASGI.

    It takes only AI paths and leaves the rest of the app alone; `intercept="all"` puts every path under the policy.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        gateway: Gateway | None = None,
        policy: str | Path | None = None,
        intercept: Intercept = "ai-paths",
        settings: Settings | None = None,
    ) -> None:
        if (gateway is None) == (policy is None):
            raise TypeError("GatewayMiddleware takes either `gateway` or `policy`")
        if not isinstance(gateway, Gateway | None):
            raise TypeError("`gateway` is a Gateway; the name of a file goes into `policy`")
        if gateway is not None and settings is not None:
            raise TypeError("`settings` belong to the Gateway that is given")
        if intercept not in get_args(Intercept):
            raise ValueError(f"`intercept` is one of {', '.join(get_args(Intercept))}, not {intercept!r}")
        self.app = app
        self.gateway = gateway or _gateway_of(policy or "", settings)
        self._intercept_all = intercept == "all"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        route, taken = None, self._intercept_all
        try:
            route = route_of(path := route_path(scope), raw_route_path(scope))
            taken = taken or path in self.gateway.program.paths
        except AmbiguousPath:
            taken = True  # and refused, where all requests are checked
        if route is None and not taken:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send)
        else:
            gateway = self.gateway
            if not gateway.is_open:
                gateway.open_lazily()
            ctx = Context(scope, receive, route=route, limits=gateway.limits, watches=gateway.watches)
            await serve(gateway.program, ctx, send, self.app)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open with the app's startup and close after its shutdown; the app's own lifespan runs as it would alone.

        That the shutdown is complete is told when the gateway is closed: a server ends its event loop then.
        """
        held_back: list[Message] = []

        async def send_but_the_last(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                held_back.append(message)
            else:
                await send(message)

        async with self.gateway.lifespan():
            await run_lifespan(self.app, scope, receive, send_but_the_last)
        for message in held_back:
            await send(message)
