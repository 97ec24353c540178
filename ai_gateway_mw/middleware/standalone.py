"""What answers in a stand-alone gateway beside the AI paths: health, readiness, the caller's address, the admin plane
where there is a token for it, and 404."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ai_gateway_mw.asgi import Message, Receive, Scope, Send, answer_lifespan, raw_route_path, route_path
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import GatewayError, MethodNotAllowed, RouteNotFound
from ai_gateway_mw.middleware.websocket import refuse_websocket
from ai_gateway_mw.replies import Reply, error_reply, json_reply
from ai_gateway_mw.surfaces import route_of

if TYPE_CHECKING:
    from ai_gateway_mw.middleware.gateway import Gateway


_ADMIN: Final = "/admin"
_METRICS: Final = "/metrics"  # where Prometheus looks; it belongs to the admin plane


class Standalone:
    """The app inside a stand-alone gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._paths = {"/healthz": self._alive, "/readyz": self._ready, "/ip": self._address}
        self._has_admin = gateway.settings.admin_token is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send)
        elif self._has_admin and (path := route_path(scope)).startswith(_ADMIN + "/"):
            await self._gateway.admin_app(_below(scope, path), receive, send)
        elif self._has_admin and path == _METRICS:
            await self._gateway.admin_app(_below({**scope, "raw_path": None}, f"{_ADMIN}/api/v1{path}"), receive, send)
        else:
            ctx = Context(scope, receive, limits=self._gateway.limits)
            await self._reply(ctx)(scope, receive, _with_request_id(send, ctx))

    def _reply(self, ctx: Context) -> Reply:
        try:
            answer = self._paths.get(ctx.path)
            if answer is None:
                raise RouteNotFound(f"There is nothing at {ctx.path}. {_why_nothing(ctx.path)}")
            if ctx.method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{ctx.path} takes GET.", fields=[("allow", "GET, HEAD")])
            return answer(ctx)
        except GatewayError as error:
            return error_reply(error, ctx.api_format, ctx.id)

    def _alive(self, ctx: Context) -> Reply:
        return json_reply(200, {"status": "ok"})

    def _ready(self, ctx: Context) -> Reply:
        """Whether requests can be served: the policy is loaded by now, its secrets can be had, and its database. An
        audit log that could not be written is told of; only the next request that is to stand in it tells more.
        """
        missing, accounts = self._gateway.missing_secrets(), self._gateway.stores.accounts
        checks = {"policy": "ok", "secrets": f"{len(missing)} cannot be had" if missing else "ok"}
        if accounts.is_open:
            checks["database"] = "ok" if accounts.is_reached else "cannot be reached"
        ready = set(checks.values()) == {"ok"}
        status = "ready" if ready else "unready"
        if accounts.journal.is_failing:
            checks["audit"] = "could not be written"
            status = "degraded" if ready else status
        return json_reply(200 if ready else 503, {"status": status, "checks": checks})

    def _address(self, ctx: Context) -> Reply:
        return json_reply(200, {"ip": str(ctx.client_ip) if ctx.client_ip else None})


def _why_nothing(path: str) -> str:
    return "AI APIs are served under /v1." if route_of(path) is None else "No rule of the policy has answered."


def _below(scope: Scope, path: str) -> Scope:
    """The scope for an app that is mounted at `/admin`, whatever this gateway itself is mounted at."""
    root = scope.get("root_path", "").rstrip("/")
    raw = raw_route_path(scope)
    within = {"path": root + path, "root_path": root + _ADMIN}
    return {**scope, **within, "raw_path": None if raw is None else root.encode() + raw}


def _with_request_id(send: Send, ctx: Context) -> Send:
    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-request-id", ctx.id.encode())]}
        await send(message)

    return send_with_id
