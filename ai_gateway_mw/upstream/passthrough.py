"""Passthrough: an upstream's answer becomes ASGI messages, as it comes and unchanged but for configured secrets."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from functools import lru_cache
from operator import itemgetter

from ai_gateway_mw.asgi import Receive, Scope, Send, Written, begin_answer, shortcuts
from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import ClientGone, GatewayError, StreamInterrupted, UpstreamError
from ai_gateway_mw.headers import Field, to_client
from ai_gateway_mw.secrets import SecretStore, StreamRedactor
from ai_gateway_mw.upstream.asked_usage import without_usage
from ai_gateway_mw.upstream.dialects import Dialect, dialect_of
from ai_gateway_mw.upstream.events import ArrayWatcher, Ending, EventWatcher
from ai_gateway_mw.upstream.outcome import Outcome, outcome_of_break
from ai_gateway_mw.upstream.records import outcome_of_giving_up
from ai_gateway_mw.upstream.sayings import outcome_of_error_object
from ai_gateway_mw.upstream.tokens import input_estimate
from ai_gateway_mw.upstream.usage import BodyEnds, Usage, usage_of_body, usage_of_stream

_log = logging.getLogger("ai_gateway_mw.upstream")

_MAX_ERROR = 1024 * 1024
_DATA = b"data:"  # an event has one such line
_WITHOUT_BODY = frozenset({204, 304})  # RFC 9110 6.4.1
_NO_TEXT = (b"audio/", b"image/", b"video/")
_VALUE = itemgetter(1)  # of a field


class UpstreamAnswer:
    """`ctx.upstream` as the answer: an ASGI app that streams it, and closes the response on every path.

    What the attempt has come to in the end is written to it; closing the response counts it.
    """

    def __init__(self, secrets: SecretStore, ctx: Context) -> None:
        assert ctx.upstream is not None
        self._ctx = ctx
        self._response = ctx.upstream
        self._attempt = attempt = ctx.attempts[-1]
        key = attempt.candidate.key
        self._secrets = key.ring.secrets if key is not None else secrets  # a layer above may have a store of its own
        self._sought = self._secrets.sought()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._response
        try:
            if response.status >= 400:
                await self._send_error(send)
            elif response.watcher is not None:
                await self._send_stream(send, response.watcher)
            elif response.encoded or response.media_type.startswith(_NO_TEXT):
                await self._send_unseen(send)
            elif not response.complete:
                await self._send_as_it_comes(send)
            elif (sending := self._send_whole(send)) is not None:
                await sending
        finally:
            await response.aclose()
            self._ctx.upstream = None

    def _send_whole(self, send: Send) -> Written:
        """An answer that is all here: nothing is waited for but the client, who need not wait for it to be measured."""
        response = self._response
        told = body = response.held + response.take()
        if self._sought.may_be_in(body):
            body = StreamRedactor(self._sought).whole(body)
        head = self._head()
        if response.status not in _WITHOUT_BODY:
            head.append((b"content-length", b"%d" % len(body)))
        try:
            written = shortcuts(send).write_answer(response.status, head, body)
        finally:
            if (dialect := self._dialect_of_usage()) is not None:
                self._attempt.usage = usage_of_body(dialect, told)
        return None if written else self._send_both(send, head, body)

    async def _send_both(self, send: Send, head: list[Field], body: bytes) -> None:
        await self._start(send, head)
        await send({"type": "http.response.body", "body": body})

    async def _send_as_it_comes(self, send: Send) -> None:
        """Its length is not promised: what is taken out of it shortens it."""
        redactor, dialect, ends = StreamRedactor(self._sought), self._dialect_of_usage(), BodyEnds()
        await self._start(send, self._head())
        try:
            piece = self._response.held
            while piece or (piece := await self._response.read()):
                if dialect is not None:
                    ends.feed(piece)
                if passed := redactor.feed(piece):
                    await send({"type": "http.response.body", "body": passed, "more_body": True})
                piece = b""
        except (UpstreamError, asyncio.CancelledError, OSError) as error:
            raise self._broken_off(error) from None
        finally:
            if dialect is not None:
                self._attempt.usage = ends.usage(dialect)
        await send({"type": "http.response.body", "body": redactor.flush()})

    async def _send_unseen(self, send: Send) -> None:
        """What is no text, or none that can be read, goes on as it is."""
        response, head = self._response, self._head()
        length = response.field(b"content-length")
        if length and not response.field(b"transfer-encoding") and response.status not in _WITHOUT_BODY:
            head.append((b"content-length", length))
        await self._start(send, head)
        try:
            piece = response.held
            while piece or (piece := await response.read()):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                piece = b""
        except (UpstreamError, asyncio.CancelledError, OSError) as error:
            raise self._broken_off(error) from None
        await send({"type": "http.response.body", "body": b""})

    async def _send_stream(self, send: Send, watcher: EventWatcher | ArrayWatcher) -> None:
        """One that breaks off ends with the error event of its dialect, never with a terminator."""
        response, account, redactor = self._response, self._ctx.account, StreamRedactor(self._sought)
        cleaned = without_usage if account is not None and account.usage_was_asked else _as_it_is
        failure: GatewayError | None = None
        events = response.held.count(_DATA)  # few streams say what they used, unless they are asked to

        def pass_on(arrived: bytes) -> Written:
            passed = redactor.feed(watcher.feed(arrived))
            return write(passed) if passed else None

        def count_and_pass_on(arrived: bytes) -> Written:
            nonlocal events
            whole = watcher.feed(arrived)
            events += whole.count(_DATA)
            passed = redactor.feed(cleaned(whole))
            return write(passed) if passed else None

        first = redactor.feed(cleaned(response.held))
        write, rest = await begin_answer(send, response.status, self._head(), first)
        try:
            if rest and (wait := write(rest)) is not None:
                await wait
            await response.pour(pass_on if account is None else count_and_pass_on)
        except (UpstreamError, asyncio.CancelledError, OSError) as error:
            reason = self._broken_off(error)
            if not isinstance(reason, GatewayError) or isinstance(reason, ClientGone):
                raise reason from None
            failure = reason.without_trace()
        finally:
            if self._dialect_of_usage() is not None:
                self._attempt.usage = usage_of_stream(watcher)
                if account is not None:
                    self._attempt.estimate = self._estimate(events)
        last = cleaned(self._end_of_stream(watcher, failure))
        await send({"type": "http.response.body", "body": redactor.feed(last) + redactor.flush()})

    def _end_of_stream(self, watcher: EventWatcher | ArrayWatcher, failure: GatewayError | None) -> bytes:
        """What is still to be sent, once it is noted what the stream has come to."""
        ending = watcher.ending(failure)
        self._attempt.outcome = self._outcome(ending, failure)
        if self._ctx.account is not None and (ending.interrupted or ending.error is not None):
            self._ctx.account.broke_off = True
        if ending.interrupted:
            self._log_end(failure)
            if isinstance(watcher, ArrayWatcher):  # nothing that could be added says so
                raise failure or StreamInterrupted("The upstream stream was interrupted.")
        return ending.last

    def _log_end(self, failure: GatewayError | None) -> None:
        provider = self._attempt.candidate.provider.id
        if failure is None or isinstance(failure, UpstreamError):
            _log.warning("request %s: the stream of %s broke off", self._ctx.id, provider)
        else:  # by us, and no fault of the provider's
            _log.info("request %s: the stream of %s was ended: %s", self._ctx.id, provider, failure)

    def _estimate(self, events: int) -> Usage | None:
        """A stream's usage by what is seen of it: an event brings about a token."""
        said, ctx = self._attempt.usage, self._ctx
        if said is not None and said.input_tokens is not None and said.output_tokens is not None:
            return None
        return Usage(input_estimate(ctx), events)

    async def _send_error(self, send: Send) -> None:
        """An upstream's error goes on as it is, but for configured secrets that it may echo and for endless length."""
        clean = self._secrets.redact_bytes(await self._response.buffered(_MAX_ERROR))
        if self._response.encoded:
            # We asked for plain text; what a compressed error echoes cannot be looked through.
            raise UpstreamError("The provider answered with an error that cannot be read.")
        head = [(name, self._secrets.redact_bytes(value)) for name, value in self._head()]
        head.append((b"x-gateway-upstream", _shown(self._attempt.candidate.provider.id)))
        head.append((b"content-length", b"%d" % len(clean)))
        await self._start(send, head)
        await send({"type": "http.response.body", "body": clean})

    def _start(self, send: Send, head: list[Field]) -> Awaitable[None]:
        return send({"type": "http.response.start", "status": self._response.status, "headers": head})

    def _head(self) -> list[Field]:
        """The fields for the client, but for the length of what follows."""
        response, candidate = self._response, self._attempt.candidate
        fields = to_client(response.fields, response.named)
        if upstream_id := response.named.get(b"x-request-id"):
            fields.append((b"x-upstream-request-id", upstream_id))
        if self._sought.may_be_in(b"\n".join(map(_VALUE, fields))):  # no secret goes beyond a line
            fields = [(name, self._secrets.redact_bytes(value)) for name, value in fields]
        model = candidate.model
        fields += _who_served(candidate.provider.id, model.id if model else "", len(self._ctx.attempts))
        return fields

    def _dialect_of_usage(self) -> Dialect | None:
        """How the answer tells its usage; None where it has none, or tells that of another."""
        route, response = self._ctx.route, self._response
        if route is None or route.task != "generate":
            return None
        if response.watcher is not None:
            return response.watcher.dialect
        return dialect_of(route) if response.media_type.endswith(b"json") else None

    def _broken_off(self, error: BaseException) -> BaseException:
        """Note what it means that the answer ends here; gives what is to be raised."""
        if isinstance(error, UpstreamError):
            self._attempt.outcome = outcome_of_break(error)
            return error
        self._attempt.outcome = outcome_of_giving_up(self._ctx)
        watch = self._ctx.watch
        return (isinstance(error, asyncio.CancelledError) and watch and watch.interruption()) or error

    def _outcome(self, ending: Ending, failure: GatewayError | None) -> Outcome:
        """What a stream has come to, if its client saw the end of it."""
        if ending.error is not None:
            return outcome_of_error_object(ending.error, of_model=self._attempt.candidate.model is not None)
        if not ending.interrupted:
            return Outcome.ACCEPTED
        if failure is None:
            return Outcome.UNFINISHED
        return outcome_of_break(failure) if isinstance(failure, UpstreamError) else Outcome.SHUT_DOWN


def _as_it_is(events: bytes) -> bytes:
    return events


@lru_cache(maxsize=256)
def _who_served(provider_id: str, model_id: str, attempts: int) -> Sequence[Field]:
    model = [(b"x-gateway-model", _shown(model_id))] if model_id else []
    return (*model, (b"x-gateway-provider", _shown(provider_id)), (b"x-gateway-attempts", b"%d" % attempts))


def _shown(name: str) -> bytes:
    """A name as a field value: the client may have made it up, line breaks and all."""
    return "".join(character if character.isprintable() else "?" for character in name).encode("latin-1", "replace")
