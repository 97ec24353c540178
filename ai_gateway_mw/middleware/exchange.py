"""One exchange at the ASGI edge: opens the Context, runs the phases around the app or the answer, and is the one
place where a `GatewayError` becomes an answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ai_gateway_mw.asgi import (
    ASGIApp,
    Message,
    Receive,
    Scope,
    Send,
    Shortcuts,
    Written,
    answer_written,
    body_writer,
    dropped,
    replaying,
)
from ai_gateway_mw.compression import SLICE, Recoding
from ai_gateway_mw.context import Context, ResponseHead
from ai_gateway_mw.errors import BadRequest, ClientGone, ConnectionClosed, GatewayError, InternalError, UpstreamError
from ai_gateway_mw.headers import Field, Fields
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.program import Program
from ai_gateway_mw.replies import Reply, error_reply
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.telemetry import log_request

_log = logging.getLogger("ai_gateway_mw")
_RATE_LIMITS = (b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-")
_FAILED = 500
_SINGLE = (b"host", b"content-type", b"content-length")

Work = Callable[[Context], Awaitable[ASGIApp | None]]


class ResponseDecided(OSError):
    """Raised in `send` once a response rule has answered or refused: whoever is sending may stop."""


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
            raise
        error.without_trace()
        reply = error_reply(error, ctx.api_format, ctx.id, len(ctx.attempts))
        await reply(ctx.scope, ctx.receive, gate.send_past_rules)
    finally:
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
    except (GatewayError, ResponseDecided):
        if not gate.decided:  # else it is only what our own exception in `send` led to
            raise
    except Exception as error:
        if not gate.decided:
            raise _our_failure(ctx) from error
    finally:
        if ctx.stop_watching():
            await asyncio.sleep(0)  # who listened is about to stop: at no time do two wait in `receive`
    return True


async def _passed_on(ctx: Context, gate: ResponseGate, app: ASGIApp) -> None:
    try:
        await app(edited_scope(ctx), _receive(ctx), gate.send)
    except Exception:
        if not gate.decided:
            gate.served = InternalError.status
            raise


def _our_failure(ctx: Context) -> InternalError:
    _log.exception("request %s failed", ctx.id)
    return InternalError()


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


class ResponseGate(Shortcuts):
    """Holds the response head until the response rules have seen it, then lets everything through.

    Once a rule has answered or refused, nothing of the app's answer passes, whatever the app makes of the exception.
    """

    __slots__ = ("_ctx", "_held", "_holds_head", "_program", "_recoding", "_send", "_write_body") + (
        "complete",
        "decided",
        "is_ours",
        "refusal",
        "served",
        "started",
        "status",
    )

    def __init__(self, ctx: Context, program: Program, send: Send) -> None:
        self._ctx = ctx
        self._program = program
        self._holds_head = program.has_response_rules
        self._recoding: Recoding | None = None
        self._held: Message | None = None  # the head, while its body has not begun
        self._send = send
        self._write_body = body_writer(send)
        self.decided = False
        self.refusal: GatewayError | None = None
        self.started = False
        self.complete = False
        self.status = 0
        self.served = 0  # the status that an app or an upstream gave, whatever became of it
        self.is_ours = False  # the policy itself answers

    def send(self, message: Message) -> Awaitable[None]:
        """What the app or the answer sends. No coroutine of its own: it stands in the way of every message."""
        if self.decided:
            raise ResponseDecided
        if self._recoding is not None:
            return self._send_recoded(message, self._recoding)
        if message["type"] == "http.response.start":
            if self._holds_head:
                return self._send_through_rules(message)
            if not self.is_ours:
                self.served = message["status"]
        return self.send_past_rules(message)

    def write_answer(self, status: int, fields: list[Field], body: bytes) -> bool:
        """See `answer_written`: not where response rules have to see the head."""
        if self._holds_head or self.decided or not answer_written(self._send, status, self._with_ours(fields), body):
            return False
        self.started = self.complete = True
        self.status = status
        if not self.is_ours:
            self.served = status
        return True

    def drop(self) -> bool:
        """See `dropped`."""
        return not self.started and dropped(self._send)

    def dropped(self, error: ConnectionClosed) -> bool:
        """End the connection without an answer, and say so in the error; False where only an answer can end it."""
        if self.drop():
            error.status = error.without_answer
            error.without_trace()
            return True
        if not str(self._ctx.scope.get("http_version", "1.1")).startswith("1"):
            error.fields = ()  # RFC 9113 8.2.2: no fields of the connection there
        return False

    def write_body(self, body: bytes) -> Written:
        """See `body_writer`; for an answer whose head has passed."""
        if self._recoding is not None:
            message = {"type": "http.response.body", "body": body, "more_body": True}
            return self._send_recoded(message, self._recoding)
        return self._write_body(body)

    def send_past_rules(self, message: Message) -> Awaitable[None]:
        """What does not meet the response rules."""
        kind = message["type"]
        if kind == "http.response.body":
            self.complete = not message.get("more_body", False)
        elif kind == "http.response.start":
            message = self._start(message)
        return self._send(message)

    async def _send_through_rules(self, message: Message) -> None:
        ctx = self._ctx
        if not self.is_ours:
            self.served = message["status"]
        ctx.response = ResponseHead(
            message["status"], Fields([(name.lower(), value) for name, value in message.get("headers", ())])
        )
        try:
            answer = await self._answer_of_rules(ctx)
        except GatewayError as error:
            self.decided, self.refusal = True, error
            raise ResponseDecided from None
        if answer is not None:
            self.decided = True
            await answer(ctx.scope, ctx.receive, self.send_past_rules)
            raise ResponseDecided
        edited = {**message, "status": ctx.response.status, "headers": list(ctx.response.fields)}
        self._recoding, ctx.recoding = ctx.recoding, None
        if self._recoding is not None:
            self._held = edited  # until it is known what the body is like
        else:
            await self.send_past_rules(edited)

    async def _send_recoded(self, message: Message, recoding: Recoding) -> None:
        """A piece of a body that is coded on its way; before the first one, its head."""
        if message["type"] != "http.response.body":
            if self._held is not None:  # what is this? It goes as it came, and so does what follows
                await self._release(None)
            await self.send_past_rules(message)
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._held is not None:
            fields = recoding.begin(self._held["status"], self._held["headers"], body, more=more)
            if fields is None:
                await self._release(None)
                await self.send_past_rules(message)
                return
            if not more and len(body) <= SLICE:
                whole = b"".join(recoding.pieces(body, more=False))
                await self._release([*fields, (b"content-length", b"%d" % len(whole))])
                await self.send_past_rules({"type": "http.response.body", "body": whole})
                return
            await self._release(fields)
        for piece in recoding.pieces(body, more=more):
            await self.send_past_rules({"type": "http.response.body", "body": piece, "more_body": True})
            if len(body) > SLICE:
                await asyncio.sleep(0)  # to code one takes a while: others have their turn
        if not more:
            await self.send_past_rules({"type": "http.response.body", "body": b""})

    async def _release(self, fields: list[Field] | None) -> None:
        """Send the head that was held: with these fields, or as it was, and then the body goes as it comes."""
        head, self._held = self._held, None
        assert head is not None
        if fields is None:
            self._recoding = None
        await self.send_past_rules(head if fields is None else {**head, "headers": fields})

    async def _answer_of_rules(self, ctx: Context) -> ASGIApp | None:
        try:
            return await self._program.run(Phase.ON_HTTP_RESPONSE, ctx)
        except GatewayError:
            raise
        except Exception as error:
            raise _our_failure(ctx) from error

    def _start(self, message: Message) -> Message:
        self.started = True
        self.status = message["status"]
        return {**message, "headers": self._with_ours(list(message.get("headers", ())))}

    def _with_ours(self, fields: list[Field]) -> list[Field]:
        ctx = self._ctx
        if ctx.account is not None and ctx.refusal is None and (limits := ctx.account.fields()):
            fields = [item for item in fields if not item[0].startswith(_RATE_LIMITS)] + limits
        if b"x-request-id" in b"".join(dict(fields)).lower():
            fields = [item for item in fields if item[0].lower() != b"x-request-id"]
        return [*fields, *ctx.answer_fields, (b"x-request-id", ctx.id.encode())]
