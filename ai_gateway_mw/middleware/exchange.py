"""One exchange at the ASGI edge: opens the Context, runs the phases around the app or the answer, and is the one
place where a `GatewayError` becomes an answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from ai_gateway_mw.asgi import ASGIApp, Message, Receive, Scope, Send, replaying
from ai_gateway_mw.context import Context, ResponseHead
from ai_gateway_mw.errors import BadRequest, ClientGone, GatewayError
from ai_gateway_mw.headers import Fields
from ai_gateway_mw.keys import presented_credentials
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.program import Program
from ai_gateway_mw.replies import error_reply
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.telemetry import log_request

_log = logging.getLogger("ai_gateway_mw")
_SINGLE = (b"host", b"content-type", b"content-length")

Work = Callable[[Context], Awaitable[ASGIApp | None]]


class InternalError(GatewayError):
    """Something of ours failed; the log has the traceback, the caller only this."""

    def __init__(self) -> None:
        super().__init__("The gateway failed to handle this request.")


class ResponseDecided(OSError):
    """Raised in `send` once a response rule has answered or refused: whoever is sending may stop."""


def check(ctx: Context) -> None:
    """Refuse a request that its next reader could understand in another way than we do."""
    for single in _SINGLE:
        if sum(name == single for name, _ in ctx.received_fields) > 1:
            raise BadRequest(f"The request has more than one {single.decode().title()} field.")
    if ctx.route is None:
        route_of(ctx.path, ctx.raw_path)  # raises where it may be an AI path after all
    else:
        presented_credentials(ctx.request_fields, ctx.query)  # raises where there are two


async def serve(program: Program, ctx: Context, send: Send, app: ASGIApp) -> None:
    """Run a whole policy around an app."""

    async def work(ctx: Context) -> ASGIApp | None:
        answer = await program.run(Phase.ON_TCP_CONNECT, ctx) or await program.run(Phase.ON_HTTP_REQUEST, ctx)
        if answer is None and program.needs_body(Phase.ON_HTTP_RESPONSE):
            await ctx.read_body()  # the app will have taken it by then
        return answer

    await exchange(work, ctx, ResponseGate(ctx, program, send), app)


async def exchange(work: Work, ctx: Context, gate: ResponseGate, app: ASGIApp, *, outermost: bool = True) -> None:
    """Do the work; then let its answer, or else the app, answer. Errors before the head went out become the error
    body of the caller's API format."""
    try:
        await _answered(work, ctx, gate, app)
    except ClientGone as error:
        ctx.refusal = None if gate.complete else error
    except GatewayError as error:
        ctx.refusal = error
        if gate.started:
            _log.warning("request %s: %s after the answer had begun", ctx.id, error.code)
            raise
        await error_reply(error, ctx.api_format, ctx.id)(ctx.scope, ctx.receive, gate.send_refusal)
    finally:
        await _close(ctx)
        if outermost:
            log_request(ctx, ctx.refusal.status if ctx.refusal else gate.status or 500)


async def _answered(work: Work, ctx: Context, gate: ResponseGate, app: ASGIApp) -> None:
    with _failures_as_ours(ctx):
        check(ctx)
        answer = await work(ctx)
    try:
        if answer is None:
            await app(edited_scope(ctx), _receive(ctx), gate.send)
        else:
            with _failures_as_ours(ctx):
                await answer(ctx.scope, _receive(ctx), gate.send)
    except Exception:
        if not gate.decided:  # else it is only what our own exception in `send` led to
            raise
    if gate.refusal is not None:
        raise gate.refusal


@contextmanager
def _failures_as_ours(ctx: Context) -> Iterator[None]:
    try:
        yield
    except (GatewayError, ResponseDecided):
        raise
    except Exception as error:
        _log.exception("request %s failed", ctx.id)
        raise InternalError from error


async def _close(ctx: Context) -> None:
    """An upstream answer that nobody streamed (a response rule refused) is closed here."""
    if ctx.upstream is not None:
        await ctx.upstream.aclose()


def edited_scope(ctx: Context) -> Scope:
    """What the app gets. A copy: routers write into the scope that they get, and rules may still ask for the path."""
    return {**ctx.scope, "headers": list(ctx.request_fields)}


def _receive(ctx: Context) -> Receive:
    return ctx.receive if ctx.body is None else replaying(ctx.body, ctx.receive)


class ResponseGate:
    """Holds the response head until the response rules have seen it, then lets everything through.

    Once a rule has answered or refused, nothing of the app's answer passes, whatever the app makes of the exception.
    """

    def __init__(self, ctx: Context, program: Program, send: Send) -> None:
        self._ctx = ctx
        self._program = program
        self._send = send
        self.decided = False
        self.refusal: GatewayError | None = None
        self.started = False
        self.complete = False
        self.status = 0

    async def send(self, message: Message) -> None:
        """What the app or the answer sends."""
        if self.decided:
            raise ResponseDecided
        if message["type"] == "http.response.start" and self._program.has(Phase.ON_HTTP_RESPONSE):
            message = await self._through_rules(message)
        await self.send_refusal(message)

    async def send_refusal(self, message: Message) -> None:
        """What does not meet the response rules."""
        if message["type"] == "http.response.start":
            message = self._start(message)
        elif message["type"] == "http.response.body":
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def _through_rules(self, message: Message) -> Message:
        fields = Fields((name.lower(), value) for name, value in message.get("headers", ()))
        self._ctx.response = ResponseHead(message["status"], fields)
        try:
            with _failures_as_ours(self._ctx):
                answer = await self._program.run(Phase.ON_HTTP_RESPONSE, self._ctx)
        except GatewayError as error:
            self.decided, self.refusal = True, error
            raise ResponseDecided from None
        if answer is None:
            return {**message, "status": self._ctx.response.status, "headers": list(fields)}
        self.decided = True
        await answer(self._ctx.scope, self._ctx.receive, self.send_refusal)
        raise ResponseDecided

    def _start(self, message: Message) -> Message:
        self.started = True
        self.status = message["status"]
        fields = [item for item in message.get("headers", ()) if item[0].lower() != b"x-request-id"]
        return {**message, "headers": [*fields, (b"x-request-id", self._ctx.id.encode())]}
