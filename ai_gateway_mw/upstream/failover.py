"""Failover: the attempt loop. Candidates are tried until one is accepted or none is left; then nothing is retried."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import httpx

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import (
    GatewayError,
    Overloaded,
    TotalTimeout,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamQuotaExhausted,
    UpstreamRateLimited,
    UpstreamsExhausted,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from ai_gateway_mw.settings import HostAddress
from ai_gateway_mw.state import Measured, ModelMetrics
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.outcome import (
    Next,
    Outcome,
    error_of_first_event,
    outcome_of,
    outcome_of_error,
    retry_after,
)
from ai_gateway_mw.upstream.request import Additions, upstream_request
from ai_gateway_mw.upstream.transport import Timeouts, UpstreamResponse, send

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
            raise TotalTimeout(f"Request timed out after {seconds}s ({_trail(ctx.attempts)}).") from None

    async def _walk(self, ctx: Context) -> None:
        queue = _Queue(ctx.candidates)
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
        started = time.perf_counter()
        response: UpstreamResponse | None = None
        if candidate.key is not None:
            candidate.key.live.in_flight += 1
        try:
            async with asyncio.timeout(self._rules.per_request_timeout):
                response = await send(self._transport(), request, self._timeouts, self._rules.hosts)
                await self._read_head(attempt, response)
        except (UpstreamError, Overloaded) as error:
            await _close(response)
            response = None
            attempt.error, attempt.outcome = error, _outcome_of_failure(error)
        except TimeoutError:
            await _close(response)
            response = None
            attempt.error, attempt.outcome = UpstreamTimeout("context deadline exceeded"), Outcome.TIMED_OUT
        except BaseException:
            await _close(response)
            raise
        finally:
            if candidate.key is not None:
                candidate.key.live.in_flight -= 1
        attempt.first_byte_ms = attempt.total_ms = int((time.perf_counter() - started) * 1000)
        self._record(attempt)
        return attempt, response

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

    def _record(self, attempt: Attempt) -> None:
        key, model = attempt.candidate.key, attempt.candidate.model
        if key is not None:
            key.live.quota.learn(attempt.fields)
            if attempt.outcome.result is not None:
                key.live.record(attempt.outcome.result, retry_after=attempt.retry_after)
        if model is not None and attempt.outcome.result is not None:
            keys = {key.id: key.quota} if key is not None else {}
            measured = Measured(attempt.outcome.result, upstream_ms=attempt.total_ms, keys=keys)
            self._metrics.record(model.provider_id, model.id, measured)


class _Queue:
    """Candidates in their order; those with a poor prospect stand back until the others have had their turn."""

    def __init__(self, candidates: Iterator[Candidate]) -> None:
        self._candidates = candidates
        self._ahead: list[Candidate] = []
        self._behind: list[Candidate] = []
        self._failing: set[str] = set()
        self._closed: set[str] = set()

    def __iter__(self) -> Iterator[Candidate]:
        while True:
            candidate = self._ahead.pop() if self._ahead else next(self._candidates, None)
            if candidate is None:
                break
            if candidate.surface.base_url in self._closed:
                continue
            if candidate.provider.id in self._failing or (candidate.key is not None and candidate.key.cooling):
                self._behind.append(candidate)
                continue
            yield candidate
        for candidate in self._behind:
            if candidate.surface.base_url not in self._closed:
                yield candidate

    def first(self, candidate: Candidate) -> None:
        self._ahead.append(candidate)

    def after(self, attempt: Attempt) -> None:
        """Learn from a failed attempt."""
        if attempt.outcome.then is Next.OTHER_PROVIDER:
            self._failing.add(attempt.candidate.provider.id)
        elif attempt.outcome.then is Next.OTHER_HOST:
            self._closed.add(attempt.candidate.surface.base_url)


async def _close(response: UpstreamResponse | None) -> None:
    if response is not None:
        await response.aclose()


def _outcome_of_failure(error: GatewayError) -> Outcome:
    """What a failure to get any answer means."""
    if isinstance(error, UpstreamUnreachable):
        return Outcome.UNREACHABLE
    if isinstance(error, UpstreamTimeout):
        return Outcome.TIMED_OUT
    return Outcome.UNREACHABLE if isinstance(error, Overloaded) else Outcome.INTERRUPTED


def _trail(attempts: list[Attempt]) -> str:
    return "; ".join(attempt.detail for attempt in attempts) or "no attempt was finished"


_ALIKE: dict[Outcome, type[GatewayError]] = {
    Outcome.RATE_LIMITED: UpstreamRateLimited,
    Outcome.QUOTA_EXHAUSTED: UpstreamQuotaExhausted,
    Outcome.KEY_REJECTED: UpstreamAuthFailed,
    Outcome.TIMED_OUT: UpstreamTimeout,
    Outcome.UNREACHABLE: UpstreamUnreachable,
}


def exhausted(attempts: list[Attempt]) -> GatewayError:
    """The error for a request that nobody served: the attempts' common fault where they have one."""
    message = f"All providers failed: {_trail(attempts)}"
    outcomes = {attempt.outcome for attempt in attempts}
    waits = [attempt.retry_after for attempt in attempts if attempt.retry_after is not None]
    if len(attempts) == 1 and attempts[0].error is not None:
        return attempts[0].error
    if len(outcomes) != 1:
        return UpstreamsExhausted(message)
    kind = _ALIKE.get(outcomes.pop(), UpstreamsExhausted)
    if kind is not UpstreamRateLimited:
        return kind(message)
    fields = [("retry-after", str(max(1, round(min(waits)))))] if waits else []
    return kind(message, fields=fields)
