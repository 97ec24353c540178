"""What attempts leave behind: in the records of the key, the model and the origin that they were made with."""

from __future__ import annotations

import time

from ai_gateway_mw.context import Context
from ai_gateway_mw.errors import ClientGone
from ai_gateway_mw.state import Breakers, Measured, ModelMetrics
from ai_gateway_mw.upstream.candidate import Attempt, Candidate
from ai_gateway_mw.upstream.http1 import Origin
from ai_gateway_mw.upstream.lessons import learn_of_origin, learn_of_pair
from ai_gateway_mw.upstream.outcome import Fault, Outcome

# What says something of the key and nothing of the provider.
OF_THE_KEY = frozenset(outcome for outcome in Outcome if outcome.fault is Fault.KEY)
_TELLING_OF_QUOTA = (Outcome.ACCEPTED, Outcome.RATE_LIMITED)


def outcome_of_giving_up(ctx: Context) -> Outcome:
    """What it means that our own task is cancelled: its client has left, or its server has no more time for it."""
    reason = ctx.watch.reason if ctx.watch is not None else None
    return Outcome.CLIENT_GONE if reason is None or isinstance(reason, ClientGone) else Outcome.SHUT_DOWN


class Records:
    """Every attempt that `began` is told once more: that it was `unmade`, or that it has `ended`."""

    def __init__(self, breakers: Breakers, metrics: ModelMetrics) -> None:
        self._breakers = breakers
        self._metrics = metrics

    def allows(self, origin: Origin, *, last: bool) -> bool:
        """Whether an attempt may be made there: see `Breakers`. What is allowed has to begin."""
        return self._breakers.allows(origin, last=last)

    def began(self, attempt: Attempt) -> None:
        if attempt.candidate.key is not None:
            attempt.candidate.key.live.in_flight += 1

    def unmade(self, attempt: Attempt) -> None:
        """Nothing was sent."""
        if attempt.candidate.key is not None:
            attempt.candidate.key.live.in_flight -= 1
        self._breakers.release(attempt.origin, started=attempt.started)

    def judged(self, attempt: Attempt) -> None:
        """Learn from an outcome. An answer that is accepted has one when its content begins; it may yet get another."""
        attempt.judged = outcome = attempt.outcome
        learn_of_origin(
            self._breakers, attempt.origin, outcome, retry_after=attempt.retry_after, started=attempt.started
        )
        key, model = attempt.candidate.key, attempt.candidate.model
        if key is None:
            return
        if outcome in _TELLING_OF_QUOTA:
            key.live.quota.learn(attempt.fields)
        if model is not None:
            learn_of_pair(key.live, model.id, outcome)

    def ended(self, attempt: Attempt) -> None:
        """Count an attempt of which nothing more will come, by what it has come to."""
        attempt.total_ms = int((time.monotonic() - attempt.started) * 1000)
        if attempt.outcome is not attempt.judged:
            self.judged(attempt)
        key, result = attempt.candidate.key, attempt.outcome.result
        if key is not None:
            key.live.in_flight -= 1
            if result is not None:
                # A success that was under way when a limit was met does not lift the limit: hence `started`.
                key.live.record(result, retry_after=attempt.retry_after, started=attempt.started)
        if _measures_the_model(attempt.candidate, attempt.outcome) and (result is not None or attempt.usage):
            self._measure(attempt)

    def _measure(self, attempt: Attempt) -> None:
        key, model, usage = attempt.candidate.key, attempt.candidate.model, attempt.usage
        assert model is not None
        measured = Measured(attempt.outcome.result)
        if usage is not None:
            measured.provider_input = usage.input_tokens or 0
            measured.provider_output = usage.output_tokens or 0
        if measured.result is not None:  # how long somebody stayed who left is no measure
            measured.gateway_ms, measured.upstream_ms = attempt.gateway_ms, attempt.total_ms
            if attempt.first_token_ms is not None:
                _note_tokens(measured, attempt.first_token_ms, attempt.total_ms)
        if key is not None:
            measured.key_id, measured.quota = key.id, key.live.quota
            key.live.latency.record(measured)
        self._metrics.record(model.provider_id, model.id, measured)


def _note_tokens(measured: Measured, first_token_ms: int, total_ms: int) -> None:
    measured.time_to_first_token_ms = first_token_ms
    if measured.provider_output > 1:
        measured.time_per_output_token_ms = (total_ms - first_token_ms) / (measured.provider_output - 1)


def _measures_the_model(candidate: Candidate, outcome: Outcome) -> bool:
    """Names that clients make up would push out those of models that strategies ask about; and what is wrong with a
    client's own key is no measure of the model."""
    if candidate.model is None or not candidate.model.known:
        return False
    return candidate.credential is None or outcome not in OF_THE_KEY
