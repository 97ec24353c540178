"""Ready-made answers, and the error body of each API format."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ai_gateway_mw.asgi import Receive, Scope, Send
from ai_gateway_mw.errors import ConnectionClosed, Denied, GatewayError
from ai_gateway_mw.headers import Field
from ai_gateway_mw.surfaces import Format

_GEMINI_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer; an ASGI app that sends it."""

    status: int
    fields: tuple[Field, ...] = ()
    body: bytes = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fields = [*self.fields, (b"content-length", b"%d" % len(self.body))]
        if self.status in (204, 304):  # RFC 9110 8.6: no Content-Length where there can be no content
            fields.pop()
        await send({"type": "http.response.start", "status": self.status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope.get("method") == "HEAD" else self.body})


def json_reply(status: int, content: Any, fields: tuple[Field, ...] = ()) -> Reply:
    """An answer with a JSON body."""
    return Reply(status, ((b"content-type", b"application/json"), *fields), _compact(content))


def error_reply(error: GatewayError, api_format: Format, request_id: str, attempts: int = 0) -> Reply:
    """What the caller sees of an error, in the body of their API format; `attempts` were made before it, unless the
    error itself says how many."""
    fields: list[Field] = [(b"x-gateway-error", error.code.encode())]
    if not any(name == "x-gateway-attempts" for name, _ in error.fields):
        fields.append((b"x-gateway-attempts", b"%d" % attempts))
    fields += [(name.encode(), value.encode("latin-1", "replace")) for name, value in error.fields]
    if not error.retryable:
        # Both SDKs repeat 408, 409, 429 and every 5xx on their own unless told not to.
        fields.append((b"x-should-retry", b"false"))
    if isinstance(error, Denied | ConnectionClosed):
        return Reply(error.status, tuple(fields))
    return json_reply(error.status, error_body(error, api_format, request_id), tuple(fields))


def error_body(error: GatewayError, api_format: Format, request_id: str = "") -> dict[str, Any]:
    """The error object of an API format."""
    if api_format == "anthropic":
        body = {"type": "error", "error": {"type": error.anthropic_kind, "message": error.message}}
        return {**body, "request_id": request_id} if request_id else body
    if api_format == "gemini":
        status = _GEMINI_STATUS.get(error.status, "INTERNAL" if error.status >= 500 else "FAILED_PRECONDITION")
        return {"error": {"code": error.status, "message": error.message, "status": status}}
    return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}


def error_event(error: GatewayError, api_format: Format, surface: str | None, sequence_number: int = 0) -> bytes:
    """The event that ends an event stream which cannot be completed, as the format's SDKs understand it.

    `sequence_number` is that of the event, where the API surface counts its events.
    """
    body = error_body(error, api_format)
    if api_format == "openai" and surface == "responses":
        # The reference puts code and message into the event itself; on the wire they stand in `error` (seen in
        # openai-dotnet #881), and that is where the Python SDK looks for what it should raise.
        said = {"code": error.code, "message": error.message, "param": error.param}
        body = {"type": "error", **said, "sequence_number": sequence_number, **body}
    # Anthropic's SDK sees an error only in an event of that name; the others read any `error` member.
    named = api_format == "anthropic" or surface == "responses"
    return (b"event: error\n" if named else b"") + b"data: " + _compact(body) + b"\n\n"


def _compact(content: Any) -> bytes:
    # "replace": a message may quote a client's text, and half a surrogate pair is no reason to fail.
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
