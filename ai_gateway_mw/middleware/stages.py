"""Single actions as middleware: one layer each, around any ASGI app, for those who put a gateway together by hand.

The outermost layer opens the Context and leaves it in the scope; the others work on it. Each layer answers for what
its own action refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from ai_gateway_mw.actions import ACTIONS
from ai_gateway_mw.asgi import ASGIApp, Receive, Scope, Send, raw_route_path, route_path, run_lifespan
from ai_gateway_mw.cel import EvaluationError
from ai_gateway_mw.context import Action, Context
from ai_gateway_mw.errors import AmbiguousPath, GatewayError, PolicyDenied, PolicyError
from ai_gateway_mw.middleware.exchange import check, edited_scope, exchange
from ai_gateway_mw.middleware.response_gate import ResponseGate
from ai_gateway_mw.middleware.websocket import refuse_websocket
from ai_gateway_mw.policy import ActionConfig, Phase, load_policy, validated
from ai_gateway_mw.program import Program
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.settings import Settings
from ai_gateway_mw.stores import Stores
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.upstream.config import AIGatewayConfig
from ai_gateway_mw.upstream.steps import steps
from ai_gateway_mw.watches import Watches

C = TypeVar("C", bound=ActionConfig)

_CONTEXT = "ai_gateway_mw.context"
_NO_RULES = Program()


class _Layer:
    """One step of an exchange put around an app."""

    def __init__(self, app: ASGIApp, stores: Stores | None) -> None:
        """Layers that stand directly in each other share their stores: what one learns, the next one knows."""
        self.app = app
        self.stores: Stores = stores or (app.stores if isinstance(app, _Layer) else Stores(Settings()))
        self._limits = self.stores.limits
        self._watches = Watches()
        self._needs: set[str] = set()

    async def work(self, ctx: Context) -> ASGIApp | None:
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        outer: Context | None = scope.get(_CONTEXT)
        ctx = self._context(outer, scope, receive)
        if scope["type"] == "websocket":
            await self._websocket(ctx, receive, send, outermost=outer is None)
        else:
            await exchange(self._work, ctx, ResponseGate(ctx, _NO_RULES, send), self.app, outermost=outer is None)

    def _context(self, outer: Context | None, scope: Scope, receive: Receive) -> Context:
        """The outer layer's, or a new one; where the path is ambiguous, `exchange` refuses."""
        try:
            route = route_of(route_path(scope), raw_route_path(scope))
        except AmbiguousPath:
            route = None
        if outer is not None:
            outer.move_to(scope, receive, route)
            return outer
        ctx = Context(scope, receive, route=route, limits=self._limits, watches=self._watches)
        ctx.scope[_CONTEXT] = ctx
        return ctx

    async def _work(self, ctx: Context) -> ASGIApp | None:
        try:
            return await self.work(ctx)
        except EvaluationError as error:
            raise PolicyDenied(f"{type(self).__name__}: {error}") from None

    async def _websocket(self, ctx: Context, receive: Receive, send: Send, *, outermost: bool) -> None:
        """The same check as for HTTP: what it refuses is closed before it is accepted, and so is any on an AI path."""
        app: ASGIApp = refuse_websocket
        try:
            if ctx.route is None:
                with suppress(GatewayError):
                    check(ctx)
                    if await self._work(ctx) is None:
                        app = self.app
            await app(edited_scope(ctx), receive, send)
        finally:
            if outermost:
                if ctx.account is not None:
                    ctx.account.close(101 if app is self.app else 403)
                ctx.release()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self._needs:
                await self.stores.accounts.open()
            await run_lifespan(self.app, scope, receive, send)
        finally:
            await self.stores.aclose()

    def _made(self, action_type: str, **config: Any) -> Action:
        kind, runtime = ACTIONS[action_type], Runtime(self.stores)
        action = kind(self._validated(action_type, kind.Config, config), runtime)
        _raise_problems(runtime)
        self._needs |= runtime.needs
        return action

    def _validated(self, action_type: str, config_class: type[C], config: Mapping[str, Any]) -> C:
        """The keyword arguments as the config of an action. Raises `PolicyError`, as a policy that says the same."""
        written = {"on_http_request": [{"type": action_type, "config": config}]}
        policy = load_policy(written, name=type(self).__name__)
        spec = policy.rules[Phase.ON_HTTP_REQUEST][0].actions[0]
        return validated(config_class, spec, policy.document)


class AuthMiddleware(_Layer):
    """Lets in requests that present one of `keys`: gateway keys, or templates that give one. Without `keys`, those of
    the database count."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Iterable[str | Mapping[str, Any]] | None = None,
        stores: Stores | None = None,
        **config: Any,
    ) -> None:
        super().__init__(app, stores)
        if isinstance(keys, str):
            raise TypeError("AuthMiddleware takes a list of keys: keys=[…]")
        if keys is not None:
            config["keys"] = [_declared(number, key) for number, key in enumerate(keys, 1)]
        self._action = self._made("gateway-auth", **config)

    async def work(self, ctx: Context) -> ASGIApp | None:
        return await self._action(ctx)


def _declared(number: int, key: str | Mapping[str, Any]) -> dict[str, Any]:
    return {"name": f"key-{number}", "value": key} if isinstance(key, str) else dict(key)


class IPAllowlistMiddleware(_Layer):
    """Lets in addresses of the `allow` ranges that are in no `deny` range; `{"cidr": …, "label": …}` names a range."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        allow: Sequence[str | Mapping[str, Any]],
        deny: Sequence[str | Mapping[str, Any]] = (),
        stores: Stores | None = None,
    ) -> None:
        super().__init__(app, stores)
        if isinstance(allow, str) or isinstance(deny, str):
            raise TypeError("IPAllowlistMiddleware takes lists of ranges: allow=[…]")
        self._action = self._made("restrict-ips", allow=list(allow), deny=list(deny))

    async def work(self, ctx: Context) -> ASGIApp | None:
        return await self._action(ctx)


class _UpstreamLayer(_Layer):
    """A layer of the upstream steps; its keyword arguments are the config of the `ai-gateway` action."""

    def __init__(self, app: ASGIApp, *, stores: Stores | None = None, **config: Any) -> None:
        super().__init__(app, stores)
        runtime = Runtime(self.stores)
        self._steps = steps(self._validated("ai-gateway", AIGatewayConfig, config), runtime)
        _raise_problems(runtime)
        self._needs |= runtime.needs


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
            await self._steps.send(ctx)
        return None


class PassthroughMiddleware(_UpstreamLayer):
    """Streams the upstream's answer. Without the layers above it, the client's own key goes to the model's provider."""

    async def work(self, ctx: Context) -> ASGIApp | None:
        if ctx.route is None:
            return None
        if not ctx.offers:
            return await self._steps.answer(ctx)
        if ctx.upstream is None:  # what was selected above is what is tried, also without a layer between
            await self._steps.send(ctx)
        ctx.watch_client()
        return self._steps.passthrough(ctx)


def _raise_problems(runtime: Runtime) -> None:
    errors = [problem for problem in runtime.problems if problem.severity == "error"]
    if errors:
        raise PolicyError(errors)
