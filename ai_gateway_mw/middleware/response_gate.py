"""ResponseGate: what every answer passes on its way out: the response rules, the rules of event streams, our own
fields."""

from __future__ import annotations

import logging
from collections.abc import Awaitable

from ai_gateway_mw.answering import ResponseHead
from ai_gateway_mw.asgi import ASGIApp, Message, Send, Shortcuts, Writer, Written, body_writer, shortcuts
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import ConnectionClosed, GatewayError, InternalError
from ai_gateway_mw.headers import Field, Fields
from ai_gateway_mw.middleware.held_answer import HeldAnswer
from ai_gateway_mw.middleware.recoded import RecodedSend
from ai_gateway_mw.middleware.stream_rules import StreamRules, is_event_stream, stream_rules
from ai_gateway_mw.policy import Phase
from ai_gateway_mw.program import Program

_log = logging.getLogger("ai_gateway_mw")
_RATE_LIMITS = (b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-")


class ResponseDecided(OSError):
    """Raised in `send` once a response rule has answered or refused: whoever is sending may stop."""


def our_failure(ctx: Context) -> InternalError:
    """Something of ours failed; what it was is in the log."""
    _log.exception("request %s failed", ctx.id)
    return InternalError()


class ResponseGate(Shortcuts):
    """Holds the response head until the response rules have seen it, then lets everything through.

    Once a rule has answered or refused, nothing of the app's answer passes, whatever the app makes of the exception.
    """

    __slots__ = ("_ctx", "_held", "_holds_head", "_out", "_program", "_send", "_server", "_stream", "_write_body") + (
        "complete",
        "decided",
        "is_ours",
        "refusal",
        "served",
        "started",
        "status",
    )

    _write_body: Writer  # once the head has passed

    def __init__(self, ctx: Context, program: Program, send: Send) -> None:
        self._ctx = ctx
        self._program = program
        self._holds_head = program.has_response_rules
        self._send = send
        self._out = send  # the same, or what codes the answer on its way there
        self._server = shortcuts(send)
        self._held: HeldAnswer | None = None  # as long as response rules wait for its body
        self._stream: StreamRules | None = None
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
        if message["type"] == "http.response.start":
            if not self.is_ours:
                self.served = message["status"]
            if self._holds_head:
                return self._send_through_rules(message)
        if self._held is not None:
            return self._hold(message.get("body", b""), last=not message.get("more_body", False))
        return self.send_past_rules(message)

    @property
    def writes(self) -> bool:  # type: ignore[override]
        return self._server.writes

    def write_answer(self, status: int, fields: list[Field], body: bytes) -> bool:
        """Not where rules have to see it."""
        if not (self._passes(fields) and self._server.write_answer(status, self._with_ours(fields), body)):
            return False
        self._begun(status)
        self.complete = True
        return True

    def begin_answer(self, status: int, fields: list[Field], body: bytes) -> Writer | None:
        """Not where rules have to see it: no rule, and nothing here, asks for what follows either."""
        if not self._passes(fields):
            return None
        writer = self._server.begin_answer(status, self._with_ours(fields), body)
        if writer is not None:
            self._begun(status)
            self._write_body = writer
        return writer

    def drop(self) -> bool:
        return not self.started and self._server.drop()

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
        return self._out(message)

    def _passes(self, fields: list[Field]) -> bool:
        """Whether an answer with these fields may go to the server at once, and meets no rule on its way there."""
        if self._holds_head or self.decided or not self._server.writes:
            return False
        return not (self._program.has_stream_rules and is_event_stream(fields))

    def _begun(self, status: int) -> None:
        """An answer that meets no rules is on its way."""
        self.started = True
        self.status = status
        if not self.is_ours:
            self.served = status

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
        recoding, ctx.recoding = ctx.recoding, None
        if recoding is not None:
            self._out = RecodedSend(self._send, recoding)
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
            await self._out({"type": "http.response.body", "body": stream.last_words(error)})
            raise ResponseDecided from None
        if last:
            self.complete = True
            await self._out({"type": "http.response.body", "body": passed})
        elif passed and (wait := self._write_body(passed)) is not None:
            await wait

    async def _answer_of_rules(self, ctx: Context) -> ASGIApp | None:
        try:
            return await self._program.run(Phase.ON_HTTP_RESPONSE, ctx)
        except GatewayError:
            raise
        except Exception as error:
            raise our_failure(ctx) from error

    def _start(self, message: Message) -> Message:
        self._write_body = body_writer(self._out)
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
        # `find` and not `in`, which first takes what it is given for a number, in vain: that takes three times as long.
        names = b"".join(dict(fields)).lower()
        if ctx.account is not None and ctx.refusal is None and (limits := ctx.account.fields()):
            if names.find(b"ratelimit-") >= 0:
                fields = [item for item in fields if not item[0].startswith(_RATE_LIMITS)]
            fields = fields + limits
        if names.find(b"x-request-id") >= 0:
            fields = [item for item in fields if item[0].lower() != b"x-request-id"]
        return [*fields, *ctx.answer_fields, (b"x-request-id", ctx.id.encode())]
