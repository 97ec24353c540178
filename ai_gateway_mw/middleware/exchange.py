"""One exchange at the ASGI edge: opens the Context, runs the phases around the app or the answer, and is the one
place where a `GatewayError` becomes an answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from ai_gateway_mw.asgi import ASGIApp, Message, Receive, Scope, Send, replaying
from ai_gateway_mw.context import Context, ResponseHead
from ai_gateway_mw.errors import BadRequest, ClientGone, GatewayError, PolicyDenied
from ai_gateway_mw.headers import Fields
from ai_gateway_mw.keys import presented_credentials
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.program import Program
from ai_gateway_mw.replies import error_reply
from ai_gateway_mw.telemetry import log_request

_log = logging.getLogger("ai_gateway_mw")

Work = Callable[[Context], Awaitable[ASGIApp | None]]


class InternalError(GatewayError):
    """Something of ours failed; the log has the traceback, the caller only this."""

    def __init__(self) -> None:
        super().__init__("The gateway failed to handle this request.")


class ResponseReplaced(OSError):
    """Raised in `send` once a response rule has answered instead: whoever is sending may stop."""


def check(ctx: Context) -> None:
    """Refuse a request that its next reader could understand in another way than we do."""
    if sum(name == b"host" for name, _ in ctx.request_fields) > 1:
        raise BadRequest("The request has more than one Host field.")
    if ctx.route is not None:
        presented_credentials(ctx.request_fields, ctx.query)  # raises where there are two


async def serve(program: Program, ctx: Context, send: Send, app: ASGIApp) -> None:
    """Run a whole policy around an app."""

    async def work(ctx: Context) -> ASGIApp | None:
        answer = await program.run(Phase.ON_TCP_CONNECT, ctx)
        return answer or await program.run(Phase.ON_HTTP_REQUEST, ctx)

    await exchange(work, ctx, ResponseGate(ctx, program, send), app)


async def exchange(work: Work, ctx: Context, gate: ResponseGate, app: ASGIApp, *, outermost: bool = True) -> None:
    """Do the work; then let its answer, or else the app, answer. Errors before the head went out become the error
    body of the caller's API format."""
    refusal: GatewayError | None = None
    try:
        try:
            check(ctx)
            answer = await work(ctx)
        except GatewayError:
            raise
        except Exception:
            _log.exception("request %s failed", ctx.id)
            raise InternalError from None
        await (answer or app)(_edited_scope(ctx), _receive(ctx), gate.send)
    except ClientGone as error:
        refusal = error
    except ResponseReplaced:
        pass
    except GatewayError as error:
        refusal = error
        if gate.started:
            _log.warning("request %s: %s after the answer had begun", ctx.id, error.code)
            raise
        await error_reply(error, ctx.api_format, ctx.id)(ctx.scope, ctx.receive, gate.send_refusal)
    finally:
        await _close(ctx)
        if outermost:
            status = refusal.status if refusal else gate.status
            reason = refusal.reason if isinstance(refusal, PolicyDenied) else ""
            log_request(ctx, status, refusal.code if refusal else "", reason)


async def _close(ctx: Context) -> None:
    """An upstream answer that nobody streamed (a response rule refused) is closed here."""
    if ctx.upstream is not None:
        await ctx.upstream.aclose()


def _edited_scope(ctx: Context) -> Scope:
    ctx.scope["headers"] = list(ctx.request_fields)
    return ctx.scope


def _receive(ctx: Context) -> Receive:
    return ctx.receive if ctx.body is None else replaying(ctx.body, ctx.receive)


class ResponseGate:
    """Holds the response head until the response rules have seen it, then lets everything through."""

    def __init__(self, ctx: Context, program: Program, send: Send) -> None:
        self._ctx = ctx
        self._program = program
        self._send = send
        self._replaced = False
        self.started = False
        self.status = 0

    async def send(self, message: Message) -> None:
        """What the app or the answer sends."""
        if self._replaced:
            raise ResponseReplaced
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        if self._program.has(Phase.ON_HTTP_RESPONSE):
            message = await self._through_rules(message)
        await self._start(message)

    async def send_refusal(self, message: Message) -> None:
        """A refusal does not meet the response rules."""
        await (self._start(message) if message["type"] == "http.response.start" else self._send(message))

    async def _through_rules(self, message: Message) -> Message:
        fields = Fields((name.lower(), value) for name, value in message.get("headers", ()))
        self._ctx.response = ResponseHead(message["status"], fields)
        answer = await self._program.run(Phase.ON_HTTP_RESPONSE, self._ctx)
        if answer is None:
            return {**message, "status": self._ctx.response.status, "headers": list(fields)}
        self._replaced = True
        await answer(self._ctx.scope, self._ctx.receive, self.send_refusal)
        raise ResponseReplaced

    async def _start(self, message: Message) -> None:
        self.started = True
        self.status = message["status"]
        fields = [item for item in message.get("headers", ()) if item[0] != b"x-request-id"]
        fields.append((b"x-request-id", self._ctx.id.encode()))
        await self._send({**message, "headers": fields})
