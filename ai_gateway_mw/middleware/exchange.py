"""One exchange at the ASGI edge: opens the Context, runs the phases around the app or the answer, and is the one
place where a `GatewayError` becomes an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ai_gateway_mw.asgi import ASGIApp, Message, Receive, Scope, Send, replaying
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import BadRequest, ClientGone, ConnectionClosed, GatewayError, InternalError, UpstreamError
from ai_gateway_mw.middleware.response_gate import ResponseDecided, ResponseGate, our_failure
from ai_gateway_mw.program import Program
from ai_gateway_mw.replies import Reply, error_reply
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.telemetry import log_request

_log = logging.getLogger("ai_gateway_mw")
_FAILED = 500
_OF_FILES = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
_SINGLE = (b"host", b"content-type", b"content-length")

Work = Callable[[Context], Awaitable[ASGIApp | None]]


def check(ctx: Context) -> None:
    """Refuse a request that its next reader could understand in another way than we do."""
    if ctx.request_fields.repeated:
        names = [name for name, _ in ctx.received_fields]
        for single in _SINGLE:
            if names.count(single) > 1:
                raise BadRequest(f"The request has more than one {single.decode().title()} field.")
    if ctx.route is None:
        route_of(ctx.path, ctx.raw_path)  # raises where it may be an AI path after all
    else:
        ctx.check_credentials()


def serve(program: Program, ctx: Context, send: Send, app: ASGIApp) -> Awaitable[None]:
    """Run a whole policy around an app."""
    if (program.edits_answers or program.has_stream_rules) and (extensions := ctx.scope.get("extensions")):
        # Rules see nothing of a file that an app leaves to its server.
        ctx.scope["extensions"] = {name: extensions[name] for name in extensions if name not in _OF_FILES}
    return exchange(program.on_request, ctx, ResponseGate(ctx, program, send), app)


async def exchange(work: Work, ctx: Context, gate: ResponseGate, app: ASGIApp, *, outermost: bool = True) -> None:
    """Do the work; then let its answer, or else the app, answer. Errors before the head went out become the error
    body of the caller's API format."""
    try:
        if not await _answered(work, ctx, gate):
            await _passed_on(ctx, gate, app)
        if gate.refusal is not None:
            raise gate.refusal
    except ClientGone as error:
        ctx.refusal = None if gate.complete else error.without_trace()
    except GatewayError as error:
        ctx.refusal = error
        if isinstance(error, ConnectionClosed) and gate.dropped(error):
            return
        if gate.started:
            _log.warning("request %s: %s after the answer had begun", ctx.id, error.code)
            if gate.complete:  # a stream that a rule has ended: its client was told
                error.without_trace()
                return
            raise
        error.without_trace()
        reply = error_reply(error, ctx.api_format, ctx.id, len(ctx.attempts))
        await reply(ctx.scope, ctx.receive, gate.send_past_rules)
    finally:
        gate.close()
        if ctx.upstream is not None:  # nobody streamed it where a response rule refused
            await ctx.upstream.aclose()
        if outermost:
            status = ctx.refusal.status if ctx.refusal else gate.status or 500
            if ctx.account is not None:
                ctx.account.close(status)
            for call in ctx.when_over:
                call(_worked(ctx, gate))
            log_request(ctx, status)
            ctx.release()


def _worked(ctx: Context, gate: ResponseGate) -> bool | None:
    """Whether the app or an upstream did its work; None where neither was asked, or nobody waited for it."""
    refusal = ctx.refusal
    if isinstance(refusal, ClientGone):
        return None
    if isinstance(refusal, UpstreamError | InternalError):
        return False
    if gate.served:
        return gate.served < _FAILED
    return None


async def _answered(work: Work, ctx: Context, gate: ResponseGate) -> bool:
    """Whether the work gave an answer, which was sent then. What fails here is ours."""
    try:
        check(ctx)
        answer = await work(ctx)
        if answer is None:
            return False
        gate.is_ours = isinstance(answer, Reply)
        await answer(ctx.scope, _receive(ctx), gate.send)
    except asyncio.CancelledError:
        reason = ctx.watch.interruption() if ctx.watch is not None else None
        if reason is None:
            raise
        raise reason from None
    except (GatewayError, ResponseDecided) as error:
        if not gate.decided:
            raise
        error.__traceback__ = None  # only what our own exception in `send` led to; its frames know it
    except Exception as error:
        if not gate.decided:
            raise our_failure(ctx) from error
    finally:
        if ctx.stop_watching():
            await asyncio.sleep(0)  # who listened is about to stop: at no time do two wait in `receive`
    return True


async def _passed_on(ctx: Context, gate: ResponseGate, app: ASGIApp) -> None:
    try:
        await app(edited_scope(ctx), _receive(ctx), gate.send)
    except Exception as error:
        if not gate.decided:
            gate.served = InternalError.status
            raise
        error.__traceback__ = None


def edited_scope(ctx: Context) -> Scope:
    """What the app gets. A copy: routers write into the scope that they get, and rules may still ask for the path."""
    return {**ctx.scope, "headers": list(ctx.request_fields)}


def _receive(ctx: Context) -> Receive:
    receive = ctx.receive if ctx.watch is None else _silence
    return receive if ctx.body is None else replaying(ctx.body, receive)


async def _silence() -> Message:
    """`receive` for an answer under watch, which need not ask whether its client is there."""
    silence: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    return await silence
