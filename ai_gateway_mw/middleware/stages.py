"""Single actions as middleware: one layer each, around any ASGI app, for those who put a gateway together by hand.

The outermost layer opens the Context and leaves it in the scope; the others work on it. Each layer answers for what
its own action refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ai_gateway_mw.actions.gateway_auth import GatewayAuth
from ai_gateway_mw.actions.restrict_ips import RestrictIPs
from ai_gateway_mw.asgi import ASGIApp, Receive, Scope, Send, cancelled_by, raw_route_path, route_path
from ai_gateway_mw.context import Action, Context, Limits
from ai_gateway_mw.errors import AmbiguousPath, GatewayError, PolicyError
from ai_gateway_mw.middleware.exchange import ResponseGate, exchange
from ai_gateway_mw.middleware.websocket import refuse_websocket
from ai_gateway_mw.program import Program
from ai_gateway_mw.runtime import Runtime, Stores
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.upstream.config import AIGatewayConfig
from ai_gateway_mw.upstream.steps import steps

_CONTEXT = "ai_gateway_mw.context"


class _Layer:
    """One step of an exchange put around an app."""

    def __init__(self, app: ASGIApp, stores: Stores | None) -> None:
        self.app = app
        self.stores = stores or Stores(Settings())

    async def work(self, ctx: Context) -> ASGIApp | None:
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        ctx: Context | None = scope.get(_CONTEXT)
        opened = ctx is None
        if ctx is None:
            ctx = self._open(scope, receive)
        if scope["type"] == "websocket":
            await self._websocket(ctx, scope, receive, send)
            return
        await exchange(self.work, ctx, ResponseGate(ctx, Program(), send), self.app, outermost=opened)

    def _open(self, scope: Scope, receive: Receive) -> Context:
        settings = self.stores.settings
        try:
            route = route_of(route_path(scope), raw_route_path(scope))
        except AmbiguousPath:
            route = None
        ctx = Context(scope, receive, route=route, limits=Limits(settings.max_body, settings.trusted_proxies))
        ctx.scope[_CONTEXT] = ctx
        return ctx

    async def _websocket(self, ctx: Context, scope: Scope, receive: Receive, send: Send) -> None:
        """The same check as for HTTP: what it refuses is closed before it is accepted."""
        try:
            answer = await self.work(ctx)
        except GatewayError:
            answer = refuse_websocket
        await (self.app if answer is None else refuse_websocket)({**scope, _CONTEXT: ctx}, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            await self.stores.aclose()

    def _made(self, kind: type[Action], **config: Any) -> Action:
        runtime = Runtime(self.stores)
        action = kind(kind.Config.model_validate(config), runtime)
        _raise_problems(runtime)
        return action


class AuthMiddleware(_Layer):
    """Lets in requests that present one of `keys` (gateway keys or other tokens; templates work)."""

    def __init__(
        self, app: ASGIApp, *, keys: Iterable[str | Mapping[str, Any]], stores: Stores | None = None, **config: Any
    ) -> None:
        super().__init__(app, stores)
        named = [
            {"name": f"key-{n}", "value": key} if isinstance(key, str) else dict(key) for n, key in enumerate(keys, 1)
        ]
        self._action = self._made(GatewayAuth, keys=named, **config)

    async def work(self, ctx: Context) -> ASGIApp | None:
        return await self._action(ctx)


class IPAllowlistMiddleware(_Layer):
    """Lets in addresses of the `allow` ranges that are in no `deny` range."""

    def __init__(
        self, app: ASGIApp, *, allow: Sequence[str], deny: Sequence[str] = (), stores: Stores | None = None
    ) -> None:
        super().__init__(app, stores)
        self._action = self._made(RestrictIPs, allow=list(allow), deny=list(deny))

    async def work(self, ctx: Context) -> ASGIApp | None:
        return await self._action(ctx)


class _UpstreamLayer(_Layer):
    """A layer of the upstream steps; its keyword arguments are the config of the `ai-gateway` action."""

    def __init__(self, app: ASGIApp, *, stores: Stores | None = None, **config: Any) -> None:
        super().__init__(app, stores)
        runtime = Runtime(self.stores)
        self._steps = steps(AIGatewayConfig.model_validate(config), runtime)
        _raise_problems(runtime)


class KeySelectionMiddleware(_UpstreamLayer):
    """Works out which models and provider keys may serve an AI request; other requests pass by."""

    async def work(self, ctx: Context) -> ASGIApp | None:
        if ctx.route is not None and ctx.route.task != "list-models":
            await self._steps.select(ctx)
        return None


class FailoverMiddleware(_UpstreamLayer):
    """Tries the selected keys until one is accepted; what passes on is its answer."""

    async def work(self, ctx: Context) -> ASGIApp | None:
        if ctx.offers and ctx.upstream is None:
            async with cancelled_by(ctx.receive):
                await self._steps.failover(ctx)
        return None


class PassthroughMiddleware(_UpstreamLayer):
    """Streams the upstream's answer. Without the layers above it, the client's own key goes to the model's provider."""

    async def work(self, ctx: Context) -> ASGIApp | None:
        if ctx.route is None:
            return None
        if ctx.upstream is None:
            return await self._steps.answer(ctx)
        return await self._steps.passthrough(ctx)


def _raise_problems(runtime: Runtime) -> None:
    errors = [problem for problem in runtime.problems if problem.severity == "error"]
    if errors:
        raise PolicyError(errors)
