"""Failover: the attempt loop. Candidates are tried until one is accepted or none is left; then nothing is retried."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import httpx

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import (
    GatewayError,
    Overloaded,
    TotalTimeout,
    UpstreamError,
    UpstreamTimeout,
    UpstreamTLSFailed,
    UpstreamUnreachable,
)
from ai_gateway_mw.hosts import HostAddress
from ai_gateway_mw.state import Measured, ModelMetrics, Result
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.exhausted import exhausted, trail
from ai_gateway_mw.upstream.outcome import (
    Next,
    Outcome,
    error_of_first_event,
    first_event,
    outcome_of,
    outcome_of_error,
    retry_after,
)
from ai_gateway_mw.upstream.queue import CandidateQueue
from ai_gateway_mw.upstream.request import Additions, upstream_request
from ai_gateway_mw.upstream.transport import Timeouts, UpstreamRequest, UpstreamResponse, send

_MAX_ATTEMPTS = 16
_ERROR_BODY = 64 * 1024
_ERROR_BODY_TIME = 10.0
_FIRST_EVENT = 16 * 1024
# What says something of the key and nothing of the provider.
_OF_THE_KEY = frozenset({Outcome.KEY_REJECTED, Outcome.QUOTA_EXHAUSTED, Outcome.RATE_LIMITED})


@dataclass(frozen=True, slots=True)
class FailoverRules:
    """What bounds the loop; times in seconds."""

    total_timeout: float = 360.0
    per_request_timeout: float = 180.0
    connect_timeout: float = 10.0
    any_error_moves_on: bool = False
    hosts: Mapping[str, HostAddress] = field(default_factory=dict)


class Failover:
    """Walks `ctx.candidates`, writes `ctx.attempts` and, on success, `ctx.upstream`.

    Raises what all attempts have in common when nobody is left, or `UpstreamsExhausted`.
    """

    def __init__(
        self,
        transport: Callable[[], httpx.AsyncBaseTransport],
        metrics: ModelMetrics,
        additions: Additions,
        rules: FailoverRules,
    ) -> None:
        self._transport = transport
        self._metrics = metrics
        self._additions = additions
        self._rules = rules
        self._timeouts = Timeouts(connect=rules.connect_timeout, read=rules.per_request_timeout)

    async def __call__(self, ctx: Context) -> None:
        earlier = len(ctx.attempts)  # those of an `ai-gateway` that gave up are not ours
        try:
            async with asyncio.timeout(self._rules.total_timeout) as limit:
                await self._walk(ctx, earlier, limit)
        except TimeoutError:
            own = ctx.attempts[earlier:]
            message = f"Request timed out after {self._rules.total_timeout:g}s ({trail(own)})."
            raise TotalTimeout(message, fields=[("x-gateway-attempts", str(len(own)))]) from None

    async def _walk(self, ctx: Context, earlier: int, limit: asyncio.Timeout) -> None:
        queue = CandidateQueue(ctx.candidates)
        for candidate in queue:
            known_bad = candidate.key is not None and candidate.key.state == "rejected"
            attempt, response = await self._attempt(ctx, candidate, limit)
            if response is not None and self._answers(attempt):
                response.on_break = partial(_record_break, attempt)
                ctx.upstream = response
                return
            if response is not None:
                await response.aclose()
            if candidate.credential is not None and candidate.provider.needs_key:
                break  # a client's own key gets one attempt: its failure must not turn into the operator's money
            queue.after(attempt)
            if attempt.outcome is Outcome.KEY_REJECTED and candidate.key is not None and not known_bad:
                fresh = candidate.key.ring.reread(ctx)
                if fresh is not None:
                    queue.first(Candidate(candidate.provider, candidate.surface, candidate.model, key=fresh))
            if len(ctx.attempts) - earlier >= _MAX_ATTEMPTS:
                break
        raise exhausted(ctx.attempts[earlier:])

    def _answers(self, attempt: Attempt) -> bool:
        """Whether the client gets this response, good or bad."""
        if attempt.candidate.credential is not None and (
            attempt.candidate.provider.needs_key or attempt.outcome in _OF_THE_KEY or attempt.status in (401, 403)
        ):
            return True  # what is wrong with a client's own key must not turn into the operator's money
        if attempt.outcome is Outcome.CLIENT_FAULT:
            return not self._rules.any_error_moves_on
        return attempt.outcome.then is Next.ANSWER

    async def _attempt(
        self, ctx: Context, candidate: Candidate, limit: asyncio.Timeout
    ) -> tuple[Attempt, UpstreamResponse | None]:
        """Send to one candidate and name the outcome; the response comes back unless the attempt failed without one.

        An attempt that the limit on all of them cuts short is one that took too long; one that the client's leaving
        ends is none at all.
        """
        request = upstream_request(ctx, candidate, self._additions)
        attempt = Attempt(candidate, url=request.url)
        started = time.monotonic()
        response: UpstreamResponse | None = None
        try:
            async with asyncio.timeout(self._rules.per_request_timeout):
                response = await self._response(attempt, request)
        except (UpstreamError, Overloaded) as error:
            attempt.error, attempt.outcome = error, _outcome_of_failure(error)
        except TimeoutError:
            _note_timeout(attempt)
        except asyncio.CancelledError:
            if limit.expired():
                _note_timeout(attempt)
                self._finish(ctx, attempt, started)
            raise
        self._finish(ctx, attempt, started)
        return attempt, response

    def _finish(self, ctx: Context, attempt: Attempt, started: float) -> None:
        attempt.first_byte_ms = attempt.total_ms = int((time.monotonic() - started) * 1000)
        ctx.attempts.append(attempt)
        self._record(attempt, started)

    async def _response(self, attempt: Attempt, request: UpstreamRequest) -> UpstreamResponse:
        """The response with its outcome named; closed on every way out but the good one."""
        key = attempt.candidate.key
        release = key.in_use() if key is not None else _nothing
        try:
            response = await send(self._transport(), request, self._timeouts, self._rules.hosts)
        except BaseException:
            release()
            raise
        response.on_close = release
        try:
            await self._read_head(attempt, response)
        except BaseException:
            await response.aclose()
            raise
        return response

    async def _read_head(self, attempt: Attempt, response: UpstreamResponse) -> None:
        """Name the outcome from status and first bytes: up to here another candidate can still take over."""
        attempt.status, attempt.fields = response.status, response.fields
        attempt.outcome = outcome_of(response.status)
        if attempt.outcome is Outcome.ACCEPTED:
            if not response.is_event_stream:
                await response.first_chunk()
                return
            first = await response.buffered(_FIRST_EVENT, enough=lambda data: first_event(data) is not None)
            status = 502 if not first else error_of_first_event(first)
            attempt.outcome = outcome_of(status) if status is not None else Outcome.ACCEPTED
            return
        body = await self._error_body(response)
        attempt.outcome = outcome_of_error(response.status, body, of_model=attempt.candidate.model is not None)
        attempt.body_on_error = body[:1024].decode("utf-8", "replace")
        attempt.retry_after = retry_after(response.fields)

    async def _error_body(self, response: UpstreamResponse) -> bytes:
        """As much of an error's body as comes: the status counts also where the rest does not."""
        with suppress(UpstreamError, TimeoutError):
            async with asyncio.timeout(min(_ERROR_BODY_TIME, self._rules.per_request_timeout / 2)):
                await response.buffered(_ERROR_BODY)
        return response.collected

    def _record(self, attempt: Attempt, started: float) -> None:
        """Note the outcome against the key and the model. A success that was under way when a limit was met does not
        lift the limit: hence `started`."""
        key, model = attempt.candidate.key, attempt.candidate.model
        if key is not None:
            if attempt.outcome in (Outcome.ACCEPTED, Outcome.RATE_LIMITED):
                key.live.quota.learn(attempt.fields)
            if attempt.outcome.result is not None:
                key.live.record(attempt.outcome.result, retry_after=attempt.retry_after, started=started)
        if model is None or not model.known:
            return  # names that clients make up would push out those of models that strategies ask about
        if attempt.candidate.credential is not None and attempt.outcome in _OF_THE_KEY:
            return  # the client's key is at fault, and no measure of the model
        if attempt.outcome.result is not None:
            keys = {key.id: key.quota} if key is not None else {}
            measured = Measured(attempt.outcome.result, upstream_ms=attempt.total_ms, keys=keys)
            self._metrics.record(model.provider_id, model.id, measured)


def _note_timeout(attempt: Attempt) -> None:
    attempt.error, attempt.outcome = UpstreamTimeout("context deadline exceeded"), Outcome.TIMED_OUT


def _record_break(attempt: Attempt, error: UpstreamError) -> None:
    """Note against the key that an answer broke off after it was accepted."""
    if attempt.candidate.key is not None:
        idle = isinstance(error, UpstreamTimeout)
        attempt.candidate.key.live.record(Result.TIMEOUT if idle else Result.SERVER_ERROR)


def _nothing() -> None:
    """What there is to release where no key is in use."""


def _outcome_of_failure(error: GatewayError) -> Outcome:
    """What a failure to get any answer means."""
    if isinstance(error, UpstreamUnreachable | UpstreamTLSFailed):
        return Outcome.UNREACHABLE
    if isinstance(error, UpstreamTimeout):
        return Outcome.TIMED_OUT
    return Outcome.OVERLOADED if isinstance(error, Overloaded) else Outcome.INTERRUPTED
