"""The rules of `on_event_stream_message` at work on one answer: cut into messages, each through the rules, and on."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress

from ai_gateway_mw.answering import StreamState
from ai_gateway_mw.cel import EvaluationError
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import BodyNotEdited, BodyNotHeld, GatewayError, InternalError, PolicyDenied
from ai_gateway_mw.headers import Field
from ai_gateway_mw.program import Program
from ai_gateway_mw.replies import error_event
from ai_gateway_mw.streams import EventMessage, MessageCutter, MessageTooLong
from ai_gateway_mw.texts import Found, TooManyMatches, found_result, media_type_of
from ai_gateway_mw.upstream.dialects import dialect_of

_log = logging.getLogger("ai_gateway_mw")
_WITHOUT_BODY = frozenset({204, 304})


def is_event_stream(fields: Iterable[Field]) -> bool:
    """Whether an answer with these fields is an event stream."""
    return any(
        name.lower() == b"content-type" and media_type_of(value) == "text/event-stream" for name, value in fields
    )


def stream_rules(ctx: Context, program: Program, status: int, fields: list[Field]) -> StreamRules | None:
    """The rules at work on an answer with this head; None where they have nothing to work on."""
    if not is_event_stream(fields) or ctx.method == "HEAD" or status in _WITHOUT_BODY:
        return None
    codings = [value.strip().lower() for name, value in fields if name.lower() == b"content-encoding"]
    if any(coding not in (b"", b"identity") for coding in codings):
        _log.warning("request %s: its event stream is compressed, and passes the rules for its messages unseen", ctx.id)
        return None
    return StreamRules(ctx, program)


class StreamRules:
    """One stream: `feed` it what comes, and send what it gives; at its end what `ending` gives.

    Both raise the `GatewayError` of a rule that refused or failed; then `last_words` are to be sent, and nothing else.
    """

    __slots__ = ("_ctx", "_cutter", "_number", "_program", "_ready", "_state")

    def __init__(self, ctx: Context, program: Program) -> None:
        self._ctx = ctx
        self._program = program
        self._cutter = MessageCutter()
        self._state = ctx.stream = StreamState()
        self._ready: list[bytes] = []  # what has passed the rules
        self._number = 0  # the next message's, where the API surface counts

    async def feed(self, chunk: bytes) -> bytes:
        try:
            for raw in self._cutter.feed(chunk):
                await self._pass(raw)
        except MessageTooLong:
            raise BodyNotHeld("a message of the stream is too long to be looked at") from None
        return self._taken()

    async def ending(self) -> bytes:
        """What is left when the stream has ended; the last message may lack its blank line."""
        if rest := self._cutter.rest():
            await self._pass(rest)
        self._ready += self._flushed()
        return self._taken()

    def last_words(self, error: GatewayError) -> bytes:
        """What has passed the rules, and the event that ends a stream which a rule has ended."""
        with suppress(GatewayError):
            self._ready += self._flushed()
        dialect = dialect_of(self._ctx.route, self._ctx.api_format)
        return self._taken() + error_event(error, dialect.format, dialect.surface, self._number)

    async def _pass(self, raw: bytes) -> None:
        state, ctx = self._state, self._ctx
        message = state.message = EventMessage(raw)
        state.wanted = []
        if message.has_data:
            if b"sequence_number" in raw:
                self._count(message)
            if self._program.hears_answers:
                state.answered.hear(message.json)
            try:
                await self._program.on_message(ctx)
            except GatewayError:
                raise
            except EvaluationError as error:
                raise PolicyDenied(str(error)) from None
            except Exception as error:
                _log.exception("request %s failed", ctx.id)
                raise InternalError from error
        try:
            self._ready += state.windows.take(message, state.wanted)
        except TooManyMatches:
            raise BodyNotEdited("there are too many matches in a message") from None
        self._publish()

    def _count(self, message: EventMessage) -> None:
        number = message.json.get("sequence_number") if isinstance(message.json, dict) else None
        if isinstance(number, int):
            self._number = number + 1

    def _flushed(self) -> list[bytes]:
        flushed = self._state.windows.flush()
        self._publish()
        return flushed

    def _publish(self) -> None:
        """The results of replacements across messages, which are known when they are made."""
        if not (noted := self._state.windows.noted):
            return
        by_action: dict[str, list[Found]] = {}
        for replacer, matched in noted:
            by_action.setdefault(replacer.action, []).append(Found(replacer.index, matched))
        noted.clear()
        for action, found in by_action.items():
            if action == "redact":
                self._ctx.publish_ours(action, {"found": True})
            else:
                self._ctx.publish(action, found_result(found))

    def _taken(self) -> bytes:
        taken = b"".join(self._ready)
        self._ready.clear()
        return taken
