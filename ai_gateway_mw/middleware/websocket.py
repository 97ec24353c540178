"""WebSockets on AI paths: none of these APIs is served over one, and none may slip past the policy."""

from __future__ import annotations

from ai_gateway_mw.asgi import Receive, Scope, Send
from ai_gateway_mw.context import Context
from ai_gateway_mw.telemetry import log_request

_POLICY_VIOLATION = 1008  # RFC 6455 7.4.1


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Close before the handshake is accepted; the server answers 403."""
    ctx = Context(scope, receive)
    log_request(ctx, 403)
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        fields = [(b"content-length", b"0"), (b"x-request-id", ctx.id.encode())]
        await send({"type": "websocket.http.response.start", "status": 403, "headers": fields})
        await send({"type": "websocket.http.response.body", "body": b""})
        return
    await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "not served over WebSocket"})
