"""Failover: the attempt loop. Candidates are tried until one is accepted or none is left; then nothing is retried."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import httpx

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import Overloaded, TotalTimeout, UpstreamError
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.commit import Patience, committed, error_body, is_here
from ai_gateway_mw.upstream.exhausted import exhausted, trail
from ai_gateway_mw.upstream.http1 import Origin, Timeouts, UpstreamResponse
from ai_gateway_mw.upstream.outcome import ACCEPTED, Next, Outcome, outcome_of, outcome_of_failure
from ai_gateway_mw.upstream.queue import CandidateQueue
from ai_gateway_mw.upstream.records import OF_THE_KEY, Records, outcome_of_giving_up
from ai_gateway_mw.upstream.request import UpstreamRequests
from ai_gateway_mw.upstream.retry_times import retry_after
from ai_gateway_mw.upstream.sayings import outcome_of_error, outcome_of_error_object
from ai_gateway_mw.upstream.transport import send

MAX_ATTEMPTS = 16
_TOO_LITTLE_TIME = 0.01  # seconds of the total in which nobody answers; timers are less exact than that


@dataclass(frozen=True, slots=True)
class FailoverRules:
    """What bounds the loop; times in seconds."""

    total_timeout: float = 360.0
    per_request_timeout: float = 180.0
    connect_timeout: float = 10.0
    wait_for_capacity: float = 0.0
    any_error_moves_on: bool = False


class Failover:
    """Walks `ctx.candidates`, and leaves there those that had no turn; writes `ctx.attempts` and, on success,
    `ctx.upstream`.

    Raises what all attempts have in common when nobody is left, or `UpstreamsExhausted`.
    """

    def __init__(
        self,
        transport: Callable[[], httpx.AsyncBaseTransport],
        records: Records,
        requests: UpstreamRequests,
        rules: FailoverRules,
    ) -> None:
        self._transport = transport
        self._records = records
        self._requests = requests
        self._rules = rules

    async def __call__(self, ctx: Context) -> None:
        rules = self._rules
        deadline, patience = time.monotonic() + rules.total_timeout, rules.wait_for_capacity
        earlier = len(ctx.attempts)  # those of an `ai-gateway` that gave up are not ours
        ctx.candidates = queue = CandidateQueue(ctx.candidates, self._allows)
        while True:
            while (candidate := queue.next()) is not None:
                key = candidate.key
                known_bad = key is not None and key.state == "rejected"
                attempt, response = await self._attempt(ctx, candidate, deadline)
                if response is not None:
                    ctx.upstream = response
                    return
                if deadline - time.monotonic() < _TOO_LITTLE_TIME:
                    raise self._too_late(ctx.attempts[earlier:])
                if candidate.credential is not None and candidate.provider.needs_key:
                    break  # a client's own key gets one attempt: its failure must not turn into the operator's money
                self._learn(ctx, queue, attempt, known_bad)
                if self._enough(ctx, earlier):
                    break
            wait = min(queue.cooling, default=None)
            if wait is None or wait > min(patience, deadline - time.monotonic()) or self._enough(ctx, earlier):
                raise exhausted(ctx.attempts[earlier:], queue.unasked)
            patience -= wait
            await asyncio.sleep(wait)
            ctx.candidates = queue = queue.again()

    @staticmethod
    def _learn(ctx: Context, queue: CandidateQueue, attempt: Attempt, known_bad: bool) -> None:
        """What a failed attempt means for the next turns: a key that was good until now may have been replaced."""
        queue.after(attempt)
        candidate = attempt.candidate
        if attempt.outcome is Outcome.KEY_REJECTED and candidate.key is not None:
            fresh = candidate.key.ring.reread(ctx, candidate.key, forget=not known_bad)
            if fresh is not None:
                queue.first(Candidate(candidate.provider, candidate.surface, candidate.model, key=fresh))

    def _allows(self, candidate: Candidate, last: bool) -> bool:
        records = self._records
        return not records.shut or records.allows(self._requests.origin(candidate), last=last)

    @staticmethod
    def _enough(ctx: Context, earlier: int) -> bool:
        return len(ctx.attempts) - earlier >= MAX_ATTEMPTS

    def _too_late(self, own: Sequence[Attempt]) -> TotalTimeout:
        message = f"Request timed out after {self._rules.total_timeout:g}s ({trail(own)})."
        return TotalTimeout(message, fields=[("x-gateway-attempts", str(len(own)))])

    def _answers(self, attempt: Attempt) -> bool:
        """Whether the client gets this response, although it is no good one."""
        if attempt.error is not None:
            return False
        if attempt.candidate.credential is not None and (
            attempt.candidate.provider.needs_key or attempt.outcome in OF_THE_KEY or attempt.status in (401, 403)
        ):
            return True  # what is wrong with a client's own key must not turn into the operator's money
        if attempt.outcome is Outcome.CLIENT_FAULT:
            return not self._rules.any_error_moves_on
        return attempt.outcome.then is Next.ANSWER

    async def _attempt(
        self, ctx: Context, candidate: Candidate, deadline: float
    ) -> tuple[Attempt, UpstreamResponse | None]:
        """Send to one candidate and name the outcome; the response comes back if it is the client's."""
        origin = self._requests.origin(candidate)
        started = time.monotonic()
        attempt = Attempt(candidate, origin, started)
        if not ctx.attempts:
            attempt.gateway_ms = int((started - ctx.started) * 1000)
        ctx.attempts.append(attempt)
        self._records.began(attempt)
        response = None
        try:
            response = await self._sending(ctx, attempt, origin, deadline)
            attempt.first_byte_ms = int((time.monotonic() - started) * 1000)
            attempt.status, attempt.fields = response.status, response.fields
            attempt.outcome = outcome_of(response.status)
            if attempt.outcome is not ACCEPTED or not is_here(response, ctx.route, candidate.surface):
                await self._name_outcome(ctx, attempt, response, self._patience(attempt, deadline))
            elif response.watcher is not None:
                attempt.first_token_ms = attempt.first_byte_ms
        except (UpstreamError, Overloaded) as error:
            attempt.error, attempt.outcome = error.without_trace(), outcome_of_failure(error)
        except asyncio.CancelledError:
            attempt.outcome = outcome_of_giving_up(ctx)
            await self._end(attempt, response)
            raise
        except BaseException:  # what cannot be sent was no attempt
            ctx.attempts.pop()
            self._records.unmade(attempt)
            raise
        if response is not None and (attempt.outcome is ACCEPTED or self._answers(attempt)):
            if not response.complete:  # else it is when the client has it, which is at once
                self._records.judged(attempt)
            response.on_close = partial(self._records.ended, attempt)
            return attempt, response
        await self._end(attempt, response)
        return attempt, None

    async def _end(self, attempt: Attempt, response: UpstreamResponse | None) -> None:
        self._records.ended(attempt)
        if response is not None:
            await response.aclose()

    def _sending(self, ctx: Context, attempt: Attempt, origin: Origin, deadline: float) -> Awaitable[UpstreamResponse]:
        request, rules, started = self._requests(ctx, attempt.candidate, origin), self._rules, attempt.started
        attempt.target = request.target
        idle = rules.per_request_timeout
        seconds = min(idle, deadline - started)
        connect = min(rules.connect_timeout, seconds)
        return send(self._transport(), request, Timeouts(connect, seconds, idle, connect, started + seconds))

    def _patience(self, attempt: Attempt, deadline: float) -> Patience:
        gap = self._rules.per_request_timeout
        return Patience(min(attempt.started + gap, deadline), deadline, gap)

    async def _name_outcome(
        self, ctx: Context, attempt: Attempt, response: UpstreamResponse, patience: Patience
    ) -> None:
        """Name the outcome by the first content, or the error: up to here another candidate can still take over."""
        assert ctx.route is not None
        of_model = attempt.candidate.model is not None
        if attempt.outcome is ACCEPTED:
            error = await committed(response, ctx.route, attempt.candidate.surface, patience)
            if response.watcher is not None and response.watcher.begun:
                attempt.first_token_ms = int((time.monotonic() - attempt.started) * 1000)
            if error is None:
                return
            attempt.outcome = outcome_of_error_object(error, of_model=of_model)
        else:
            error = await error_body(response, patience)
            attempt.outcome = outcome_of_error(response.status, error, of_model=of_model)
        attempt.body_on_error = error[:1024].decode("utf-8", "replace")
        limited = response.status == 429 or attempt.outcome is Outcome.RATE_LIMITED
        attempt.retry_after = retry_after(response.fields, error, of_limit=limited)
