"""What answers in a stand-alone gateway beside the AI paths: health, readiness, the caller's address, and 404."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ai_gateway_mw.asgi import Message, Receive, Scope, Send, answer_lifespan
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import GatewayError, MethodNotAllowed, RouteNotFound
from ai_gateway_mw.middleware.websocket import refuse_websocket
from ai_gateway_mw.replies import Reply, error_reply, json_reply

if TYPE_CHECKING:
    from ai_gateway_mw.middleware.gateway import Gateway


class Standalone:
    """The app inside a stand-alone gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._paths = {"/healthz": self._alive, "/readyz": self._ready, "/ip": self._address}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await refuse_websocket(scope, receive, send)
        else:
            ctx = Context(scope, receive, limits=self._gateway.limits)
            await self._reply(ctx)(scope, receive, _with_request_id(send, ctx))

    def _reply(self, ctx: Context) -> Reply:
        try:
            answer = self._paths.get(ctx.path)
            if answer is None:
                raise RouteNotFound(f"There is nothing at {ctx.path}. AI APIs are served under /v1.")
            if ctx.method not in ("GET", "HEAD"):
                raise MethodNotAllowed(f"{ctx.path} takes GET.", fields=[("allow", "GET, HEAD")])
            return answer(ctx)
        except GatewayError as error:
            return error_reply(error, ctx.api_format, ctx.id)

    def _alive(self, ctx: Context) -> Reply:
        return json_reply(200, {"status": "ok"})

    def _ready(self, ctx: Context) -> Reply:
        """Whether requests can be served: the policy is loaded by now, and its secrets can be had."""
        missing = self._gateway.missing_secrets()
        checks = {"policy": "ok", "secrets": f"{len(missing)} cannot be had" if missing else "ok"}
        return json_reply(503 if missing else 200, {"status": "unready" if missing else "ready", "checks": checks})

    def _address(self, ctx: Context) -> Reply:
        return json_reply(200, {"ip": str(ctx.client_ip) if ctx.client_ip else None})


def _with_request_id(send: Send, ctx: Context) -> Send:
    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-request-id", ctx.id.encode())]}
        await send(message)

    return send_with_id
