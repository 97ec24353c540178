"""Failover: the attempt loop. Candidates are tried until one is accepted or none is left; then nothing is retried."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import httpx

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import (
    Overloaded,
    TotalTimeout,
    UpstreamError,
    UpstreamTimeout,
)
from ai_gateway_mw.state import Measured, ModelMetrics, Result
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.exhausted import exhausted, trail
from ai_gateway_mw.upstream.first_event import error_of_first_event, first_event
from ai_gateway_mw.upstream.http1 import Timeouts
from ai_gateway_mw.upstream.outcome import Fault, Next, Outcome, outcome_of, outcome_of_failure
from ai_gateway_mw.upstream.queue import CandidateQueue
from ai_gateway_mw.upstream.request import UpstreamRequests
from ai_gateway_mw.upstream.retry_times import retry_after
from ai_gateway_mw.upstream.sayings import outcome_of_error
from ai_gateway_mw.upstream.transport import UpstreamRequest, UpstreamResponse, send

_MAX_ATTEMPTS = 16
_ERROR_BODY = 64 * 1024
_ERROR_BODY_TIME = 10.0
_FIRST_EVENT = 16 * 1024
_TOO_LITTLE_TIME = 0.01  # seconds of the total in which nobody answers; timers are less exact than that
# What says something of the key and nothing of the provider.
_OF_THE_KEY = frozenset(outcome for outcome in Outcome if outcome.fault is Fault.KEY)
_TELLING_OF_QUOTA = (Outcome.ACCEPTED, Outcome.RATE_LIMITED)


@dataclass(frozen=True, slots=True)
class FailoverRules:
    """What bounds the loop; times in seconds."""

    total_timeout: float = 360.0
    per_request_timeout: float = 180.0
    connect_timeout: float = 10.0
    any_error_moves_on: bool = False


class Failover:
    """Walks `ctx.candidates`, writes `ctx.attempts` and, on success, `ctx.upstream`.

    Raises what all attempts have in common when nobody is left, or `UpstreamsExhausted`.
    """

    def __init__(
        self,
        transport: Callable[[], httpx.AsyncBaseTransport],
        metrics: ModelMetrics,
        requests: UpstreamRequests,
        rules: FailoverRules,
    ) -> None:
        self._transport = transport
        self._metrics = metrics
        self._requests = requests
        self._rules = rules
        self._timeouts = self._timeouts_within(rules.per_request_timeout)

    async def __call__(self, ctx: Context) -> None:
        deadline = time.monotonic() + self._rules.total_timeout
        earlier = len(ctx.attempts)  # those of an `ai-gateway` that gave up are not ours
        queue = CandidateQueue(ctx.candidates)
        while (candidate := queue.next()) is not None:
            known_bad = candidate.key is not None and candidate.key.state == "rejected"
            attempt, response = await self._attempt(ctx, candidate, deadline)
            if response is not None and self._answers(attempt):
                response.on_break = partial(_record_break, attempt)
                ctx.upstream = response
                return
            if response is not None:
                await response.aclose()
            if deadline - time.monotonic() < _TOO_LITTLE_TIME:
                raise self._too_late(ctx.attempts[earlier:])
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

    def _too_late(self, own: Sequence[Attempt]) -> TotalTimeout:
        message = f"Request timed out after {self._rules.total_timeout:g}s ({trail(own)})."
        return TotalTimeout(message, fields=[("x-gateway-attempts", str(len(own)))])

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
        self, ctx: Context, candidate: Candidate, deadline: float
    ) -> tuple[Attempt, UpstreamResponse | None]:
        """Send to one candidate and name the outcome; the response comes back unless the attempt failed without one.

        An attempt that the client's leaving ends is none at all.
        """
        request = self._requests(ctx, candidate)
        attempt = Attempt(candidate, request.origin, request.target)
        started = time.monotonic()
        response: UpstreamResponse | None = None
        try:
            response = await self._response(attempt, request, started, deadline)
        except (UpstreamError, Overloaded) as error:
            attempt.error, attempt.outcome = error, outcome_of_failure(error)
        attempt.first_byte_ms = attempt.total_ms = int((time.monotonic() - started) * 1000)
        ctx.attempts.append(attempt)
        self._record(attempt, started)
        return attempt, response

    async def _response(
        self, attempt: Attempt, request: UpstreamRequest, started: float, deadline: float
    ) -> UpstreamResponse:
        """The response with its outcome named; closed on every way out but the good one."""
        key = attempt.candidate.key
        released = key.taken() if key is not None else _nothing
        enough = deadline - started >= self._rules.per_request_timeout
        timeouts = self._timeouts if enough else self._timeouts_within(deadline - started)
        try:
            response = await send(self._transport(), request, timeouts)
        except BaseException:
            released()
            raise
        response.on_close = released
        try:
            await self._name_outcome(attempt, response, started + timeouts.first_byte)
        except BaseException:
            await response.aclose()
            raise
        return response

    def _timeouts_within(self, seconds: float) -> Timeouts:
        """The limits of one attempt that has so much time in all."""
        connect = min(self._rules.connect_timeout, seconds)
        return Timeouts(connect=connect, first_byte=seconds, idle=self._rules.per_request_timeout, pool=connect)

    async def _name_outcome(self, attempt: Attempt, response: UpstreamResponse, until: float) -> None:
        """Name the outcome from status and first bytes: up to here another candidate can still take over."""
        attempt.status, attempt.fields = response.status, response.fields
        attempt.outcome = outcome_of(response.status)
        if attempt.outcome is not Outcome.ACCEPTED:
            body = await _error_body(response, until)
            attempt.outcome = outcome_of_error(response.status, body, of_model=attempt.candidate.model is not None)
            attempt.body_on_error = body[:1024].decode("utf-8", "replace")
            attempt.retry_after = retry_after(response.fields, body, of_limit=response.status == 429)
        elif response.is_event_stream:
            first = await _looked_at(response, _FIRST_EVENT, _has_an_event, until)
            status = 502 if not first else error_of_first_event(first)
            attempt.outcome = outcome_of(status) if status is not None else Outcome.ACCEPTED
        elif not (response.complete or response.arrived()):
            await _looked_at(response, 1, bool, until)

    def _record(self, attempt: Attempt, started: float) -> None:
        """Note the outcome against the key and the model. A success that was under way when a limit was met does not
        lift the limit: hence `started`."""
        key, model = attempt.candidate.key, attempt.candidate.model
        if key is not None:
            if attempt.outcome in _TELLING_OF_QUOTA:
                key.live.quota.learn(attempt.fields)
            if attempt.outcome.result is not None:
                key.live.record(attempt.outcome.result, retry_after=attempt.retry_after, started=started)
        if model is None or not model.known:
            return  # names that clients make up would push out those of models that strategies ask about
        if attempt.candidate.credential is not None and attempt.outcome in _OF_THE_KEY:
            return  # the client's key is at fault, and no measure of the model
        if attempt.outcome.result is not None:
            measured = Measured(attempt.outcome.result, upstream_ms=attempt.total_ms)
            if key is not None:
                measured.key_id, measured.quota = key.id, key.quota
                key.live.latency.record(measured)
            self._metrics.record(model.provider_id, model.id, measured)


async def _error_body(response: UpstreamResponse, until: float) -> bytes:
    """As much of an error's body as comes: the status counts also where the rest does not."""
    now = time.monotonic()
    with suppress(UpstreamError):
        await _looked_at(response, _ERROR_BODY, _never, now + min(_ERROR_BODY_TIME, (until - now) / 2))
    return response.arrived()


async def _looked_at(response: UpstreamResponse, limit: int, enough: Callable[[bytes], bool], until: float) -> bytes:
    """The body up to about `limit` bytes or until it is `enough`. Raises `UpstreamTimeout` where that takes longer."""
    body = response.arrived()
    if response.complete or enough(body):  # the usual case needs no timer
        return body
    try:
        async with asyncio.timeout(until - time.monotonic()):
            return await response.buffered(limit, enough)
    except TimeoutError:
        raise UpstreamTimeout("The provider did not answer in time.") from None


def _has_an_event(data: bytes) -> bool:
    return first_event(data) is not None


def _never(_: bytes) -> bool:
    return False


def _record_break(attempt: Attempt, error: UpstreamError) -> None:
    """Note against the key that an answer broke off after it was accepted."""
    if attempt.candidate.key is not None:
        idle = isinstance(error, UpstreamTimeout)
        attempt.candidate.key.live.record(Result.TIMEOUT if idle else Result.SERVER_ERROR)


def _nothing() -> None:
    """What there is to release where no key is in use."""
