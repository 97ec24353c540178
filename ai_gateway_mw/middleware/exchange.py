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
    replaying,
)
from ai_gateway_mw.context import Context, ResponseHead
from ai_gateway_mw.errors import BadRequest, ClientGone, GatewayError, InternalError
from ai_gateway_mw.headers import Field, Fields
from ai_gateway_mw.middleware.held_answer import HeldAnswer
from ai_gateway_mw.middleware.stream_rules import StreamRules, is_event_stream, stream_rules
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.program import Program
from ai_gateway_mw.replies import error_reply
from ai_gateway_mw.surfaces import route_of
from ai_gateway_mw.telemetry import log_request

_log = logging.getLogger("ai_gateway_mw")
_RATE_LIMITS = (b"x-ratelimit-", b"ratelimit-")
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
            log_request(ctx, status)
            ctx.release()


async def _answered(work: Work, ctx: Context, gate: ResponseGate) -> bool:
    """Whether the work gave an answer, which was sent then. What fails here is ours."""
    try:
        check(ctx)
        answer = await work(ctx)
        if answer is None:
            return False
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
            raise _our_failure(ctx) from error
    finally:
        if ctx.stop_watching():
            await asyncio.sleep(0)  # who listened is about to stop: at no time do two wait in `receive`
    return True


async def _passed_on(ctx: Context, gate: ResponseGate, app: ASGIApp) -> None:
    try:
        await app(edited_scope(ctx), _receive(ctx), gate.send)
    except Exception as error:
        if not gate.decided:
            raise
        error.__traceback__ = None


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

    __slots__ = ("_ctx", "_held", "_holds_head", "_program", "_send", "_stream", "_write_body") + (
        "complete",
        "decided",
        "refusal",
        "started",
        "status",
    )

    def __init__(self, ctx: Context, program: Program, send: Send) -> None:
        self._ctx = ctx
        self._program = program
        self._holds_head = program.has_response_rules
        self._send = send
        self._write_body = body_writer(send)
        self._held: HeldAnswer | None = None  # as long as response rules wait for its body
        self._stream: StreamRules | None = None
        self.decided = False
        self.refusal: GatewayError | None = None
        self.started = False
        self.complete = False
        self.status = 0

    def send(self, message: Message) -> Awaitable[None]:
        """What the app or the answer sends. No coroutine of its own: it stands in the way of every message."""
        if self.decided:
            raise ResponseDecided
        if self._holds_head and message["type"] == "http.response.start":
            return self._send_through_rules(message)
        if self._held is not None:
            return self._hold(message.get("body", b""), last=not message.get("more_body", False))
        return self.send_past_rules(message)

    def write_answer(self, status: int, fields: list[Field], body: bytes) -> bool:
        """See `answer_written`: not where response rules have to see the head."""
        if self._holds_head or self.decided or (self._program.has_stream_rules and is_event_stream(fields)):
            return False
        if not answer_written(self._send, status, self._with_ours(fields), body):
            return False
        self.started = self.complete = True
        self.status = status
        return True

    def write_body(self, body: bytes) -> Written:
        """See `body_writer`; for an answer whose head has passed."""
        if self._stream is not None or self._held is not None or self.decided:
            return self.send({"type": "http.response.body", "body": body, "more_body": True})
        return self._write_body(body)

    def close(self) -> None:
        """The exchange is over, wherever that was."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def send_past_rules(self, message: Message) -> Awaitable[None]:
        """What does not meet the response rules."""
        kind = message["type"]
        if kind == "http.response.body":
            if self._stream is not None:
                return self._send_through_stream_rules(self._stream, message)
            self.complete = not message.get("more_body", False)
        elif kind == "http.response.start":
            message = self._start(message)
        return self._send(message)

    async def _send_through_rules(self, message: Message) -> None:
        ctx = self._ctx
        ctx.response = ResponseHead(
            message["status"], Fields([(name.lower(), value) for name, value in message.get("headers", ())])
        )
        if self._program.edits_answers:
            self._held = HeldAnswer(message, self._answer_of_rules(ctx), ctx)
            if await self._held.wants_body():
                return  # what follows is held, and the head until then
        await self._go_on(message)

    async def _go_on(self, message: Message) -> None:
        """Let the rules end, and what they have made of the head pass; the body, if they have it."""
        ctx, held, self._held = self._ctx, self._held, None
        assert ctx.response is not None
        try:
            answer = await (held.decision if held is not None else self._answer_of_rules(ctx))
        except GatewayError as error:
            self.decided, self.refusal = True, error
            raise ResponseDecided from None
        if answer is not None:
            self.decided = True
            await answer(ctx.scope, ctx.receive, self.send_past_rules)
            raise ResponseDecided
        await self.send_past_rules({**message, "status": ctx.response.status, "headers": list(ctx.response.fields)})
        if held is not None and held.is_whole:
            await self.send_past_rules({"type": "http.response.body", "body": held.body})

    async def _hold(self, body: bytes, *, last: bool) -> None:
        held = self._held
        assert held is not None
        if held.take(body, last=last):
            await self._go_on(held.head)

    async def _send_through_stream_rules(self, stream: StreamRules, message: Message) -> None:
        try:
            last = not message.get("more_body", False)
            passed = await stream.feed(message.get("body", b""))
            if last:
                passed += await stream.ending()
        except GatewayError as error:
            self.decided, self.refusal, self._stream = True, error.without_trace(), None
            self.complete = True
            await self._send({"type": "http.response.body", "body": stream.last_words(error)})
            raise ResponseDecided from None
        if last:
            self.complete = True
            await self._send({"type": "http.response.body", "body": passed})
        elif passed and (wait := self._write_body(passed)) is not None:
            await wait

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
        fields = list(message.get("headers", ()))
        if self._program.has_stream_rules:
            self._stream = stream_rules(self._ctx, self._program, self.status, fields)
            if self._stream is not None:
                fields = [item for item in fields if item[0].lower() != b"content-length"]
                if self._ctx.response is None:
                    self._ctx.response = ResponseHead(self.status, Fields([(n.lower(), v) for n, v in fields]))
        return {**message, "headers": self._with_ours(fields)}

    def _with_ours(self, fields: list[Field]) -> list[Field]:
        ctx = self._ctx
        if ctx.account is not None and ctx.refusal is None and (limits := ctx.account.fields()):
            fields = [item for item in fields if not item[0].startswith(_RATE_LIMITS)] + limits
        if b"x-request-id" in b"".join(dict(fields)).lower():
            fields = [item for item in fields if item[0].lower() != b"x-request-id"]
        return [*fields, (b"x-request-id", ctx.id.encode())]
