"""Failover: the attempt loop. Candidates are tried until one is accepted or none is left; then nothing is retried."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

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
from ai_gateway_mw.state import Measured, ModelMetrics
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.exhausted import exhausted, trail
from ai_gateway_mw.upstream.outcome import (
    Next,
    Outcome,
    error_of_first_event,
    outcome_of,
    outcome_of_error,
    retry_after,
)
from ai_gateway_mw.upstream.queue import CandidateQueue
from ai_gateway_mw.upstream.request import Additions, upstream_request
from ai_gateway_mw.upstream.transport import Timeouts, UpstreamRequest, UpstreamResponse, send

_MAX_ATTEMPTS = 16
_ERROR_BODY = 64 * 1024


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
        try:
            async with asyncio.timeout(self._rules.total_timeout):
                await self._walk(ctx)
        except TimeoutError:
            seconds = f"{self._rules.total_timeout:g}"
            raise TotalTimeout(f"Request timed out after {seconds}s ({trail(ctx.attempts)}).") from None

    async def _walk(self, ctx: Context) -> None:
        queue = CandidateQueue(ctx.candidates)
        for candidate in queue:
            attempt, response = await self._attempt(ctx, candidate)
            ctx.attempts.append(attempt)
            if response is not None and self._answers(attempt):
                ctx.upstream = response
                return
            if response is not None:
                await response.aclose()
            if candidate.credential is not None and candidate.provider.needs_key:
                break  # a client's own key gets one attempt: its failure must not turn into the operator's money
            queue.after(attempt)
            if attempt.outcome is Outcome.KEY_REJECTED and candidate.key is not None:
                fresh = candidate.key.ring.reread(ctx)
                if fresh is not None:
                    queue.first(Candidate(candidate.provider, candidate.surface, candidate.model, key=fresh))
            if len(ctx.attempts) >= _MAX_ATTEMPTS:
                break
        raise exhausted(ctx.attempts)

    def _answers(self, attempt: Attempt) -> bool:
        """Whether the client gets this response, good or bad."""
        if attempt.candidate.credential is not None and attempt.status in (401, 403):
            return True
        if attempt.candidate.credential is not None and attempt.candidate.provider.needs_key:
            return True
        if attempt.outcome is Outcome.CLIENT_FAULT:
            return not self._rules.any_error_moves_on
        return attempt.outcome.then is Next.ANSWER

    async def _attempt(self, ctx: Context, candidate: Candidate) -> tuple[Attempt, UpstreamResponse | None]:
        """Send to one candidate and name the outcome; the response comes back unless the attempt failed without one."""
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
            attempt.error, attempt.outcome = UpstreamTimeout("context deadline exceeded"), Outcome.TIMED_OUT
        attempt.first_byte_ms = attempt.total_ms = int((time.monotonic() - started) * 1000)
        self._record(attempt, started)
        return attempt, response

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
            first = await response.first_chunk()
            if response.is_event_stream:
                status = 502 if not first else error_of_first_event(first)
                attempt.outcome = outcome_of(status) if status is not None else Outcome.ACCEPTED
            return
        body = await response.buffered(_ERROR_BODY)
        attempt.outcome = outcome_of_error(response.status, body)
        attempt.body_on_error = body[:1024].decode("utf-8", "replace")
        attempt.retry_after = retry_after(response.fields)

    def _record(self, attempt: Attempt, started: float) -> None:
        """Note the outcome against the key and the model. A success that was under way when a limit was met does not
        lift the limit: hence `started`."""
        key, model = attempt.candidate.key, attempt.candidate.model
        if key is not None:
            if attempt.outcome in (Outcome.ACCEPTED, Outcome.RATE_LIMITED):
                key.live.quota.learn(attempt.fields)
            if attempt.outcome.result is not None:
                key.live.record(attempt.outcome.result, retry_after=attempt.retry_after, started=started)
        if model is not None and attempt.outcome.result is not None:
            keys = {key.id: key.quota} if key is not None else {}
            measured = Measured(attempt.outcome.result, upstream_ms=attempt.total_ms, keys=keys)
            self._metrics.record(model.provider_id, model.id, measured)


def _nothing() -> None:
    """What there is to release where no key is in use."""


def _outcome_of_failure(error: GatewayError) -> Outcome:
    """What a failure to get any answer means."""
    if isinstance(error, UpstreamUnreachable | UpstreamTLSFailed):
        return Outcome.UNREACHABLE
    if isinstance(error, UpstreamTimeout):
        return Outcome.TIMED_OUT
    return Outcome.OVERLOADED if isinstance(error, Overloaded) else Outcome.INTERRUPTED
